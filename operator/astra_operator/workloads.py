"""What a Job or a PyTorchJob says of itself, and Kueue of it → facts. Pure.

Its controller may try shards again by itself (an Indexed Job) or make a rank anew (a PyTorchJob); Kueue may hold it or take its
quota away. Which of that ends a launch is for ``restarts`` to say.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from astra_operator.clusters.base import Object, parse_time
from astra_operator.desired import naming

_FAILED = ("Failed", "FailureTarget")
"""A Job has FailureTarget from the moment at which it is lost until its last pod is gone, and Failed from then on."""
_COMPLETE = ("Complete", "Succeeded")
_NO_QUEUE = re.compile(r"(Local|Cluster)Queue \S+ (doesn't|does not) exist")


@dataclass(frozen=True)
class Held:
    """Why a workload asks for no pods now."""

    reason: Literal["WaitingForQuota", "Preempted", "QueueMissing", "QueueDeactivated", "Pending"]
    message: str


@dataclass(frozen=True)
class WorkloadFact:
    """A workload's own object. ``failure`` is the reason and message with which its controller gave it up.

    ``ended`` is when that, or its success, was said; ``began`` when it last asked for pods; ``running`` since when a PyTorchJob has been
    running, None while it is not.
    """

    kind: str
    complete: bool = False
    failure: tuple[str, str] | None = None
    queue: str = ""
    held: Held | None = None
    ended: datetime | None = None
    began: datetime | None = None
    running: datetime | None = None


def read_workload(item: Object, queued: Object | None) -> WorkloadFact:
    """Read a Job or a PyTorchJob and the Kueue Workload that was made for it, if there is one."""
    status = item.get("status", {})
    conditions = {entry["type"]: entry for entry in status.get("conditions", []) if entry.get("status") == "True"}
    failed = next((conditions[kind] for kind in _FAILED if kind in conditions), None)
    done = next((conditions[kind] for kind in _COMPLETE if kind in conditions), None)
    running = conditions.get("Running", {}) if item["kind"] == "PyTorchJob" else {}
    return WorkloadFact(
        kind=item["kind"],
        complete=done is not None,
        failure=(failed.get("reason", ""), failed.get("message", "")) if failed else None,
        queue=item["metadata"].get("labels", {}).get(naming.LABEL_QUEUE, ""),
        held=_held(item, queued) if _suspended(item) or "Suspended" in conditions else None,
        ended=_time((failed or done or {}).get("lastTransitionTime")),
        began=_time(status.get("startTime")),
        running=_time(running.get("lastTransitionTime")),
    )


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None


def _suspended(item: Object) -> bool:
    spec = item.get("spec", {})
    return bool(spec.get("suspend") or (spec.get("runPolicy") or {}).get("suspend"))


def _held(item: Object, queued: Object | None) -> Held:
    queue = item["metadata"].get("labels", {}).get(naming.LABEL_QUEUE, "")
    if not queue:
        return Held("Pending", f"somebody has suspended {item['kind']} {item['metadata']['name']}; it goes on when that is taken back")
    if queued is None:
        return Held("WaitingForQuota", f"queue {queue} has not taken it up yet")
    conditions: dict[str, dict[str, Any]] = {entry["type"]: entry for entry in queued.get("status", {}).get("conditions", [])}
    evicted, reserved = conditions.get("Evicted", {}), conditions.get("QuotaReserved", {})
    if queued.get("spec", {}).get("active") is False:
        return Held("QueueDeactivated", _deactivated(queued, queue, evicted))
    if evicted.get("status") == "True" and evicted.get("reason") == "Preempted":
        return Held("Preempted", f"queue {queue}: {evicted.get('message', '')}")
    told = reserved.get("message") if reserved.get("status") == "False" else ""
    if told and _NO_QUEUE.search(told):
        return Held("QueueMissing", f"spec.queue: {queue}: {told}")
    return Held("WaitingForQuota", f"queue {queue}: {told or evicted.get('message') or 'waits for its turn'}")


def _deactivated(queued: Object, queue: str, evicted: dict[str, Any]) -> str:
    """Say that somebody, or Kueue itself after too many tries, took a Workload out of its queue, and how it gets back."""
    metadata = queued["metadata"]
    why = f" ({' '.join(evicted['message'].split())})" if evicted.get("message") else ""
    patch = f'kubectl -n {metadata["namespace"]} patch workload {metadata["name"]} --type=merge -p \'{{"spec":{{"active":true}}}}\''
    return f"queue {queue}: Workload {metadata['name']} was deactivated{why}; once its cause is gone: {patch}"
