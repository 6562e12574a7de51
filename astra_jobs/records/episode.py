"""Episodes: what a policy did in an environment and what it earned."""

from typing import Any, Literal

from pydantic import Field

from astra_jobs.api.base import Model
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
    """One call of an episode in dispatch order."""

    turn: int
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    outcome: Outcome
    value: Any = None
    injected_fault: bool = False


class Reward(Model):
    """The closed-form reward and its parts (SPEC 5)."""

    value: float
    targets: int
    solved: int
    calls: int
    masked: bool = Field(default=False, description="lost to infrastructure: never a zero, the sample leaves its group")


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
    labels: dict[str, str] = Field(default_factory=dict)
