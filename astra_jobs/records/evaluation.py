"""What a model did on held-out environments: evaluation.json of SFTRun and RLRun, read by the report (SPEC 7)."""

from typing import Literal

from pydantic import Field

from astra_jobs.api.base import Model

Mode = Literal["Greedy", "Sampled", "Control"]
PolicyName = Literal["untrained", "sft", "rl", "randomArgument", "oracle"]


class Measured(Model):
    """One episode of an evaluation in numbers."""

    version: Literal[1] = 1
    environment: str
    mode: Mode
    scenario: str
    hops: int
    reward: float
    solved: bool = Field(description="all targets solved")
    calls: int
    turns: int
    tokens: int = Field(description="of the whole tail, observations included")
    truncated: bool
    masked: bool = Field(description="lost to infrastructure; left out of every mean")
    echoed: int = Field(default=0, description="targets solved by calls that held their answer")


class Interval(Model):
    """A mean with its 95 % bootstrap interval over environments."""

    mean: float
    low: float
    high: float


class Slice(Model):
    """A part of the environments: one scenario, or one number of hops."""

    name: str
    episodes: int
    reward: float
    solved: float


class ModeResult(Model):
    """One policy in one mode: Greedy (temperature 0), Sampled (temperature 1), or Control (does not sample)."""

    mode: Mode
    episodes: int
    masked: int = 0
    reward: Interval
    solved: Interval
    calls: Interval
    turns: Interval
    tokens: Interval
    truncated: float
    echoed: float = Field(default=0.0, description="targets an episode solved by calls that held their answer: reward-hack monitor")
    slices: list[Slice] = Field(default_factory=list)


class PolicyResult(Model):
    """One policy on the held-out environments."""

    name: PolicyName
    model: str = Field(default="", description="digest of the weights; empty for the controls")
    modes: list[ModeResult]


class Difference(Model):
    """``after`` minus ``before`` on the same environments, with the paired bootstrap interval."""

    before: PolicyName
    after: PolicyName
    mode: Literal["Greedy", "Sampled"]
    metric: Literal["reward", "solved"]
    mean: float
    low: float
    high: float


class Evaluation(Model):
    """evaluation.json."""

    version: Literal[1] = 1
    environments: int = Field(description="held-out environments, the same ones for every policy")
    environments_digest: str
    policies: list[PolicyResult]
    differences: list[Difference]
