"""What holds a launch up, in the words of a condition, and whose events tell the cause when nothing else does. Pure.

Events cost a call, so they are asked for only when a workload makes no progress and neither its own object nor its pods say why.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from astra_operator.causes import BLOCKING, Hint
from astra_operator.clusters.base import WORKLOADS, Object
from astra_operator.observed import Launch
from astra_operator.patience import overdue
from astra_operator.pods import SHOWN_AFTER, SLOW_START, PodFact, why_pending
from astra_operator.pools import Pool

UNDEAD_SECONDS = 300.0
"""How long after its time a pod that does not go makes its run Stalled: only an administrator can tell if its node is dead for good."""
_UNTOLD = ("WaitingForNode", "ImageUnavailable")


@dataclass(frozen=True)
class Wait:
    """What is waited for. ``blocked`` tells that somebody has to change something."""

    reason: str
    message: str
    blocked: bool = False


def wait_of(launch: Launch, hint: Hint | None, now: datetime) -> Wait | None:
    """Return what a launch waits for, once it is worth telling: a pod on its way up counts as running, one write a stage, not two."""
    job = launch.job
    if job is not None and job.held is not None:
        at_once = job.held.reason == "WaitingForQuota" and _since(launch.made, now) < SHOWN_AFTER
        blocked = job.held.reason in ("QueueDeactivated", "QueueMissing")
        return None if at_once else Wait(job.held.reason, job.held.message, blocked)
    for pod in launch.pods:
        if pod.alive and pod.silent:
            return Wait("NodeLost", f"{pod.where}: the node does not answer")
        why = why_pending(pod, pod.made or launch.made, now)
        if why is not None:
            told = hint is not None and hint.name == pod.name and why[0] in _UNTOLD
            return _told(hint, f"pod {pod.name}: {hint.message}") if told and hint is not None else Wait(*why, why[0] in BLOCKING)
    if job is None or not _incomplete(launch, now):
        return None
    if hint is not None and hint.name == launch.name:
        return _told(hint, f"{job.kind} {launch.name}: {hint.message}")
    there = (
        f"only {launch.width - launch.missing} of {launch.width} pods of {launch.name} were"
        if launch.pods
        else f"no pod of {launch.name} was"
    )
    return Wait("Pending", f"{there} made; see kubectl describe {job.kind.lower()} {launch.name}")


def unexplained(launch: Launch, now: datetime) -> Object | None:
    """Return the object whose events may tell why a launch makes no progress: the pod that waits, or the workload that lacks one."""
    if launch.end is not None or launch.job is None or launch.job.held is not None:
        return None
    for pod in launch.pods:
        why = why_pending(pod, pod.made or launch.made, now)
        if why is not None:
            return _object(launch, ("Pod",), pod.name) if why[0] in _UNTOLD else None
    return _object(launch, WORKLOADS, launch.name) if _incomplete(launch, now) else None


def unexplained_pod(pool: Pool, now: datetime) -> Object | None:
    """Return the pod of a sandbox pool whose events may tell why it does not start."""
    waits = pool.waiting(now)
    if pool.available or waits is None or waits[1][0] not in _UNTOLD:
        return None
    return next((item for item in pool.members if item["metadata"]["name"] == waits[0].name), None)


def undead(pods: Iterable[PodFact], now: datetime) -> Wait | None:
    """Return what has to be done about pods that were told to go and do not: nothing is started beside what may still write."""
    stuck = [pod for pod in pods if overdue(pod, UNDEAD_SECONDS, now)]
    if not stuck:
        return None
    pod, more = stuck[0], f" and {len(stuck) - 1} more" if len(stuck) > 1 else ""
    message = (
        f"{pod.where}{more} does not go: its node may be dead. Once the node is sure to be off, delete it (kubectl delete node "
        f"{pod.node or 'NODE'}), or the pod: kubectl delete pod {pod.name} --force --grace-period=0"
    )
    return Wait("NodeLost", message, blocked=True)


def _incomplete(launch: Launch, now: datetime) -> bool:
    """Tell if pods are lacking that should be there by now. Shards that are tried again come late, and are not meant."""
    job = launch.job
    return job is not None and job.began is not None and launch.missing > 0 and _since(job.began, now) > SLOW_START


def _told(hint: Hint, message: str) -> Wait:
    return Wait(hint.reason, message, hint.reason in BLOCKING)


def _object(launch: Launch, kinds: Sequence[str], name: str) -> Object | None:
    return next((item for item in launch.objects if item["kind"] in kinds and item["metadata"]["name"] == name), None)


def _since(moment: datetime, now: datetime) -> float:
    return (now - moment).total_seconds()
