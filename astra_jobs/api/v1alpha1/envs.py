"""EnvSynthesis: verifiable Python environments from question graphs (SPEC 3)."""

from typing import Literal

from astra_jobs.api.base import Model, spec_field
from astra_jobs.api.v1alpha1.author import EnvAuthor
from astra_jobs.api.v1alpha1.common import CommonSpec, LetteredMetadata, ProceduralWorlds, Resource
from astra_jobs.api.v1alpha1.sandbox import SandboxPool

HEADROOM = 0.1
"""Share of the CPU limit that a call may use at verification, so that it is far from the limit on a slow machine."""
LEAST_SECONDS = 0.1


class ProceduralSeeds(Model):
    """Main questions drawn from procedural worlds."""

    questions: int = spec_field(about="questions to decompose, the held-out ones included", unit="questions", ge=1, le=1_000_000)
    worlds: ProceduralWorlds = spec_field(ProceduralWorlds, about="difficulty of the worlds")


class EnvSeeds(Model):
    """Where main questions come from."""

    procedural: ProceduralSeeds = spec_field(about="procedural worlds")


class Quality(Model):
    """The gate on the four scores of a decomposition."""

    min_score: float = spec_field(
        0.95, about="least mean of dependency consistency, atomicity, sequential rationality and completeness", ge=0, le=1
    )


class ToolLimits(Model):
    """Bounds of one tool call, at verification and later."""

    seconds: float = spec_field(2.0, about="longest CPU time of one call", unit="s", gt=0, le=60)
    memory_mib: int = spec_field(256, about="most address space of a session", unit="MiB", ge=32, le=8192)
    output_chars: int = spec_field(4096, about="longest result text", unit="characters", ge=64, le=1_000_000)

    @property
    def verification_seconds(self) -> float:
        """Return the CPU time of a call at verification: a share of what it will have later, so that a slow machine is no danger."""
        return min(self.seconds, max(LEAST_SECONDS, HEADROOM * self.seconds))


class Distractors(Model):
    """Irrelevant tools from three similarity bands."""

    per_band: int = spec_field(3, about="most irrelevant tools drawn from each of the bands high, medium, low", unit="tools", ge=0, le=20)
    high: float = spec_field(0.85, about="normalised similarity above which a tool is in the high band", source="paper", ge=0, le=1)
    low: float = spec_field(0.4, about="normalised similarity below which a tool is in the low band", source="paper", ge=0, le=1)
    embedder: Literal["HashedNgrams"] = spec_field("HashedNgrams", about="embedding of tool documents; HashedNgrams needs no model")


class EnvSynthesisSpec(CommonSpec):
    """How environments are made and verified."""

    author: EnvAuthor = spec_field(about="who answers the typed requests")
    seeds: EnvSeeds = spec_field(about="where main questions come from")
    quality: Quality = spec_field(Quality, about="gate on the four scores")
    tool: ToolLimits = spec_field(ToolLimits, about="bounds of a tool call")
    distractors: Distractors = spec_field(Distractors, about="irrelevant tools")
    held_out: float = spec_field(
        0.1, about="share of verified environments kept for evaluation only, split by world", unit="share", ge=0, le=0.9
    )
    sandbox: SandboxPool = spec_field(
        SandboxPool,
        about="pool of pods in which tool code runs where the team's isolation is gVisor; a laptop ignores it",
        operational=True,
    )
    shards: int = spec_field(
        1, about="pods that synthesise side by side; the result does not depend on it", operational=True, ge=1, le=1000
    )


class EnvSynthesis(Resource):
    """Verifiable environments made from question graphs."""

    kind: Literal["EnvSynthesis"] = "EnvSynthesis"
    metadata: LetteredMetadata
    spec: EnvSynthesisSpec
