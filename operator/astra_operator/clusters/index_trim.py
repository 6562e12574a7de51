"""What of an object is kept in memory: only what ``observed``, ``status``, ``resolve`` and the index itself read.

Everything that changes without a meaning for a run (counters, probe times, managed fields) is left out, so that such a change
wakes nobody. Pure; it decides nothing.
"""

from collections.abc import Callable, Iterable
from typing import Any

from astra_jobs.api.artifact import KINDS
from astra_jobs.api.base import GROUP
from astra_operator.clusters.base import Object
from astra_operator.containers import CONTAINERS, sidecars
from astra_operator.pods import node_is_silent

_METADATA = ("name", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp")
_OWNER = ("apiVersion", "kind", "name", "uid", "controller")
_CONDITION = ("type", "status", "reason", "message", "lastTransitionTime")
_JOB_STATUS = ("startTime", "completedIndexes", "failedIndexes", "failed")
_POD_STATUS = ("phase", "reason", "message", "startTime", "podIP")
_POD_CONDITIONS = ("PodScheduled", "DisruptionTarget")
_POOL_CONDITIONS = ("ReplicaFailure", "Available")
_PENDING_CONDITIONS = (*_POD_CONDITIONS, "PodReadyToStartContainers")
_SILENT_CONDITIONS = (*_POD_CONDITIONS, "Ready", "ContainersReady")
_STATES = {
    "waiting": ("reason", "message"),
    "running": ("startedAt",),
    "terminated": ("exitCode", "signal", "reason", "message", "startedAt", "finishedAt"),
}
_PREFIXES = (f"{GROUP}/", "batch.kubernetes.io/job-completion-index", "training.kubeflow.org/", "kueue.x-k8s.io/")


def trim(item: Object) -> Object:
    """Return the part of an object that is kept, without its resourceVersion; raises ``KeyError`` for a kind that is not watched."""
    return {"apiVersion": item["apiVersion"], "kind": item["kind"]} | _TRIM[item["kind"]](item)


def controller_of(item: Object) -> Object | None:
    """Return the owner reference of the controller of an object, or None."""
    return next((owner for owner in item["metadata"].get("ownerReferences") or () if owner.get("controller")), None)


def _run(item: Object) -> Object:
    metadata = _metadata(item)
    if item["metadata"].get("labels"):  # the user's own, unlike a child's
        metadata["labels"] = item["metadata"]["labels"]
    return {"metadata": metadata} | _some(item, ("spec", "status"))


def _config(item: Object) -> Object:
    return {"metadata": _metadata(item)} | _some(item, ("data",))


def _job(item: Object) -> Object:
    spec, status = item.get("spec", {}), item.get("status", {})
    return {"metadata": _metadata(item), "spec": _some(spec, ("suspend",)), "status": _some(status, _JOB_STATUS) | _conditions(status)}


def _torch(item: Object) -> Object:
    policy, status = item.get("spec", {}).get("runPolicy") or {}, item.get("status", {})
    kept = _some(status, ("startTime", "completionTime")) | _conditions(status)
    return {"metadata": _metadata(item), "spec": {"runPolicy": _some(policy, ("suspend",))}, "status": kept}


def _deployment(item: Object) -> Object:
    status = item.get("status", {})
    kept = _some(status, ("availableReplicas",)) | _conditions(status, _POOL_CONDITIONS)
    return {"metadata": _metadata(item), "spec": _some(item.get("spec", {}), ("replicas",)), "status": kept}


def _bare(item: Object) -> Object:
    return {"metadata": _metadata(item)}


def _workload(item: Object) -> Object:
    spec = {"active": False} if item.get("spec", {}).get("active") is False else {}
    return {"metadata": _metadata(item)} | ({"spec": spec} if spec else {}) | {"status": _conditions(item.get("status", {}))}


def _pod(item: Object) -> Object:
    status = item.get("status", {})
    phase = status.get("phase", "Pending")
    wanted = _PENDING_CONDITIONS if phase == "Pending" else _SILENT_CONDITIONS if node_is_silent(status) else _POD_CONDITIONS
    kept = _some(status, _POD_STATUS) | _conditions(status, wanted)
    shown = _containers(status.get("containerStatuses"))
    if shown:
        kept["containerStatuses"] = shown
    before = [_container(entry) for entry in status.get("initContainerStatuses") or () if _is_news(entry, phase)]
    if before:
        kept["initContainerStatuses"] = before
    return {"metadata": _metadata(item)} | _placed(item) | {"status": kept}


def _placed(item: Object) -> Object:
    """Return the part of a pod's spec that tells its node, and which init containers are sidecars."""
    natives = [{"name": name, "restartPolicy": "Always"} for name in sorted(sidecars(item))]
    spec = _some(item.get("spec", {}), ("nodeName",)) | ({"initContainers": natives} if natives else {})
    return {"spec": spec} if spec else {}


def _is_news(entry: Object, phase: str) -> bool:
    """Tell if an init container keeps, or has kept, the pod's own from running; that it waits for its turn is no news."""
    state = entry.get("state") or {}
    waits = state.get("waiting", {}).get("reason", "PodInitializing") != "PodInitializing"
    return waits or bool(state.get("terminated", {}).get("exitCode")) or (phase == "Pending" and "running" in state)


def _containers(statuses: Iterable[Object] | None) -> list[Object]:
    """Return the trimmed states of containers, the pod's own first; of others only what holds it up or outlives it."""
    listed = sorted(statuses or (), key=lambda status: status.get("name") not in CONTAINERS)
    ended = any("terminated" in (status.get("state") or {}) for status in listed[:1])
    others = [status for status in listed[1:] if _waits(status) or (ended and "running" in (status.get("state") or {}))]
    return [_container(status) for status in [*listed[:1], *others]]


def _waits(status: Object) -> bool:
    waiting = (status.get("state") or {}).get("waiting") or {}
    return waiting.get("reason", "") not in ("", "PodInitializing", "ContainerCreating")


def _container(status: Object) -> Object:
    kept = {"name": status.get("name", ""), "state": _state(status.get("state") or {})}
    late = {"started": False} if status.get("started") is False and "running" in kept["state"] else {}
    # How one ended before that is not back yet: sidecars and pods of pools are started again.
    before = _state(status.get("lastState") or {}).get("terminated") if late or "running" not in kept["state"] else None
    return kept | late | ({"lastState": {"terminated": _some(before, ("exitCode", "reason", "message"))}} if before else {})


def _state(state: Object) -> Object:
    return {name: _some(state[name], fields) for name, fields in _STATES.items() if name in state}


def _metadata(item: Object) -> Object:
    metadata = item["metadata"]
    kept = _some(metadata, _METADATA)
    for field in ("labels", "annotations"):
        marks = {key: value for key, value in (metadata.get(field) or {}).items() if key.startswith(_PREFIXES)}
        if marks:
            kept[field] = marks
    owners = [_some(owner, _OWNER) for owner in metadata.get("ownerReferences") or ()]
    if owners:
        kept["ownerReferences"] = owners
    return kept


def _conditions(status: Object, kinds: tuple[str, ...] = ()) -> Object:
    """Return ``{"conditions": …}`` with those of some types, of all when none is named; empty when there are none."""
    found = [_some(entry, _CONDITION) for entry in status.get("conditions") or () if not kinds or entry.get("type") in kinds]
    return {"conditions": found} if found else {}


def _some(source: Object, fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: source[field] for field in fields if source.get(field) is not None}


_TRIM: dict[str, Callable[[Object], Object]] = {
    **dict.fromkeys(KINDS, _run),
    "ConfigMap": _config,
    "Job": _job,
    "PyTorchJob": _torch,
    "Workload": _workload,
    "Deployment": _deployment,
    **dict.fromkeys(("Service", "NetworkPolicy", "PodDisruptionBudget"), _bare),
    "Pod": _pod,
}
