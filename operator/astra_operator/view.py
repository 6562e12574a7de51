"""One run as one pass sees it: what is wanted, what exists, and what follows from both. Pure and computed on demand."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.errors import BadInput
from astra_jobs.api.v1alpha1.common import Limits
from astra_jobs.api.v1alpha1.status import Status
from astra_operator import attempts, restarts
from astra_operator.causes import Hint
from astra_operator.clusters.base import Object, parse_time
from astra_operator.desired.launch import RunName, pool_plan
from astra_operator.desired.sandbox import PoolPlan, size_mark
from astra_operator.frozen import Live, common_of, overlay, spec_model
from astra_operator.observed import Launch, Observation
from astra_operator.obstacles import Obstacle
from astra_operator.patience import Reports, Watch
from astra_operator.pods import PodFact, read_pod
from astra_operator.pools import Pool
from astra_operator.resolve import Resolution
from astra_operator.restarts import GiveUp
from astra_operator.settings import OperatorSettings, TeamSettings
from astra_operator.stages import PlannedStage, plan


@dataclass(frozen=True)
class View:
    """Everything that a decision may depend on.

    ``silent`` says since when pods do not answer, as far as this process knows; ``hint`` is what events tell of a standstill;
    ``terminating`` that the namespace is being deleted; ``obstacle`` is set when the next step was refused.
    """

    run: Object
    live: Live
    resolution: Resolution
    seen: Observation
    team: TeamSettings | BadInput
    settings: OperatorSettings
    now: datetime
    reports: Reports = field(default_factory=dict)
    silent: Mapping[str, datetime] = field(default_factory=dict)
    hint: Hint | None = None
    terminating: bool = False
    obstacle: Obstacle | None = None

    @cached_property
    def stored(self) -> Status:
        """The status as it was last written; one that cannot be read counts as none."""
        try:
            return Status.model_validate(self.run.get("status") or {})
        except ValidationError:
            return Status()

    @cached_property
    def same_attempt(self) -> bool:
        """Tell if the stored status speaks of the newest attempt."""
        frozen, attempt = self.seen.frozen, self.stored.attempt
        return frozen is not None and attempt is not None and (attempt.number, attempt.digest) == (frozen.number, frozen.digest)

    @cached_property
    def next_number(self) -> int:
        """The number of the attempt after all that are known."""
        return max(self.seen.newest_attempt, self.stored.attempt.number if self.stored.attempt else 0) + 1

    @cached_property
    def changed(self) -> bool:
        """Tell if the spec asks for another attempt than the newest."""
        return self.seen.frozen is None or attempts.spec_changed(self.seen.frozen, self.live)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The spec that the attempt is carried out by: frozen, with the operational fields of today."""
        assert self.seen.frozen is not None, "a spec is carried out by an attempt"
        if self.live.spec is None or self.changed:
            return self.seen.frozen.spec
        return overlay(self.seen.frozen.spec, self.live.spec, spec_model(self.seen.frozen.kind))

    @cached_property
    def limits(self) -> Limits:
        """Today's limits, or the frozen ones while the spec is another's or invalid."""
        return common_of(self.spec).limits

    @cached_property
    def suspended(self) -> bool:
        """Tell if the user asks for no pods."""
        return self.live.common.suspend

    @cached_property
    def stages(self) -> tuple[PlannedStage, ...]:
        """The attempt's stages in order."""
        return plan(self.seen.frozen.kind, self.spec) if self.seen.frozen else ()

    @cached_property
    def results(self) -> Mapping[str, tuple[Artifact, ...]]:
        """Artifacts of the stages that are done, by stage: from pods, else from what a later stage was told, else from status."""
        told: dict[str, dict[int, Artifact]] = {}
        for launch in self.seen.launches:
            for item in launch.request.previous:
                earlier, shard = item.role.split("/")
                told.setdefault(earlier, {})[int(shard)] = item.artifact
        found = {}
        for stage in self.stages:
            made = next((launch.artifacts for launch in reversed(self.seen.of_stage(stage.name)) if launch.artifacts), None)
            if made is None and stage.name in told:
                made = tuple(told[stage.name][index] for index in sorted(told[stage.name]))
            if made is None and self.same_attempt and stage.name in self.stored.artifacts:
                made = (self.stored.artifacts[stage.name],)
            if made is None:
                break
            found[stage.name] = made
        return found

    @cached_property
    def current(self) -> PlannedStage | None:
        """The first stage that is not done."""
        return next((stage for stage in self.stages if stage.name not in self.results), None)

    @cached_property
    def pool_plan(self) -> PoolPlan | None:
        """The pool that the current stage needs, None when it needs none."""
        frozen = self.seen.frozen
        plan = pool_plan(name_of(self.run), frozen, self.current, self.spec) if frozen and self.current else None
        return replace(plan, asleep=True) if plan and self._waits_in_queue else plan

    @cached_property
    def _waits_in_queue(self) -> bool:
        """Whether a queue has not let in the current stage's workload: its pool has no pods until then, or they idle beside the quota."""
        launch = self.launch
        if launch is None or launch.end is not None or launch.job is None:
            return bool(common_of(self.spec).queue)
        return bool(launch.job.queue) and launch.job.held is not None

    @cached_property
    def pool(self) -> Pool | None:
        """What there is of that pool."""
        plan = self.pool_plan
        return next((pool for pool in self.seen.pools if pool.name == plan.name), None) if plan else None

    @cached_property
    def pool_whole(self) -> bool:
        """Tell if nothing of the current stage's pool has to be made or changed, answers or not."""
        plan, pool = self.pool_plan, self.pool
        return plan is None or (pool is not None and pool.complete and pool.size == size_mark(plan.size))

    @cached_property
    def pool_kept(self) -> bool:
        """Tell if the current stage may still use its pool: it does not when it is over, or suspended and its pods are gone."""
        launch = self.launch
        if isinstance(self.verdict, GiveUp):
            return launch is not None and launch.goes_on
        return not self.suspended or (launch is not None and (launch.end is None or launch.leftovers))

    @cached_property
    def spare_pools(self) -> tuple[Pool, ...]:
        """The pools that nothing needs any more, of other stages and attempts too."""
        mine = self.pool_plan.name if self.pool_plan and self.pool_kept else ""
        return tuple(pool for pool in self.seen.pools if pool.name != mine)

    @cached_property
    def held_open(self) -> tuple[Object, ...]:
        """What is left of stages that are done and whose results are safe elsewhere, when a container beside the job keeps it there."""
        done = [launch for launch in self.seen.launches if launch.stage in self.results and launch.held_open]
        return tuple(item for launch in done if launch.stage in self._kept_results for item in launch.objects)

    @cached_property
    def _kept_results(self) -> set[str]:
        """The stages whose artifacts are also known without their pods."""
        told = {item.role.split("/")[0] for launch in self.seen.launches for item in launch.request.previous}
        return told | (set(self.stored.artifacts) if self.same_attempt else set())

    @cached_property
    def leaving(self) -> tuple[PodFact, ...]:
        """The pods that were told to go: of ended launches and of earlier attempts. Nothing is started before they are gone."""
        ended = [launch for launch in self.seen.launches if launch.end is not None]
        pods = [pod for launch in ended for pod in (*launch.pods, *launch.replaced)]
        stale = [read_pod(item) for item in self.seen.stale if item["kind"] == "Pod"]
        return tuple(pod for pod in (*pods, *stale) if pod.ending)

    @cached_property
    def history(self) -> list[Launch]:
        """The current stage's launches, oldest first."""
        return self.seen.of_stage(self.current.name) if self.current else []

    @cached_property
    def launch(self) -> Launch | None:
        """The current stage's newest launch."""
        return self.history[-1] if self.history else None

    @cached_property
    def watch(self) -> Watch:
        """What the current launch is measured by."""
        watch = Watch(self.limits, self.reports, None, 0.0, self.now, self.spec.get("retry", ""), self.silent, self.pool)
        others = [
            launch for launch in self.seen.launches if (launch is not self.launch or launch.end is not None) and not watch.forgiven(launch)
        ]
        progress = self.stored.progress if self.same_attempt and self.current and self.stored.stage == self.current.name else None
        sign = parse_time(progress.time) if progress and progress.time else None
        return replace(watch, last_sign=sign, spent=restarts.spent(others, self.now))

    @cached_property
    def verdict(self) -> GiveUp | float | None:
        """What follows the current stage's newest launch, or None while it has not ended."""
        if self.launch is None or self.launch.end is None:
            return None
        return restarts.verdict(self.history, self.seen.launches, self.watch, self.settings)

    @cached_property
    def ended(self) -> bool:
        """Tell if the newest attempt has nothing left to do."""
        return self.seen.frozen is not None and (self.current is None or isinstance(self.verdict, GiveUp))

    @cached_property
    def wants_new(self) -> bool:
        """Tell if the run needs another attempt than its newest."""
        return attempts.wants_new(self.seen.frozen, self.live, self.resolution, self.ended)

    @cached_property
    def can_open(self) -> bool:
        """Tell if that attempt can be opened now."""
        ready = self.live.spec is not None and self.resolution.inputs is not None and isinstance(self.team, TeamSettings)
        return self.wants_new and ready and not self.suspended


def name_of(run: Object) -> RunName:
    """Return what a run's objects are named and labelled by."""
    metadata = run["metadata"]
    return RunName(metadata.get("namespace", "default"), metadata["name"], metadata["uid"])
