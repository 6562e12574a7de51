"""Why a launch ends, whether another follows it, and how soon.

A launch ends as a whole: when one rank dies, hangs or is evicted, all of its pods go and a new launch continues from the last
checkpoint. Shards do not know each other: the Job controller tries each of them again by itself, and the launch ends when it gives
one up. The exit code of ``astra-job`` says what the failure was worth (see ``astra_jobs.api.errors``).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from astra_jobs.api.errors import EXIT_BAD_INPUT, EXIT_PREEMPTED
from astra_jobs.api.result import ProgressReport
from astra_jobs.api.v1alpha1.common import Limits
from astra_jobs.api.v1alpha1.status import REASONS
from astra_operator.clusters.base import format_time, parse_time
from astra_operator.observed import Cause, End, Launch
from astra_operator.pods import PodFact, succeeded
from astra_operator.pools import Pool
from astra_operator.settings import OperatorSettings
from astra_operator.workloads import WorkloadFact


class Why(NamedTuple):
    """Why a launch ends; ``reason`` is the condition's, ``counted`` uses up one of limits.maxRestarts."""

    cause: Cause
    counted: bool
    reason: str
    message: str = ""
    checkpoint: int | None = None
    waited: float = 0.0


LATE_SECONDS = 5.0
"""How much later than the news of its workload the news of a pod's end may come."""

Reports = Mapping[str, ProgressReport | None]


@dataclass(frozen=True)
class GiveUp:
    """The attempt is over without its artifact, until something changes."""

    reason: str
    message: str


@dataclass(frozen=True)
class Watch:
    """What a running launch is measured by. ``reports`` is by pod name; ``last_sign`` the newest progress known before this pass.

    ``silent`` says of pods that do not answer when that was first noticed. ``retry`` is today's ``spec.retry``.
    """

    limits: Limits
    reports: Reports
    last_sign: datetime | None
    spent: float
    now: datetime
    retry: str = ""
    silent: Mapping[str, datetime] = field(default_factory=dict)

    def forgiven(self, launch: Launch) -> bool:
        """Tell if the user has asked since a launch was made that the attempt be tried again: its end then counts for nothing.

        There is no clock in it: a launch's request holds the value of ``spec.retry`` that it was made under.
        """
        return bool(launch.request.spec.get("retry", "") != self.retry)


def judge(launch: Launch, earlier: Sequence[Launch], watch: Watch) -> End | None:
    """Return why an unfinished launch has to end, or None while it may go on. ``earlier`` are the stage's launches before it.

    While its workload is held (by its queue, mostly) its pods are told to go, and what becomes of them is no failure.
    """
    if launch.job is not None and launch.job.held is not None:
        return None
    failing = _first_failure(launch)
    if failing is not None:
        return _end(launch, watch, _cause(failing, earlier))
    why = _gone(launch) if launch.job is None else _given_up(launch, launch.job, watch.now) or _remade(launch, launch.job)
    why = why or _too_long(launch, watch)
    return _end(launch, watch, why) if why else None


def verdict(stage: Sequence[Launch], everything: Sequence[Launch], watch: Watch, settings: OperatorSettings) -> GiveUp | float:
    """Decide what follows the stage's newest launch, which has ended: nothing, or another after a delay in seconds.

    The limits are today's: raising ``maxRestarts`` or ``deadlineSeconds`` lets a run that was given up go on. So does a wish to try
    again, with a fresh budget of restarts and time: what stopped the run may have been mended outside its spec.
    """
    end = stage[-1].end
    assert end is not None, "only an ended launch is followed by another"
    if watch.forgiven(stage[-1]):
        return 0.0
    counted = restarts([launch for launch in everything if not watch.forgiven(launch)])
    if end.cause == "BadInput":
        return GiveUp(end.reason, end.message)
    patience = watch.limits.pending_deadline_seconds
    if end.cause == "PendingDeadline" and patience is not None and end.waited > patience:
        return GiveUp(end.reason, end.message)
    if watch.spent > watch.limits.deadline_seconds:
        return GiveUp(
            "DeadlineExceeded", f"the attempt ran for {watch.spent:.0f} s, limits.deadlineSeconds is {watch.limits.deadline_seconds}"
        )
    if end.counted and counted > watch.limits.max_restarts:
        return GiveUp(end.reason, f"{end.message} (restarts: {counted - 1}, limits.maxRestarts is {watch.limits.max_restarts})")
    since = (watch.now - parse_time(end.time)).total_seconds()
    return max(0.0, _delay(stage, settings) - since)


def restarts(launches: Sequence[Launch]) -> int:
    """Count what uses up ``limits.maxRestarts``: ended launches, and shards that were tried again within a launch."""
    return sum((launch.end is not None and launch.end.counted) + launch.retries for launch in launches)


def spent(launches: Sequence[Launch], now: datetime) -> float:
    """Return the seconds that an attempt's pods have run, waiting and suspension not counted."""
    return sum(launch.seconds(now) for launch in launches)


def suspend(launch: Launch, watch: Watch) -> End:
    """End a launch because the user asked for no pods."""
    return _end(launch, watch, Why("Suspended", False, "Suspended", ""))


def pool_late(pool: Pool, watch: Watch) -> End | None:
    """Return why a launch ends before it was made whose sandbox pool has not answered for longer than pods may wait to start."""
    limit, waited = watch.limits.pending_deadline_seconds, pool.down(watch.now)
    if limit is None or waited <= limit:
        return None
    trouble = pool.trouble(watch.now)
    told = f"sandbox pool {pool.name} was not ready for more than {limit} s (limits.pendingDeadlineSeconds)"
    message = f"{told}: {trouble.reason}: {trouble.message}" if trouble else told
    return End(cause="PendingDeadline", reason="PendingDeadlineExceeded", message=message[:600], waited=waited, time=format_time(watch.now))


def _delay(stage: Sequence[Launch], settings: OperatorSettings) -> float:
    """Return 0 after a suspension and after the first loss, else a delay that doubles with each end in a row."""
    row = 0
    for launch in reversed(stage):
        if launch.end is None or launch.end.cause == "Suspended":
            break
        row += 1
    last = stage[-1].end
    steps = row if last and last.counted else row - 1
    return min(settings.longest_restart_delay, settings.first_restart_delay * 2.0 ** min(steps - 1, 30)) if steps > 0 else 0.0


def _first_failure(launch: Launch) -> PodFact | None:
    """Return the pod whose end explains the launch's: bad input wherever it is, else what was tried most often, or failed first.

    A pod that was told to go comes last: it was mostly another's failure that ended it.
    """
    failures = [pod for pod in launch.pods if _ends_it(pod, launch)]
    refused = [pod for pod in failures if pod.exit_code == EXIT_BAD_INPUT]
    tries = Counter(pod.index for pod in launch.replaced)
    far = datetime.max.replace(tzinfo=None)
    return min(
        refused or failures,
        key=lambda pod: (pod.ending, -tries[pod.index], pod.finished.replace(tzinfo=None) if pod.finished else far, pod.index),
        default=None,
    )


def _ends_it(pod: PodFact, launch: Launch) -> bool:
    """Tell if a pod's end is the launch's; one that owes an artifact (rank 0, every shard) fails without it, whatever its exit code."""
    job = launch.job
    if pod.phase == "Succeeded":
        return pod.index < launch.request.shards and not succeeded(pod)
    if pod.phase != "Failed":
        return False
    if job is not None and job.queue and pod.ending:
        return False  # a queue that took the quota back and gave it again; whatever else it was, the workload tells
    # A failed shard is tried again by the Job controller, until that says that it is not.
    return not launch.itself or job is None or job.failure is not None


def _gone(launch: Launch) -> Why:
    return Why("Vanished", False, "Restarting", f"workload {launch.name} vanished")


def _given_up(launch: Launch, job: WorkloadFact, now: datetime) -> Why | None:
    """Return what a workload's end is worth when no pod is left that explains it.

    Pods and workloads come by different streams: one that explains it may still be on its way, so this waits until none is alive, and a
    little longer.
    """
    if launch.alive or (job.ended is not None and (now - job.ended).total_seconds() < LATE_SECONDS):
        return None
    if job.failure is not None:
        reason, message = job.failure
        told = f"{job.kind} {launch.name}: {reason}: {message}"
        if reason == "PodFailurePolicy" and f"exit code {EXIT_BAD_INPUT} " in message:
            return Why("BadInput", False, "BadInput", told)
        if reason == "DeadlineExceeded":
            return Why("Deadline", True, "DeadlineExceeded", told)
        if reason in ("PodFailurePolicy", "FailedIndexes", "MaxFailedIndexesExceeded"):
            return Why("Failed", True, "Failed", told)
        return Why("Vanished", False, "Restarting", f"pods of {launch.name} vanished without a result")
    if job.complete:
        return Why("Unread", False, "Restarting", f"{launch.name} has ended well, but its pods were gone before they were read")
    return None


def _remade(launch: Launch, job: WorkloadFact) -> Why | None:
    """Return why a training ends whose controller made a rank anew: the others wait for the one that is gone."""
    for pod in launch.pods:
        if job.running is not None and pod.made is not None and pod.made > job.running and not job.complete:
            return Why("Lost", False, "Restarting", f"pod {pod.name} was made anew while the other ranks were running")
    return None


def _too_long(launch: Launch, watch: Watch) -> Why | None:
    late = _pending(launch, watch)
    if late:
        return late
    quiet = _quiet(launch, watch)
    if quiet:
        return Why("Stuck", True, "Stuck", quiet)
    if watch.spent + launch.seconds(watch.now) > watch.limits.deadline_seconds:
        return Why("Deadline", False, "DeadlineExceeded", "")
    return None


def _pending(launch: Launch, watch: Watch) -> Why | None:
    """Return why a launch ends of which a pod has been waiting to start for too long, or was never made."""
    limit = watch.limits.pending_deadline_seconds
    if limit is None:
        return None
    waits = [(pod.made, f"pod {pod.name}", pod.waiting) for pod in launch.pods if pod.phase == "Pending" and not pod.ending]
    if not launch.pods and launch.job is not None:
        waits = [(launch.job.began, f"the first pod of {launch.name}", "it was never made")]
    for since, who, what in waits:
        waited = (watch.now - since).total_seconds() if since else 0.0
        if waited > limit:
            message = f"{who} waited for more than {limit} s to start (limits.pendingDeadlineSeconds)"
            return Why("PendingDeadline", False, "PendingDeadlineExceeded", f"{message}: {what}" if what else message, waited=waited)
    return None


def _cause(pod: PodFact, earlier: Sequence[Launch]) -> Why:
    """Return what a failed pod's end was worth."""
    error = pod.result.error if pod.result else None
    message = (f"{error.where}: {error.message}" if error.where else error.message) if error else _exit_message(pod)
    newest = pod.result.checkpoint if pod.result else None
    named = error.reason if error and error.reason in REASONS else ""
    if pod.exit_code == EXIT_BAD_INPUT:
        return Why("BadInput", False, named or "BadInput", message)
    if pod.lost:  # the node's doing, whatever the process said while it was told to go
        return Why("Lost", False, "Restarting", f"pod {pod.name} was lost or evicted" + (f": {pod.message}" if pod.message else ""), newest)
    if pod.exit_code == EXIT_PREEMPTED:
        before = max((launch.end.checkpoint for launch in earlier if launch.end and launch.end.checkpoint is not None), default=-1)
        return Why("Preempted", newest is None or newest <= before, named or "Failed", message, newest)
    if pod.out_of_memory:
        return Why("OutOfMemory", True, "OutOfMemory", f"pod {pod.name} used more memory than pod.resources.memory allows; raise it")
    return Why("Failed", True, named or "Failed", message, newest)


def _exit_message(pod: PodFact) -> str:
    code = pod.exit_code if pod.exit_code is not None else -1
    how = f"signal {code - 128}" if code > 128 else f"exit code {code}"
    if code == 0:
        how = "exit code 0 but no result"
    return f"pod {pod.name} ended with {how}" + (f": {pod.message}" if pod.message else "")


def _quiet(launch: Launch, watch: Watch) -> str:
    """Return a message when a pod that reports progress has not done so for too long."""
    for pod in launch.pods:
        if pod.name not in watch.reports or pod.phase != "Running" or pod.started is None:
            continue
        if watch.now - max(pod.started, _sign(pod, launch, watch)) > timedelta(seconds=watch.limits.stall_seconds):
            return f"pod {pod.name} made no progress for more than {watch.limits.stall_seconds} s (limits.stallSeconds)"
    return ""


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


def _end(launch: Launch, watch: Watch, why: Why) -> End:
    return End(
        cause=why.cause,
        reason=why.reason,
        message=why.message[:600],
        counted=why.counted,
        retries=launch.retries,
        checkpoint=why.checkpoint,
        waited=why.waited,
        seconds=launch.seconds(watch.now),
        time=format_time(watch.now),
    )
