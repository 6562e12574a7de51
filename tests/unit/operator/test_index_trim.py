"""Trimming loses nothing that a decision is made from, and nearly everything else."""

import copy
import dataclasses
import json
from typing import Any

import pytest

from astra_operator.clusters.index import Index
from astra_operator.clusters.index_trim import trim
from astra_operator.observed import Observation, observe
from astra_operator.pods import read_pod
from astra_operator.resolve import references
from tests.reconcile.harness import SPECS, Player

Object = dict[str, Any]
OWNER = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": True, "blockOwnerDeletion": True}


def pod(**status: Any) -> Object:
    metadata = {
        "name": "j-0",
        "namespace": "n",
        "uid": "p",
        "resourceVersion": "7",
        "creationTimestamp": "2030-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
        "labels": {"astra.dev/run-uid": "r", "batch.kubernetes.io/job-completion-index": "3", "controller-uid": "u", "team": "x"},
        "annotations": {"batch.kubernetes.io/job-completion-index": "3", "astra.dev/last-lines": "last words", "cni.example.org/ip": "x"},
        "ownerReferences": [OWNER],
    }
    spec = {"nodeName": "node-1", "containers": [{"name": "job", "image": "i", "env": [{"name": "A", "value": "b"}] * 20}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def container(name: str = "job", **state: Any) -> Object:
    return {"name": name, "image": "i", "imageID": "x" * 80, "containerID": "y" * 80, "ready": True, "restartCount": 0, "state": state}


def condition(kind: str, status: str, reason: str = "", **more: Any) -> Object:
    return {"type": kind, "status": status, "reason": reason, "lastProbeTime": None, "lastTransitionTime": "2030-01-01T00:00:09Z"} | more


START = "2030-01-01T00:00:05Z"
ENDED = {"exitCode": 137, "signal": 9, "reason": "OOMKilled", "message": '{"outcome": "Failed"}', "startedAt": START, "finishedAt": START}
SIDECAR = container("istio-proxy", running={"startedAt": START})


def native(**state: Any) -> Object:
    """A pod whose native sidecar has ended before."""
    sidecar = container("istio-proxy", **state) | {"started": False, "lastState": {"terminated": ENDED | {"exitCode": 1}}}
    status = {"initContainerStatuses": [sidecar], "containerStatuses": [container(waiting={"reason": "PodInitializing"})]}
    found = pod(phase="Pending", startTime=START, **status)
    found["spec"]["initContainers"] = [{"name": "istio-proxy", "image": "i", "restartPolicy": "Always"}, {"name": "other", "image": "i"}]
    return found


def going(**status: Any) -> Object:
    found = pod(**status)
    found["metadata"]["deletionTimestamp"] = START
    return found


PODS = {
    "new": pod(),
    "unschedulable": pod(phase="Pending", conditions=[condition("PodScheduled", "False", "Unschedulable", message="0/1 nodes")]),
    "pulling": pod(phase="Pending", containerStatuses=[container(waiting={"reason": "ImagePullBackOff", "message": "no such image"})]),
    "init image": pod(
        phase="Pending",
        startTime=START,
        initContainerStatuses=[container("init", waiting={"reason": "ErrImagePull", "message": "no"})],
        containerStatuses=[container("pytorch", waiting={"reason": "PodInitializing"})],
    ),
    "no sandbox": pod(phase="Pending", startTime=START, conditions=[condition("PodReadyToStartContainers", "False")]),
    "running": pod(
        phase="Running", podIP="10.0.0.1", startTime=START, containerStatuses=[SIDECAR, container(running={"startedAt": START})]
    ),
    "killed": pod(phase="Failed", startTime=START, containerStatuses=[SIDECAR, container(terminated=ENDED)]),
    "init failed": pod(
        phase="Failed",
        initContainerStatuses=[container("init", terminated=ENDED | {"exitCode": 1, "reason": "Error"})],
        containerStatuses=[container("pytorch", waiting={"reason": "PodInitializing"})],
    ),
    "evicted": pod(phase="Failed", reason="Evicted", message="low on memory", startTime=START),
    "held by its proxy": pod(phase="Running", startTime=START, containerStatuses=[SIDECAR, container(terminated=ENDED)]),
    "held by its proxy behind": pod(phase="Running", startTime=START, containerStatuses=[container(terminated=ENDED), SIDECAR]),
    "sidecar crashes": native(waiting={"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}),
    "sidecar is tried again": native(running={"startedAt": START}),
    "init runs": pod(
        phase="Pending",
        startTime=START,
        initContainerStatuses=[container("init", running={"startedAt": START})],
        containerStatuses=[container("pytorch", waiting={"reason": "PodInitializing"})],
    ),
    "node silent": pod(
        phase="Running",
        startTime=START,
        conditions=[condition("Ready", "False"), condition("ContainersReady", "True")],
        containerStatuses=[container(running={"startedAt": START})],
    ),
    "leaving": going(phase="Running", startTime=START, containerStatuses=[container(running={"startedAt": START})]),
    "disrupted": pod(
        phase="Failed",
        startTime=START,
        conditions=[condition("DisruptionTarget", "True", "PreemptionByScheduler")],
        containerStatuses=[container(terminated=ENDED)],
    ),
}


@pytest.mark.parametrize("name", PODS)
def test_a_trimmed_pod_means_the_same(name: str) -> None:
    assert read_pod(trim(PODS[name])) == read_pod(PODS[name])
    assert len(json.dumps(trim(PODS[name]))) < 0.7 * len(json.dumps(PODS[name]))


def test_what_wakes_nobody_is_not_kept() -> None:
    noisy = copy.deepcopy(PODS["running"])
    noisy["metadata"] |= {"managedFields": [], "annotations": noisy["metadata"]["annotations"] | {"cni.example.org/ip": "other"}}
    noisy["status"] |= {"hostIP": "10.0.0.2", "conditions": [condition("Ready", "True"), condition("PodReadyToStartContainers", "True")]}
    noisy["status"]["containerStatuses"][0]["restartCount"] = 5
    assert trim(noisy) == trim(PODS["running"])


def test_counters_of_a_job_are_not_kept() -> None:
    metadata = {"name": "j", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"suspend": True, "template": {"spec": {}}}}
    ended = {"conditions": [condition("Failed", "True", "PodFailurePolicy", message="m")], "completedIndexes": "0,2", "startTime": START}
    kept = trim(job | {"status": ended | {"active": 3, "ready": 2, "uncountedTerminatedPods": {"failed": ["x"]}}})
    assert kept["spec"] == {"suspend": True}
    assert kept["status"]["completedIndexes"] == "0,2"
    assert set(kept["status"]) == {"conditions", "completedIndexes", "startTime"}


def test_a_run_keeps_spec_status_labels_and_its_own_annotations() -> None:
    player = Player()
    for kind, spec in SPECS.items():
        run = copy.deepcopy(player.cluster.runs[player.put(kind)])
        run["metadata"] |= {"annotations": {"astra.dev/retry": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"}}
        run["metadata"] |= {"labels": {"team": "blue"}, "managedFields": []}
        kept = trim(run)
        assert (kept["spec"], kept["metadata"]["labels"]) == (spec, {"team": "blue"})
        assert kept["metadata"]["annotations"] == {"astra.dev/retry": "x"}
        assert references(kept) == references(run)


def facts(seen: Observation) -> Object:
    """Return everything that was observed but the objects themselves."""
    found = dataclasses.asdict(dataclasses.replace(seen, launches=(), stale=()))
    raw = {"objects", "config"}
    found["launches"] = [
        {field.name: getattr(launch, field.name) for field in dataclasses.fields(launch) if field.name not in raw}
        for launch in seen.launches
    ]
    found["stale"] = [(item["kind"], item["metadata"]["name"], item["metadata"]["uid"]) for item in seen.stale]
    return found


@pytest.mark.parametrize("kind", SPECS)
def test_whole_lives_are_observed_the_same_from_the_index(kind: str) -> None:
    """Every moment of the lives of all kinds: what the reconcile sees through an index is what it sees of the objects."""
    player = Player()
    keys = [player.put(other) for other in SPECS]
    looks = 0

    def same() -> bool:
        nonlocal looks
        for key in keys:
            run = player.cluster.runs[key]
            children = player.cluster.children(run["metadata"]["uid"])
            if key.kind == kind and children:
                looks += 1
                assert facts(observe(through_index(run, children))) == facts(observe(children))
        return False

    player.finish(same)
    assert looks >= 2


def through_index(run: Object, children: list[Object]) -> list[Object]:
    index = Index()
    for version, item in enumerate([run, *children], start=1):
        item = copy.deepcopy(item)
        item["metadata"]["resourceVersion"] = str(version)
        for owner in item["metadata"].get("ownerReferences", []):
            owner["controller"] = True  # as real controllers write it
        index.put(item)
    return index.children(run["metadata"]["uid"])
