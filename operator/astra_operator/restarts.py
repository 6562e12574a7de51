"""Why a launch ends, whether another follows it, and how soon.

A launch ends as a whole: when one rank or shard dies, hangs or is evicted, all of its pods go and a new launch continues from the
last checkpoint. The exit code of ``astra-job`` says what the failure was worth (see ``astra_jobs.api.errors``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from astra_jobs.api.errors import EXIT_BAD_INPUT, EXIT_PREEMPTED
from astra_jobs.api.result import ProgressReport
from astra_jobs.api.v1alpha1.common import Limits
from astra_jobs.api.v1alpha1.status import REASONS
from astra_operator.clusters.base import format_time, parse_time
from astra_operator.observed import Cause, End, Launch, PodFact, succeeded
from astra_operator.settings import OperatorSettings


class Why(NamedTuple):
    """Why a launch ends; ``reason`` is the condition's, ``counted`` uses up one of limits.maxRestarts."""

    cause: Cause
    counted: bool
    reason: str
    message: str = ""
    checkpoint: int | None = None


Reports = Mapping[str, ProgressReport | None]


@dataclass(frozen=True)
class GiveUp:
    """The attempt is over without its artifact, until something changes."""

    reason: str
    message: str


@dataclass(frozen=True)
class Watch:
    """What a running launch is measured by. ``reports`` is by pod name; ``last_sign`` the newest progress known before this pass.

    ``retry`` is when the user last asked to try the attempt again (the annotation ``astra.dev/retry``).
    """

    limits: Limits
    reports: Reports
    last_sign: datetime | None
    spent: float
    now: datetime
    retry: datetime | None = None

    def forgiven(self, launch: Launch) -> bool:
        """Tell if the user asked, after a launch was made, that the attempt be tried again: its end then counts for nothing."""
        return self.retry is not None and launch.made < self.retry


def judge(launch: Launch, earlier: Sequence[Launch], watch: Watch) -> End | None:
    """Return why an unfinished launch has to end, or None while it may go on. ``earlier`` are the stage's launches before it."""
    failing = _first_failure(launch)
    if failing is not None:
        return _end(launch, watch, _cause(failing, earlier))
    alive = any(pod.alive for pod in launch.pods)
    if not launch.workload:
        return _end(launch, watch, Why("Vanished", False, "Restarting", f"workload {launch.name} vanished"))
    if launch.failed or (launch.complete and not alive):
        return _end(launch, watch, Why("Vanished", False, "Restarting", f"pods of {launch.name} vanished without a result"))
    quiet = _quiet(launch, watch)
    if quiet:
        return _end(launch, watch, Why("Stuck", True, "Stuck", quiet))
    if watch.spent + launch.seconds(watch.now) > watch.limits.deadline_seconds:
        return _end(launch, watch, Why("Deadline", False, "DeadlineExceeded", ""))
    return None


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
    if watch.spent > watch.limits.deadline_seconds:
        return GiveUp(
            "DeadlineExceeded", f"the attempt ran for {watch.spent:.0f} s, limits.deadlineSeconds is {watch.limits.deadline_seconds}"
        )
    if end.counted and counted > watch.limits.max_restarts:
        return GiveUp(end.reason, f"{end.message} (restarts: {counted - 1}, limits.maxRestarts is {watch.limits.max_restarts})")
    since = (watch.now - parse_time(end.time)).total_seconds()
    return max(0.0, _delay(stage, settings) - since)


def restarts(launches: Sequence[Launch]) -> int:
    """Count the ended launches that use up ``limits.maxRestarts``."""
    return sum(launch.end is not None and launch.end.counted for launch in launches)


def spent(launches: Sequence[Launch], now: datetime) -> float:
    """Return the seconds that an attempt's pods have run, waiting and suspension not counted."""
    return sum(launch.seconds(now) for launch in launches)


def suspend(launch: Launch, watch: Watch) -> End:
    """End a launch because the user asked for no pods."""
    return _end(launch, watch, Why("Suspended", False, "Suspended", ""))


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
    """Return the pod whose end explains the launch's: bad input wherever it is, else the earliest failure."""
    failures = [pod for pod in launch.pods if _has_failed(pod, launch.request.shards)]
    refused = [pod for pod in failures if pod.exit_code == EXIT_BAD_INPUT]
    far = datetime.max.replace(tzinfo=None)
    return min(refused or failures, key=lambda pod: (pod.finished.replace(tzinfo=None) if pod.finished else far, pod.index), default=None)


def _has_failed(pod: PodFact, shards: int) -> bool:
    """Tell if a pod failed; one that owes an artifact (rank 0, every shard) fails without it, whatever its exit code."""
    return pod.phase == "Failed" or (pod.phase == "Succeeded" and pod.index < shards and not succeeded(pod))


def _cause(pod: PodFact, earlier: Sequence[Launch]) -> Why:
    """Return what a failed pod's end was worth."""
    error = pod.result.error if pod.result else None
    message = (f"{error.where}: {error.message}" if error.where else error.message) if error else _exit_message(pod)
    newest = pod.result.checkpoint if pod.result else None
    named = error.reason if error and error.reason in REASONS else ""
    if pod.exit_code == EXIT_BAD_INPUT:
        return Why("BadInput", False, named or "BadInput", message)
    if pod.lost:  # the node's doing, whatever the process said while it was told to go
        return Why("Lost", False, "Restarting", f"pod {pod.name} was lost or evicted", newest)
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
        signs = [pod.started] + ([watch.last_sign] if watch.last_sign else [])
        report = watch.reports[pod.name]
        if report is not None:
            signs = [pod.started, min(watch.now, datetime.fromtimestamp(max(0.0, min(report.time, 4e9)), tz=watch.now.tzinfo))]
        if watch.now - max(signs) > timedelta(seconds=watch.limits.stall_seconds):
            return f"pod {pod.name} made no progress for more than {watch.limits.stall_seconds} s (limits.stallSeconds)"
    return ""


def _end(launch: Launch, watch: Watch, why: Why) -> End:
    return End(
        cause=why.cause,
        reason=why.reason,
        message=why.message[:600],
        counted=why.counted,
        checkpoint=why.checkpoint,
        seconds=launch.seconds(watch.now),
        time=format_time(watch.now),
    )
