"""ChainSynthesis: judged training conversations from tool documents (SPEC 2)."""

from typing import Literal, Self

from pydantic import model_validator

from astra_jobs.api.base import Model, spec_field
from astra_jobs.api.v1alpha1.author import ChainAuthor
from astra_jobs.api.v1alpha1.common import CommonSpec, Resource, RunReference


class Walks(Model):
    """Length-bounded, weight-biased random walks over the tool graph."""

    min_length: int = spec_field(2, about="fewest tools in a chain", unit="tools", source="paper", ge=1, le=10)
    max_length: int = spec_field(5, about="most tools in a chain", unit="tools", source="paper", ge=1, le=10)
    per_server: int = spec_field(4, about="walks drawn for each server", unit="walks", ge=1, le=1000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_length > self.max_length:
            raise ValueError("minLength must not exceed maxLength")
        return self


class ChainVerification(Model):
    """Judges of a chain and its task."""

    votes: int = spec_field(3, about="judges asked", unit="judges", ge=1, le=9)
    quorum: int = spec_field(2, about="parsable answers needed; fewer leave the chain unscored", unit="judges", ge=1, le=9)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.quorum > self.votes:
            raise ValueError("quorum must not exceed votes")
        return self


class Tasks(Model):
    """Tasks written from chains and from servers alone."""

    server_only: int = spec_field(1, about="tasks for each server that are written from the server alone", unit="tasks", ge=0, le=100)
    max_tools: int = spec_field(3, about="most tools that a server-only task may need", unit="tools", source="paper", ge=1, le=5)


class Augmentation(Model):
    """Rewritings of each task; the original is kept once."""

    variants: list[Literal["Diversity", "Complexity", "Persona"]] = spec_field(
        lambda: ["Diversity", "Complexity", "Persona"],
        about="rewritings made of each task, each listed variant once",
        source="paper",
        max_length=3,
    )


class TaskThresholds(Model):
    """Least score on each axis, 1 to 5; all must pass."""

    question_quality: int = spec_field(4, about="least question quality", unit="points", ge=1, le=5)
    scenario_realism: int = spec_field(4, about="least scenario realism", unit="points", ge=1, le=5)
    tool_necessity: int = spec_field(3, about="least tool necessity", unit="points", ge=1, le=5)


class ChainRollout(Model):
    """Conversations between the acting author and emulated tools."""

    max_turns: int = spec_field(20, about="most model calls in a conversation", unit="calls", source="paper", ge=1, le=100)
    failure_rate: float = spec_field(
        0.2, about="share of emulated calls that fail by an injected, labelled fault", unit="share", source="paper", ge=0, le=0.9
    )
    max_consecutive_failures: int = spec_field(2, about="most injected faults in a row", unit="calls", ge=1, le=10)


class Judging(Model):
    """Seven axes and the selection by them."""

    min_mean: float = spec_field(0.85, about="least mean over the applicable axes", ge=0, le=1)
    min_axis: float = spec_field(0.5, about="least value of each applicable axis", ge=0, le=1)
    canaries: int = spec_field(20, about="known good and bad items given to each judge", unit="items", ge=2, le=1000)
    min_canary_accuracy: float = spec_field(0.9, about="below this accuracy on canaries the run stops as JudgeUnreliable", ge=0, le=1)
    max_recovered: float = spec_field(
        0.5, about="most of the selected conversations that may hold an injected fault; the rest is left out", unit="share", ge=0, le=1
    )
    max_unscored: float = spec_field(0.1, about="above this share of unscored items the run stops", unit="share", ge=0, le=1)


class ChainSynthesisSpec(CommonSpec):
    """How conversations are made from a corpus."""

    corpus: RunReference = spec_field(about="ToolCorpus whose tools are used")
    author: ChainAuthor = spec_field(about="who answers the typed requests")
    walks: Walks = spec_field(Walks, about="random walks over the tool graph")
    verify: ChainVerification = spec_field(ChainVerification, about="verification of chains")
    tasks: Tasks = spec_field(Tasks, about="writing of tasks")
    augment: Augmentation = spec_field(Augmentation, about="augmentation of tasks")
    score: TaskThresholds = spec_field(TaskThresholds, about="thresholds on task scores")
    rollout: ChainRollout = spec_field(ChainRollout, about="rollout of conversations")
    judge: Judging = spec_field(Judging, about="judging and selection of conversations")
    shards: int = spec_field(
        1, about="pods that synthesise side by side; the result does not depend on it", operational=True, ge=1, le=1000
    )


class ChainSynthesis(Resource):
    """Judged training conversations made from a tool corpus."""

    kind: Literal["ChainSynthesis"] = "ChainSynthesis"
    spec: ChainSynthesisSpec
