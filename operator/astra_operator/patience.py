"""How long a launch may wait, be silent and take: limits.pendingDeadlineSeconds, limits.stallSeconds, limits.deadlineSeconds. Pure.

A rank does nothing before the last of its peers has started, so of a launch whose pods work on one artifact the clock of
``stallSeconds`` stands still while any of its pods waits for a node, starts, or was never made, and begins when the last one runs; waiting
is what ``pendingDeadlineSeconds`` is for. Shards do not know each other: each has a clock of its own. No clock runs while the sandbox
pool of the stage does not answer, nor is a job blamed whose node does not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from astra_jobs.api.result import ProgressReport
from astra_jobs.api.v1alpha1.common import Limits
from astra_operator.observed import Cause, Launch
from astra_operator.pods import PodFact
from astra_operator.pools import Pool

GONE_SECONDS = 30.0
"""How much longer than its time a pod that was told to go may stay before its node counts as dead."""

Reports = Mapping[str, ProgressReport | None]


class Why(NamedTuple):
    """Why a launch ends; ``reason`` is the condition's, ``counted`` uses up one of limits.maxRestarts."""

    cause: Cause
    counted: bool
    reason: str
    message: str = ""
    checkpoint: int | None = None
    waited: float = 0.0


@dataclass(frozen=True)
class Watch:
    """What a running launch is measured by. ``reports`` is by pod name; ``last_sign`` the newest progress known before this pass.

    ``silent`` says of pods that do not answer when that was first noticed. ``retry`` is today's ``spec.retry``. ``pool`` is the sandbox
    pool that the stage needs.
    """

    limits: Limits
    reports: Reports
    last_sign: datetime | None
    spent: float
    now: datetime
    retry: str = ""
    silent: Mapping[str, datetime] = field(default_factory=dict)
    pool: Pool | None = None

    def forgiven(self, launch: Launch) -> bool:
        """Tell if the user has asked since a launch was made that the attempt be tried again: its end then counts for nothing.

        There is no clock in it: a launch's request holds the value of ``spec.retry`` that it was made under.
        """
        return bool(launch.request.spec.get("retry", "") != self.retry)


def too_long(launch: Launch, watch: Watch) -> Why | None:
    """Return why a launch ends that has waited, been silent or run for longer than it may."""
    why = _dead(launch, watch.now) or _pending(launch, watch) or _unserved(launch, watch) or _quiet(launch, watch)
    if why is None and watch.spent + launch.seconds(watch.now) > watch.limits.deadline_seconds:
        return Why("Deadline", False, "DeadlineExceeded", "")
    return why


def overdue(pod: PodFact, seconds: float, now: datetime) -> bool:
    """Tell if a pod is still there so long after the time that it was given to go: nobody on its node carries that out."""
    return pod.goes_by is not None and (now - pod.goes_by).total_seconds() > seconds


def _dead(launch: Launch, now: datetime) -> Why | None:
    for pod in launch.pods:
        if pod.alive and overdue(pod, GONE_SECONDS, now):
            return Why("Lost", False, "Restarting", f"{pod.where} was told to go and has not gone in its time: its node may be dead")
    return None


def _pending(launch: Launch, watch: Watch) -> Why | None:
    """Return why a launch ends of which a pod has been waiting to start for too long, or was never made."""
    limit = watch.limits.pending_deadline_seconds
    if limit is None:
        return None
    for since, who, what in _waits(launch):
        waited = (watch.now - since).total_seconds() if since else 0.0
        if waited > limit:
            message = f"{who} waited for more than {limit} s to start (limits.pendingDeadlineSeconds)"
            return Why("PendingDeadline", False, "PendingDeadlineExceeded", f"{message}: {what}" if what else message, waited=waited)
    return None


def _unserved(launch: Launch, watch: Watch) -> Why | None:
    """Return why a launch ends whose pool starts beside it, once its queue has let it in, and has not answered for too long."""
    limit, pool = watch.limits.pending_deadline_seconds, watch.pool
    if limit is None or pool is None or launch.job is None or not launch.job.queue or pool.down(watch.now) <= limit:
        return None
    message = f"sandbox pool {pool.name} was not ready for more than {limit} s (limits.pendingDeadlineSeconds)"
    return Why("PendingDeadline", False, "PendingDeadlineExceeded", message, waited=pool.down(watch.now))


def _waits(launch: Launch) -> Iterator[tuple[datetime | None, str, str]]:
    """Yield since when each pod waits, which it is, and for what."""
    for pod in launch.pods:
        if pod.phase == "Pending" and not pod.ending:
            yield pod.made, f"pod {pod.name}", pod.waiting or pod.first
    if launch.missing and launch.job is not None:
        who = f"one of {launch.width} pods" if launch.pods else "the first pod"
        yield launch.job.began, f"{who} of {launch.name}", "it was never made"


def _quiet(launch: Launch, watch: Watch) -> Why | None:
    """Return why a launch ends of which a pod that reports progress has not done so for too long."""
    together = not launch.itself
    if together and (launch.missing or any(pod.phase == "Pending" for pod in launch.pods)):
        return None
    if watch.pool is not None and not watch.pool.available:
        return None
    since = _ready(launch.pods if together else (), watch)
    for pod in launch.pods:
        if pod.name not in watch.reports or pod.phase != "Running" or pod.started is None:
            continue
        start = max((pod.started, *since))
        if watch.now - max(start, _sign(pod, launch, watch)) > timedelta(seconds=watch.limits.stall_seconds):
            silent = next((other for other in (launch.pods if together else (pod,)) if other.silent), None)
            if silent is not None:
                return Why("Lost", False, "Restarting", f"{silent.where} was lost: its node does not answer")
            return Why("Stuck", True, "Stuck", _stuck(pod, watch))
    return None


def _ready(pods: tuple[PodFact, ...], watch: Watch) -> list[datetime]:
    """Return the moments before which nobody could have made progress."""
    served = watch.pool.answering if watch.pool is not None else None
    return [moment for moment in (*(pod.started for pod in pods), served) if moment is not None]


def _stuck(pod: PodFact, watch: Watch) -> str:
    told = f"pod {pod.name} made no progress for more than {watch.limits.stall_seconds} s (limits.stallSeconds)"
    return f"{told}; {pod.trouble}" if pod.trouble else told


def _sign(pod: PodFact, launch: Launch, watch: Watch) -> datetime:
    """Return when a pod last gave a sign: its report's time, and while it is silent what is known from before.

    Status keeps one time, so of several shards only the operator's memory knows which went silent when; one that starts anew waits anew.
    """
    report = watch.reports[pod.name]
    if report is not None:
        return min(watch.now, datetime.fromtimestamp(max(0.0, min(report.time, 4e9)), tz=watch.now.tzinfo))
    if launch.request.shards == 1 and watch.last_sign is not None:
        return watch.last_sign
    return watch.silent.get(pod.name, watch.now) if launch.request.shards > 1 else datetime.fromtimestamp(0, tz=watch.now.tzinfo)
