"""The next step of a run: one, decided from facts alone. Taking it and looking again is the whole of the reconcile.

Order makes it safe to die anywhere: a new attempt is a ConfigMap before its predecessor is removed; an end is written on the
request before the workload is deleted; a request is made before its workload, and never a second workload for the same request.
A stage's sandbox pool answers before its workload is made, and goes before the next stage begins. Where a queue admits the workload, the
pool is made without pods before it, gets them once it is admitted, and the job itself waits for the first that answers.
"""

from dataclasses import dataclass

from astra_operator import restarts
from astra_operator.clusters.base import WORKLOADS, Object
from astra_operator.desired.sandbox import PoolPlan
from astra_operator.observed import End, Launch
from astra_operator.restarts import GiveUp
from astra_operator.stages import PlannedStage
from astra_operator.view import View


@dataclass(frozen=True)
class Open:
    """Freeze a new attempt."""

    number: int


@dataclass(frozen=True)
class Remove:
    """Delete objects; what they own goes with them."""

    objects: tuple[Object, ...]


@dataclass(frozen=True)
class Mark:
    """Write on a launch's request why it ends."""

    launch: Launch
    end: End


@dataclass(frozen=True)
class Start:
    """Make a request and its workload."""

    stage: PlannedStage
    restart: int


@dataclass(frozen=True)
class Serve:
    """Make what is missing of the stage's sandbox pool, and give it the size that is asked for."""

    plan: PoolPlan


@dataclass(frozen=True)
class Forgo:
    """Write down that a launch has ended before its workload was made: its pool was not ready in time."""

    stage: PlannedStage
    restart: int
    end: End


@dataclass(frozen=True)
class Rest:
    """Nothing to do before something happens, or before ``seconds`` have passed."""

    seconds: float | None = None


Step = Open | Remove | Mark | Serve | Start | Forgo | Rest


def next_step(view: View) -> Step:
    """Decide the next step."""
    if view.terminating:
        return _end_all(view)
    if view.can_open:
        return Open(view.next_number)
    first = _clean_up(view)
    if first is not None:
        return first
    if view.current is None:
        return Rest(view.settings.poll if any(launch.held_open for launch in view.seen.launches) else None)
    launch = view.launch
    if launch is None:
        return Rest() if view.suspended else _start(view, view.current, 0)
    if launch.end is None:
        return _watch_over(view, launch)
    if isinstance(view.verdict, GiveUp):
        return _remove(launch.objects, view) if launch.goes_on else Rest()
    if launch.leftovers:
        return _remove(launch.objects, view)
    if view.suspended:
        return Rest()
    return Rest(view.verdict) if view.verdict else _start(view, view.current, launch.restart + 1)


def _clean_up(view: View) -> Step | None:
    """Return how what nobody needs any more goes, None when there is no such thing. Only pods of other attempts are waited for."""
    if view.seen.stale:
        return _remove(view.seen.stale, view)
    spare = tuple(item for pool in view.spare_pools for item in pool.goes())
    requests = tuple(launch.config for launch in restarts.expired(view.seen.launches))
    unneeded = spare or _doomed(view.held_open) or requests
    return Remove(unneeded) if unneeded else None


def _watch_over(view: View, launch: Launch) -> Step:
    end = restarts.judge(launch, view.history[:-1], view.watch)
    if end is None and view.suspended:
        end = restarts.suspend(launch, view.history[:-1], view.watch)
    if end is not None:
        return Mark(launch, end)
    failed = _held_failures(launch)
    if failed:
        return Remove(failed)
    return Rest(view.settings.poll) if view.pool_plan is None or view.pool_whole else Serve(view.pool_plan)


def _start(view: View, stage: PlannedStage, restart: int) -> Step:
    """Start a stage's workload once its pool answers."""
    if view.pool_plan is None:
        return Start(stage, restart)
    if not view.pool_whole or view.pool is None:
        return Serve(view.pool_plan)
    if view.pool_plan.asleep or view.pool.ready(view.now):
        return Start(stage, restart)
    end = restarts.pool_late(view.pool, view.history, view.watch)
    return Forgo(stage, restart, end) if end else Rest(view.settings.poll)


def _remove(objects: tuple[Object, ...], view: View) -> Step:
    """Remove what is not on its way out yet; pods go with their workload, and are only waited for."""
    doomed = _doomed(objects)
    return Remove(doomed) if doomed else Rest(view.settings.poll)


def _doomed(objects: tuple[Object, ...]) -> tuple[Object, ...]:
    owners = {item["metadata"]["uid"] for item in objects if item["kind"] in WORKLOADS}
    return tuple(
        item
        for item in objects
        if "deletionTimestamp" not in item["metadata"] and not {ref["uid"] for ref in item["metadata"].get("ownerReferences", [])} & owners
    )


def _held_failures(launch: Launch) -> tuple[Object, ...]:
    """Return the pods of shards that failed and are kept running by a container beside: their controller sees no end before they go."""
    names = {pod.name for pod in launch.pods if launch.itself and pod.phase == "Failed" and pod.held_by and not pod.ending}
    return tuple(item for item in launch.objects if item["kind"] == "Pod" and item["metadata"]["name"] in names)


def _end_all(view: View) -> Step:
    """Remove the workloads of a namespace that is being deleted.

    Its pods go first, and an Indexed Job that may make no new ones keeps a finalizer on the old: both would stay for ever.
    """
    everything = [*(item for launch in view.seen.launches for item in launch.objects), *view.seen.stale]
    return _remove(tuple(item for item in everything if item["kind"] in WORKLOADS), view)
