"""Episodes: what a policy did in an environment and what it earned."""

from typing import Any, Literal

from pydantic import Field

from astra_jobs.api.base import Model, Named
from astra_jobs.records.conversation import Message

Outcome = Literal[
    "ok",
    "tool_error",
    "invalid_args",
    "unknown_tool",
    "malformed",
    "limit_time",
    "limit_memory",
    "limit_output",
    "session_lost",
    "overloaded",
    "infra_error",
]
INFRASTRUCTURE: frozenset[str] = frozenset({"session_lost", "overloaded", "infra_error"})
Ending = Literal["Answered", "TurnLimit", "TokenLimit", "Infrastructure"]


class EpisodeCall(Model):
    """One call of an episode, malformed ones included, in the order written."""

    turn: int
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    outcome: Outcome
    value: Any = None
    injected_fault: bool = False
    text: str | None = Field(default=None, description="what the model wrote, for a malformed call")
    fault: str | None = Field(default=None, description="what could not be read of it, and why, for a malformed call")


class Reward(Model):
    """The closed-form reward and its parts (SPEC 5)."""

    value: float
    targets: int
    solved: int
    calls: int
    masked: bool = Field(default=False, description="lost to infrastructure: never a zero, the sample leaves its group")
    echoed: int = Field(default=0, description="targets solved by calls whose arguments held the answer: monitor of reward hacking")


class Episode(Model):
    """A finished episode."""

    version: Literal[1] = 1
    environment: str
    sample: int = 0
    messages: list[Message]
    calls: list[EpisodeCall]
    ending: Ending
    reward: Reward
    prompt_tokens: int = 0
    response_tokens: int = 0
    turns: int = 0
    labels: Named[str] = Field(default_factory=dict)
