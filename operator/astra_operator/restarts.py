"""Why a launch ends, whether another follows it, and how soon.

A launch ends as a whole: when one rank dies, hangs or is evicted, all of its pods go and a new launch continues from the last
checkpoint. Shards do not know each other: the Job controller tries each of them again by itself, and the launch ends when it gives
one up. The exit code of ``astra-job`` says what the failure was worth (see ``astra_jobs.api.errors``).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from astra_jobs.api.errors import EXIT_BAD_INPUT, EXIT_PREEMPTED
from astra_jobs.api.v1alpha1.status import REASONS
from astra_operator.clusters.base import format_time, parse_time
from astra_operator.desired.sizes import SCRATCH
from astra_operator.observed import End, Launch
from astra_operator.patience import Watch, Why, too_long
from astra_operator.pods import PodFact, succeeded
from astra_operator.pools import Pool
from astra_operator.settings import OperatorSettings
from astra_operator.workloads import WorkloadFact

LATE_SECONDS = 5.0
"""How much later than the news of its workload the news of a pod's end may come."""
KEPT = 8
"""So many ended launches of a stage stay in sight, for people and for the delay of the next; what older ones used up is carried on."""


@dataclass(frozen=True)
class GiveUp:
    """The attempt is over without its artifact, until something changes."""

    reason: str
    message: str


def judge(launch: Launch, earlier: Sequence[Launch], watch: Watch) -> End | None:
    """Return why an unfinished launch has to end, or None while it may go on. ``earlier`` are the stage's launches before it.

    While its workload is held (by its queue, mostly) its pods are told to go, and what becomes of them is no failure.
    """
    if launch.job is not None and launch.job.held is not None:
        return None
    failing = _first_failure(launch) or _overflowing(launch, watch)
    if failing is not None:
        return _end(launch, earlier, watch, _cause(failing, earlier))
    why = _gone(launch) if launch.job is None else _given_up(launch, launch.job, watch.now) or _remade(launch, launch.job)
    why = why or too_long(launch, watch)
    return _end(launch, earlier, watch, why) if why else None


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
        used = min(counted - 1, watch.limits.max_restarts)
        return GiveUp(end.reason, f"{end.message} (restarts: {used}, limits.maxRestarts is {watch.limits.max_restarts})")
    since = (watch.now - parse_time(end.time)).total_seconds()
    return max(0.0, _delay(stage, settings) - since)


def restarts(launches: Iterable[Launch]) -> int:
    """Count what uses up ``limits.maxRestarts``: ended launches, and shards that were tried again within a launch."""
    listed = list(launches)
    present = sum((launch.end is not None and launch.end.counted) + launch.retries for launch in listed)
    return present + sum(launch.end.earlier_restarts for launch in _oldest(listed) if launch.end)


def spent(launches: Iterable[Launch], now: datetime) -> float:
    """Return the seconds that an attempt's pods have run, waiting and suspension not counted."""
    listed = list(launches)
    return sum(launch.seconds(now) for launch in listed) + sum(launch.end.earlier_seconds for launch in _oldest(listed) if launch.end)


def expired(launches: Sequence[Launch]) -> list[Launch]:
    """Return the ended launches that are out of sight: their requests can go, for the newer ones carry what they used up."""
    found = []
    for stage in {launch.stage for launch in launches}:
        ended = sorted((launch for launch in launches if launch.stage == stage and launch.end), key=lambda launch: launch.restart)
        found += [launch for launch in ended[:-KEPT] if not launch.leftovers]
    return sorted(found, key=lambda launch: (launch.stage, launch.restart))


def suspend(launch: Launch, earlier: Sequence[Launch], watch: Watch) -> End:
    """End a launch because the user asked for no pods."""
    return _end(launch, earlier, watch, Why("Suspended", False, "Suspended", ""))


def pool_late(pool: Pool, earlier: Sequence[Launch], watch: Watch) -> End | None:
    """Return why a launch ends before it was made whose sandbox pool has not answered for longer than pods may wait to start."""
    limit, waited = watch.limits.pending_deadline_seconds, pool.down(watch.now)
    if limit is None or waited <= limit:
        return None
    trouble = pool.trouble(watch.now)
    told = f"sandbox pool {pool.name} was not ready for more than {limit} s (limits.pendingDeadlineSeconds)"
    message = f"{told}: {trouble.reason}: {trouble.message}" if trouble else told
    end = End(cause="PendingDeadline", reason="PendingDeadlineExceeded", message=message[:600], waited=waited, time=format_time(watch.now))
    return end.model_copy(update=_carried(earlier, watch))


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
    refused = [pod for pod in failures if pod.own_exit == EXIT_BAD_INPUT]
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


def _overflowing(launch: Launch, watch: Watch) -> PodFact | None:
    """Return a shard that was evicted for its own use of storage more often than it may fail.

    To the Job controller that is a disruption like any other, which it never counts.
    """
    evicted = [pod for pod in (*launch.pods, *launch.replaced) if pod.out_of_storage]
    often = Counter(pod.index for pod in evicted)
    worst = max(often, key=lambda index: often[index], default=None)
    if not launch.itself or worst is None or often[worst] <= watch.limits.max_restarts:
        return None
    return next(pod for pod in evicted if pod.index == worst)


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


def _cause(pod: PodFact, earlier: Sequence[Launch]) -> Why:
    """Return what a failed pod's end was worth."""
    error = pod.result.error if pod.result else None
    message = (f"{error.where}: {error.message}" if error.where else error.message) if error else _exit_message(pod)
    newest = pod.result.checkpoint if pod.result else None
    named = error.reason if error and error.reason in REASONS else ""
    if pod.own_exit == EXIT_BAD_INPUT:
        return Why("BadInput", False, named or "BadInput", message)
    if pod.lost:  # the node's doing, whatever the process said while it was told to go
        return Why("Lost", False, "Restarting", f"{pod.where} was lost or evicted" + (f": {pod.message}" if pod.message else ""), newest)
    if pod.out_of_storage:
        bound = f"pod.resources.ephemeralStorage allows ({SCRATCH} of scratch where it is not set)"
        told = f"{pod.where} used more local storage than {bound}; raise it: {pod.message}"
        return Why("OutOfStorage", True, "OutOfStorage", told, newest)
    if pod.own_exit == EXIT_PREEMPTED:
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
    who = f"init container {pod.culprit} of pod {pod.name}" if pod.culprit else f"pod {pod.name}"
    return f"{who} ended with {how}" + (f": {pod.message}" if pod.message else "")


def _end(launch: Launch, earlier: Sequence[Launch], watch: Watch, why: Why) -> End:
    end = End(
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
    return end.model_copy(update=_carried(earlier, watch))


def _carried(earlier: Sequence[Launch], watch: Watch) -> dict[str, float]:
    """Return what the stage's launches before one have used up: nothing is forgotten when their requests go."""
    counting = [launch for launch in earlier if not watch.forgiven(launch)]
    return {"earlier_restarts": restarts(counting), "earlier_seconds": spent(counting, watch.now)}


def _oldest(launches: Sequence[Launch]) -> list[Launch]:
    """Return the oldest launch of each stage: what came before it is gone, and told by its end."""
    first: dict[str, Launch] = {}
    for launch in launches:
        if launch.stage not in first or launch.restart < first[launch.stage].restart:
            first[launch.stage] = launch
    return list(first.values())
