"""The stages of each kind, as data: what runs, how wide, and which of them makes the artifact that other runs use."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from astra_jobs.api.artifact import Kind

WorkloadType = Literal["Job", "IndexedJob", "PyTorchJob"]


@dataclass(frozen=True)
class Stage:
    """One stage of a kind.

    ``width`` and ``needs`` are paths into the spec: pods side by side, and what must be set for it to exist. ``unread`` is a field
    of the spec that the stage makes nothing of: changing it, or an input that it names, finds the stage's artifact in the store.
    ``tools`` tells that the stage runs tool code: untrusted, so in the pool that the team's isolation asks for.
    """

    name: str
    workload: WorkloadType = "Job"
    width: str = ""
    needs: str = ""
    unread: str = ""
    product: bool = False
    tools: bool = False


_CHAINS = (Stage("synthesise", "IndexedJob", width="shards"), Stage("merge", product=True))
_ENVIRONMENTS = (Stage("synthesise", "IndexedJob", width="shards", tools=True), Stage("merge", product=True, tools=True))
_PREPARE, _EVALUATE = Stage("prepare"), Stage("evaluate", needs="evaluation", tools=True)
_TRAIN = Stage("train", "PyTorchJob", width="training.ranks", unread="evaluation", product=True)

STAGES: dict[Kind, tuple[Stage, ...]] = {
    "ToolCorpus": (Stage("collect", product=True),),
    "ChainSynthesis": _CHAINS,
    "EnvSynthesis": _ENVIRONMENTS,
    "SFTRun": (_PREPARE, _TRAIN, _EVALUATE),
    "RLRun": (_PREPARE, replace(_TRAIN, tools=True), _EVALUATE),
}


@dataclass(frozen=True)
class PlannedStage:
    """A stage as one run has it."""

    name: str
    workload: WorkloadType
    width: int
    product: bool
    unread: str = ""
    tools: bool = False

    @property
    def pods(self) -> int:
        """Return how many pods the stage's workload has at once; the ranks of a Job share one."""
        return 1 if self.workload == "Job" else self.width

    @property
    def shards(self) -> int:
        """Return into how many artifacts the stage's result is split: ranks share one, shards have one each."""
        return self.width if self.workload == "IndexedJob" else 1


def product_stage(kind: Kind) -> Stage:
    """Return the stage whose artifact is the run's."""
    return next(stage for stage in STAGES[kind] if stage.product)


def plan(kind: Kind, spec: dict[str, Any]) -> tuple[PlannedStage, ...]:
    """Return the stages of a run from its effective spec (camelCase, defaults filled in), in order."""
    planned = []
    for stage in STAGES[kind]:
        if stage.needs and _at(spec, stage.needs) is None:
            continue
        workload: WorkloadType = "Job" if stage.workload == "PyTorchJob" and spec.get("launcher") == "Job" else stage.workload
        width = int(_at(spec, stage.width)) if stage.width else 1
        planned.append(PlannedStage(stage.name, workload, width, stage.product, stage.unread, stage.tools))
    return tuple(planned)


def _at(spec: dict[str, Any], path: str) -> Any:
    value: Any = spec
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
