"""What a sandbox promises, whoever implements it and wherever it runs.

A session is one conversation with one environment; calls of a session are numbered and idempotent by (session, seq).
Outcomes up to ``limit_output`` are the tool's or the model's; the last three are infrastructure and never a reward.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from pydantic import Field

from astra_jobs.api.base import Model

CallOutcome = Literal[
    "ok",
    "tool_error",
    "invalid_args",
    "unknown_tool",
    "limit_time",
    "limit_memory",
    "limit_output",
    "session_lost",
    "overloaded",
    "infra_error",
]


class SandboxLimits(Model):
    """Walls of a session and of each call."""

    seconds: float = 2.0
    memory_mib: int = 256
    output_chars: int = 4096


class ToolCode(Model):
    """A tool as a sandbox needs it: the schema its arguments are checked against, and the Python source."""

    name: str
    parameters: dict[str, Any]
    code: str


class CallResult(Model):
    """What one call gave. ``value`` is JSON; ``text`` is what the model is shown."""

    outcome: CallOutcome
    value: Any = None
    text: str = ""
    cpu_seconds: float = Field(default=0.0, description="not part of equality between replays")


class SequenceConflict(ValueError):
    """A call number was used again for another call: a mistake of the caller, never an outcome."""


class Sandbox(Protocol):
    """A pool that runs tools. All methods may be called concurrently; calls of one session run one after the other."""

    async def put(self, tools: list[ToolCode]) -> str:
        """Register an environment; return its digest. Equal tools give the equal digest, at no second cost."""

    async def open(self, environment: str, seed: int) -> str:
        """Start a session of a registered environment; return its id."""

    async def call(self, session: str, seq: int, tool: str, arguments: dict[str, Any]) -> CallResult:
        """Run one call; the same (session, seq) again returns the same result without running twice."""

    async def call_many(self, session: str, first: int, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[CallResult]:
        """Run calls numbered from ``first`` on, in order and in one exchange; stop after the first that is not the tool's to answer.

        The list is shorter than ``calls`` when one met a limit or was lost to infrastructure; that one is its last.
        """

    async def close(self, session: str) -> None:
        """End a session; unknown sessions are ignored."""

    async def shutdown(self) -> None:
        """End every process of the pool."""
