"""Pods of sandbox pools in the index: nobody watches ReplicaSets, so the pool's NetworkPolicy says whose they are."""

from typing import Any

import pytest

from astra_operator.clusters.base import RunKey
from astra_operator.clusters.index import Index
from astra_operator.clusters.index_trim import trim
from astra_operator.desired.sandbox import KINDS
from astra_operator.pools import read_pools

Object = dict[str, Any]
RUN = RunKey("RLRun", "team", "rl")
LABELS = {"astra.dev/run-uid": "r", "astra.dev/pool": "rl-sandbox", "astra.dev/stage": "train", "astra.dev/attempt": "1"}
VERSIONS = {"NetworkPolicy": "networking.k8s.io/v1", "Deployment": "apps/v1", "Service": "v1", "PodDisruptionBudget": "policy/v1"}


def item(kind: str, name: str, uid: str, owner: tuple[str, str, str] | None = None, **more: Any) -> Object:
    metadata: Object = {"name": name, "namespace": "team", "uid": uid, "resourceVersion": "5", "creationTimestamp": "2030-01-01T00:00:00Z"}
    if owner:
        metadata["labels"] = dict(LABELS)
        metadata["ownerReferences"] = [{"apiVersion": "x/v1", "controller": True} | dict(zip(("kind", "name", "uid"), owner, strict=True))]
    return {"apiVersion": VERSIONS.get(kind, "v1"), "kind": kind, "metadata": metadata} | more


def policy(uid: str = "p", owner: str = "r") -> Object:
    return item("NetworkPolicy", "rl-sandbox", uid, ("RLRun", "rl", owner), spec={"podSelector": {}})


def pod(owner: tuple[str, str, str] = ("ReplicaSet", "rl-sandbox-7d4b", "rs")) -> Object:
    return item("Pod", "rl-sandbox-7d4b-x", "pod", owner, status={"phase": "Pending"})


def indexed(*items: Object) -> Index:
    index = Index()
    index.put({"apiVersion": "astra.dev/v1alpha1"} | item("RLRun", "rl", "r", spec={}))
    for each in items:
        index.put(each)
    return index


def kinds(index: Index) -> list[str]:
    return sorted(found["kind"] for found in index.children("r"))


def test_a_pod_is_the_runs_by_its_pools_policy_whatever_comes_first() -> None:
    assert kinds(indexed(policy(), pod())) == ["NetworkPolicy", "Pod"]
    assert kinds(indexed(pod(), policy())) == ["NetworkPolicy", "Pod"]
    assert indexed(policy()).put(pod()) == RUN


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (policy(owner="other"), pod()),
        (policy(), pod(("ReplicaSet", "thief-7d4b", "rs"))),
        (policy(), pod(("Job", "rl-sandbox-7d4b", "j"))),
        (item("Service", "rl-sandbox", "s", ("RLRun", "rl", "r")), pod()),
    ],
    ids=["policy of another run", "replicas of another deployment", "pod of a job", "no policy"],
)
def test_a_pod_with_a_stolen_label_is_no_child(first: Object, second: Object) -> None:
    assert "Pod" not in kinds(indexed(first, second))


def test_a_trimmed_pool_means_the_same_and_is_small() -> None:
    conditions = [
        {"type": "Available", "status": "False", "reason": "x", "lastTransitionTime": "2030-01-01T00:01:00Z", "lastUpdateTime": "t"},
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "forbidden"},
        {"type": "Progressing", "status": "True", "reason": "x", "lastUpdateTime": "t"},
    ]
    status = {"replicas": 3, "updatedReplicas": 3, "observedGeneration": 9, "conditions": conditions}
    spec = {"replicas": 3, "template": {"spec": {"containers": [{"name": "sandbox", "image": "x" * 500}]}}}
    made = [item(kind, "rl-sandbox", kind, ("RLRun", "rl", "r"), spec={"x": "y" * 900}) for kind in KINDS[:-1]]
    made.append(item("Deployment", "rl-sandbox", "d", ("RLRun", "rl", "r"), spec=spec, status=status))
    ended = {"exitCode": 78, "reason": "Error", "message": "sandbox wall gvisor does not hold: x", "startedAt": "2030-01-01T00:00:00Z"}
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    boxes = [{"name": "sandbox", "ready": False, "restartCount": 7, "state": state, "lastState": {"terminated": ended}}]
    made.append(pod() | {"status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": boxes}})
    (whole,), (trimmed,) = read_pools(made), read_pools([trim(each) for each in made])
    for name in (
        "name",
        "attempt",
        "stage",
        "uid",
        "pods",
        "replicas",
        "available",
        "made",
        "unavailable",
        "refusal",
        "failing",
        "complete",
    ):
        assert getattr(whole, name) == getattr(trimmed, name), name
    assert (whole.refusal, whole.complete) == ("forbidden", True)
    assert whole.failing is not None
    assert whole.failing.reason == "SandboxRuntimeMissing"
    assert "yyy" not in str([trim(each) for each in made])


def test_counting_replicas_is_no_news() -> None:
    index = indexed(policy(), item("Deployment", "rl-sandbox", "d", ("RLRun", "rl", "r"), spec={"replicas": 2}, status={"replicas": 1}))
    later = item(
        "Deployment", "rl-sandbox", "d", ("RLRun", "rl", "r"), spec={"replicas": 2}, status={"replicas": 2, "observedGeneration": 4}
    )
    later["metadata"]["resourceVersion"] = "6"
    assert index.put(later) is None
    later["metadata"]["resourceVersion"] = "7"
    later["status"]["availableReplicas"] = 1
    assert index.put(later) == RUN
