"""Tiny controllers of Jobs and PyTorchJobs: which pods a workload needs, which it ends, and what its status says. Pure.

What a Job does is in ``local_jobs``. A PyTorchJob has Master and Worker replicas, which the training operator makes anew when they
are gone, and with the environment that it gives them. Both ask for no pods while they are suspended.
"""

import copy
from datetime import datetime
from typing import Any

from astra_operator.clusters import local_jobs
from astra_operator.clusters.base import Object, format_time
from astra_operator.clusters.local_jobs import FINAL, active, phase_of
from astra_operator.pods import INDEX, REPLICA_INDEX, REPLICA_TYPE


def missing_pods(workload: Object, pods: list[Object], now: datetime) -> list[Object]:
    """Return the pods that a workload lacks now, without UID; empty once it has ended or is lost, and while it is suspended."""
    if ended(workload) or _condition(workload, "FailureTarget") or suspended(workload):
        return []
    if workload["kind"] == "Job":
        if local_jobs.failure(workload, pods):
            return []
        indexed = workload["spec"].get("completionMode") == "Indexed"
        return [_job_pod(workload, index, name, indexed) for index, name in local_jobs.wanted(workload, pods, now)]
    present = {pod["metadata"]["name"] for pod in pods}
    return [pod for pod in _replica_pods(workload) if pod["metadata"]["name"] not in present]


def surplus_pods(workload: Object, pods: list[Object]) -> list[Object]:
    """Return the pods that a workload ends now: all that live, once it is suspended, lost or done."""
    over = suspended(workload) or ended(workload) or _condition(workload, "FailureTarget")
    return [pod for pod in pods if active(pod) and "deletionTimestamp" not in pod["metadata"]] if over else []


def suspended(workload: Object) -> bool:
    """Tell if a workload asks for no pods."""
    spec = workload["spec"]
    return bool(spec.get("suspend") or spec.get("runPolicy", {}).get("suspend"))


def ended(workload: Object) -> bool:
    """Tell if a workload has a final condition."""
    return any(_condition(workload, kind) for kind in FINAL)


def workload_status(workload: Object, pods: list[Object], now: datetime) -> dict[str, Any]:
    """Return a workload's status after its pods; a final condition never changes again."""
    old: dict[str, Any] = workload.get("status", {})
    if ended(workload):
        return old
    status = {key: value for key, value in old.items() if key in ("startTime", "conditions", "completedIndexes")}
    if suspended(workload):
        status.pop("startTime", None)
        return _with(_with(status, "Suspended", True, now), "Running", False, now)
    status = _with(status, "Suspended", False, now)
    status.setdefault("startTime", format_time(now))
    return _job_status(workload, pods, status, now) if workload["kind"] == "Job" else _torch_status(pods, status, now)


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


def _job_status(workload: Object, pods: list[Object], status: dict[str, Any], now: datetime) -> dict[str, Any]:
    phases = [phase_of(pod) for pod in pods]
    done = local_jobs.completed(workload, pods)
    status |= {"active": phases.count("Running"), "succeeded": len(done), "failed": phases.count("Failed")}
    if workload["spec"].get("completionMode") == "Indexed" and done:
        status["completedIndexes"] = ",".join(str(index) for index in sorted(done))
    target = next((item for item in status.get("conditions", []) if item["type"] == "FailureTarget"), None)
    lost = target or local_jobs.failure(workload, pods)
    if lost:
        kind = "FailureTarget" if any(active(pod) for pod in pods) else "Failed"
        return _with(status, kind, True, now, lost["reason"], lost["message"])
    if len(done) >= workload["spec"].get("completions", 1):
        status["completionTime"] = format_time(now)
        return _with(status, "Complete", True, now, "CompletionsReached", "Reached expected number of succeeded pods")
    return status


def _torch_status(pods: list[Object], status: dict[str, Any], now: datetime) -> dict[str, Any]:
    masters = [phase_of(pod) for pod in pods if pod["metadata"]["labels"].get(REPLICA_TYPE) == "master"]
    if any(phase_of(pod) == "Failed" for pod in pods):
        status = _with(status, "Running", False, now)
        return _with(status, "Failed", True, now, "PyTorchJobFailed", "a replica has failed")
    if masters and all(phase == "Succeeded" for phase in masters):
        status = _with(status, "Running", False, now) | {"completionTime": format_time(now)}
        return _with(status, "Succeeded", True, now, "PyTorchJobSucceeded", "the master has succeeded")
    return _with(status, "Running", True, now, "PyTorchJobRunning") if "Running" in masters else status


def _condition(workload: Object, kind: str) -> bool:
    conditions = workload.get("status", {}).get("conditions", [])
    return any(item["type"] == kind and item["status"] == "True" for item in conditions)


def _with(status: dict[str, Any], kind: str, value: bool, now: datetime, reason: str = "", message: str = "") -> dict[str, Any]:
    """Return a status with a condition set; its time moves only on a flip, and a condition that was never true is not made false."""
    conditions = status.get("conditions", [])
    old = next((item for item in conditions if item["type"] == kind), None)
    text = "True" if value else "False"
    if (old is None and not value) or (old is not None and old["status"] == text):
        return status
    fresh = {"type": kind, "status": text, "reason": reason or f"{kind}{text}", "message": message, "lastTransitionTime": format_time(now)}
    return status | {"conditions": [*(item for item in conditions if item["type"] != kind), fresh]}


def _job_pod(workload: Object, index: int, name: str, indexed: bool) -> Object:
    pod = _pod(workload, name, workload["spec"]["template"])
    pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = workload["metadata"]["name"]
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
