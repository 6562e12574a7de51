"""What a sandbox promises, whoever implements it and wherever it runs.

A session is one conversation with one environment; calls of a session are numbered and idempotent by (session, seq).
Outcomes up to ``limit_output`` are the tool's or the model's; the last three are infrastructure and never a reward.
"""

import contextlib
import json
import math
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from astra_jobs.api.base import Model
from astra_jobs.records.episode import INFRASTRUCTURE

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


_UNPARSED: Any = object()


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


APPLIED = frozenset({"ok", "tool_error"})
"""Outcomes of calls that belong to a session's history."""
LIMITS = frozenset({"limit_time", "limit_memory", "limit_output"})
_JSON = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
"""Reads what JSON has a form for, and no NaN or Infinity, by whatever name: they stop whoever writes them down."""


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


class CallResult:
    """What one call gave. ``text`` is what the model is shown, and the JSON text of the value where the outcome is ``ok``.

    Made once a call, so it is a plain object and the value is parsed only for who asks. ``state`` is a hash of the
    session's history: equal states mean equal histories. Equality leaves ``cpu_seconds`` out.
    """

    __slots__ = ("_value", "cpu_seconds", "outcome", "retry_after", "state", "text")

    def __init__(
        self,
        outcome: CallOutcome,
        value: Any = _UNPARSED,
        text: str = "",
        cpu_seconds: float = 0.0,
        state: str = "",
        retry_after: float = 0.0,
    ) -> None:
        self.outcome = outcome
        self._value = value
        self.text = text
        self.cpu_seconds = cpu_seconds
        self.state = state
        self.retry_after = retry_after
        """Seconds after which an ``overloaded`` call may be tried again."""

    @property
    def value(self) -> Any:
        """The value as JSON data; None where there is none, or where a hostile session gave text that is not JSON."""
        if self._value is _UNPARSED:
            self._value = None
            if self.outcome == "ok" and self.text:
                with contextlib.suppress(ValueError, RecursionError):
                    value = _JSON.decode(self.text)
                    if "\\u" in self.text:
                        json.dumps(value, ensure_ascii=False).encode()  # half a letter is no text
                    self._value = value
        return self._value

    @property
    def trusted(self) -> bool:
        """Whether the outcome is the tool's or the model's; False for infrastructure, which is never a reward."""
        return self.outcome not in INFRASTRUCTURE

    def __eq__(self, other: object) -> bool:
        """Compare outcome, text, value and state."""
        if not isinstance(other, CallResult):
            return NotImplemented
        return (self.outcome, self.text, self.state) == (other.outcome, other.text, other.state) and (
            bool(self.text) or self.value == other.value
        )

    __hash__ = None  # type: ignore[assignment] # values need not be hashable

    def __repr__(self) -> str:
        """Show what equality compares."""
        return f"CallResult(outcome={self.outcome!r}, text={self.text!r}, state={self.state!r})"


def failure(outcome: CallOutcome, message: str, cpu: float = 0.0, retry_after: float = 0.0) -> CallResult:
    """Return the result of a call that gave no value; its text is the message."""
    return CallResult(outcome, None, message, cpu, "", retry_after)


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
