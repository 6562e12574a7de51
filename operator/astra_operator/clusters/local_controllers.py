"""Tiny Job, Indexed Job and PyTorchJob controllers: which pods a workload needs, and what its status says. Pure.

They know what the pure builders use and no more: one try for each pod (the reconcile restarts whole workloads), parallelism,
completion indexes; Master and Worker replicas with the environment that the training operator gives them.
"""

import copy
from typing import Any

from astra_operator.clusters.base import Object

INDEX = "batch.kubernetes.io/job-completion-index"
REPLICA_TYPE, REPLICA_INDEX = "training.kubeflow.org/replica-type", "training.kubeflow.org/replica-index"


def index_of(pod: Object) -> int:
    """Return the completion index of a Job's pod."""
    return int(pod["metadata"]["labels"].get(INDEX, "0"))


def phase_of(pod: Object) -> str:
    """Return a pod's phase."""
    return str(pod.get("status", {}).get("phase", "Pending"))


def missing_pods(workload: Object, pods: list[Object]) -> list[Object]:
    """Return the pods that a workload lacks now, without UID; empty once it has ended or is suspended."""
    if ended(workload):
        return []
    if workload["kind"] == "Job":
        return [] if workload["spec"].get("suspend") else _job_pods(workload, pods)
    if workload["spec"].get("runPolicy", {}).get("suspend"):
        return []
    present = {pod["metadata"]["name"] for pod in pods}
    return [pod for pod in _replica_pods(workload) if pod["metadata"]["name"] not in present]


def _job_pods(workload: Object, pods: list[Object]) -> list[Object]:
    spec = workload["spec"]
    count = spec.get("completions", 1)
    present = {index_of(pod) for pod in pods}
    active = sum(phase_of(pod) in ("Pending", "Running") for pod in pods)
    room = max(0, min(spec.get("parallelism", 1), count) - active)
    absent = [index for index in range(count) if index not in present][:room]
    indexed = spec.get("completionMode") == "Indexed"
    return [_job_pod(workload, index, indexed) for index in absent]


def _job_pod(workload: Object, index: int, indexed: bool) -> Object:
    name = workload["metadata"]["name"]
    pod = _pod(workload, f"{name}-{index}", workload["spec"]["template"])
    pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = name
    if indexed:
        pod["metadata"]["labels"][INDEX] = str(index)
        pod["metadata"]["annotations"][INDEX] = str(index)
        _add_env(pod, {"JOB_COMPLETION_INDEX": str(index)})
    return pod


def _replica_pods(workload: Object) -> list[Object]:
    name = workload["metadata"]["name"]
    found = []
    for role in ("Master", "Worker"):
        replica = workload["spec"]["pytorchReplicaSpecs"].get(role, {"replicas": 0})
        for index in range(replica.get("replicas", 1)):
            pod = _pod(workload, f"{name}-{role.lower()}-{index}", replica["template"])
            pod["metadata"]["labels"] |= {REPLICA_TYPE: role.lower(), REPLICA_INDEX: str(index)}
            found.append(pod)
    return found


def add_ranks(workload: Object, pods: list[Object], master_address: str, port: int) -> None:
    """Give a PyTorchJob's pods the environment that the training operator gives them: rank 0 is the master.

    The port cannot be the training operator's 23456: torch's store listens on every address of the machine, and another
    training on it may have that port.
    """
    ordered = sorted(
        pods, key=lambda pod: (pod["metadata"]["labels"][REPLICA_TYPE] != "master", int(pod["metadata"]["labels"][REPLICA_INDEX]))
    )
    per_pod = int(str(workload["spec"].get("nprocPerNode", "1")))
    for rank, pod in enumerate(ordered):
        common = {"MASTER_ADDR": master_address, "MASTER_PORT": str(port)}
        elastic = {"PET_NNODES": str(len(ordered)), "PET_NODE_RANK": str(rank), "PET_NPROC_PER_NODE": str(per_pod)}
        size = {"WORLD_SIZE": str(len(ordered) * per_pod), "RANK": str(rank), "PYTHONUNBUFFERED": "1"}
        # All ranks are on this machine: gloo must not look for another interface (a laptop's host name may lead nowhere).
        local = {"GLOO_SOCKET_IFNAME": "lo"}
        _add_env(pod, common | size | elastic | local | {f"PET_{key}": value for key, value in common.items()})


def _pod(workload: Object, name: str, template: Object) -> Object:
    template = copy.deepcopy(template)
    metadata = template.get("metadata", {})
    owner = {key: workload["metadata"][key] for key in ("name", "uid")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": workload["metadata"]["namespace"],
            "labels": dict(metadata.get("labels", {})),
            "annotations": dict(metadata.get("annotations", {})),
            "ownerReferences": [{"apiVersion": workload["apiVersion"], "kind": workload["kind"], "controller": True, **owner}],
        },
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    }


def _add_env(pod: Object, values: dict[str, str]) -> None:
    for box in pod["spec"]["containers"]:
        present = {entry["name"] for entry in box.get("env", [])}
        box["env"] = [*box.get("env", []), *({"name": key, "value": value} for key, value in values.items() if key not in present)]


def ended(workload: Object) -> bool:
    """Tell if a workload has a final condition."""
    conditions = workload.get("status", {}).get("conditions", [])
    return any(item["type"] in ("Complete", "Succeeded", "Failed") and item["status"] == "True" for item in conditions)


def workload_status(workload: Object, pods: list[Object], now: str) -> dict[str, Any]:
    """Return a workload's status after its pods; a final condition never changes again."""
    old: dict[str, Any] = workload.get("status", {})
    if ended(workload):
        return old
    phases = [phase_of(pod) for pod in pods]
    status = {key: value for key, value in old.items() if key in ("startTime", "conditions")}
    if pods:
        status.setdefault("startTime", now)
    counts = {"active": phases.count("Running"), "succeeded": phases.count("Succeeded"), "failed": phases.count("Failed")}
    final = _job_final(workload, counts) if workload["kind"] == "Job" else _torch_final(pods)
    if workload["kind"] == "Job":
        status |= counts
    if final:
        status["conditions"] = [*status.get("conditions", []), final | {"status": "True", "lastTransitionTime": now}]
        status["completionTime"] = now
    return status


def _job_final(workload: Object, counts: dict[str, int]) -> dict[str, str] | None:
    if counts["failed"]:
        return {"type": "Failed", "reason": "BackoffLimitExceeded", "message": "a pod of the job has failed"}
    if counts["succeeded"] >= workload["spec"].get("completions", 1):
        return {"type": "Complete", "reason": "CompletionsReached", "message": "all pods have succeeded"}
    return None


def _torch_final(pods: list[Object]) -> dict[str, str] | None:
    if any(phase_of(pod) == "Failed" for pod in pods):
        return {"type": "Failed", "reason": "PyTorchJobFailed", "message": "a replica has failed"}
    masters = [pod for pod in pods if pod["metadata"]["labels"].get(REPLICA_TYPE) == "master"]
    if masters and all(phase_of(pod) == "Succeeded" for pod in masters):
        return {"type": "Succeeded", "reason": "PyTorchJobSucceeded", "message": "the master has succeeded"}
    return None
