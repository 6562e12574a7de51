"""The client's side of the HTTP messages, in MessagePack or JSON.

Arguments are encoded once, when a call is asked for, and travel as they are however often it is sent. MessagePack has no
whole numbers beyond 64 bits; a message that holds one goes as JSON. Answers may have fields that are not known here.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from astra_jobs.api.base import canonical
from astra_jobs.sandbox.protocol import CallOutcome

PACKED, JSON = "application/msgpack", "application/json"
Answer = TypeVar("Answer")
DEPTH = 100
"""Deepest nesting of arguments; servers take more."""


class Arguments:
    """A call's arguments in both encodings; ``packed`` is None where MessagePack cannot hold them."""

    __slots__ = ("json", "packed")

    def __init__(self, arguments: dict[str, Any]) -> None:
        """Encode; ValueError, TypeError or RecursionError when the arguments are not JSON, or nested too deeply."""
        self.json = canonical(arguments)
        if self.json.count(b"[") + self.json.count(b"{") > DEPTH and _depth(arguments) > DEPTH:
            raise ValueError(f"nested deeper than {DEPTH} levels")
        try:
            self.packed: bytes | None = msgspec.msgpack.encode(msgspec.json.decode(self.json))
        except OverflowError:
            self.packed = None

    def raw(self, content: str) -> msgspec.Raw:
        """Return the arguments as a part of a message of that content type."""
        return msgspec.Raw(self.json if content == JSON or self.packed is None else self.packed)


class CallRequest(msgspec.Struct):
    """One call of a batch; the deadline is remaining time."""

    session: str
    seq: int
    tool: str
    arguments: msgspec.Raw
    deadline_ms: int


class CallAnswer(msgspec.Struct):
    """One answer of a batch: an outcome, or an error."""

    outcome: CallOutcome | None = None
    text: str = ""
    cpu_seconds: float = 0.0
    state: str = ""
    retry_after_ms: float | None = None
    error: str = ""
    message: str = ""


class SessionRequest(msgspec.Struct, omit_defaults=True):
    """One session to start: its log holds (tool, arguments, outcome, text) of every call that it has seen."""

    session: str
    environment: str
    seed: int
    lease_ms: int
    log: list[tuple[str, msgspec.Raw, str, str]]
    variant: int = 0


class SessionAnswer(msgspec.Struct):
    """One session that was started, or why not."""

    session: str = ""
    error: str = ""
    message: str = ""
    retry_after_ms: float | None = None


class CallAnswers(msgspec.Struct):
    """The answers of a batch of calls, in its order."""

    results: list[CallAnswer]


class SessionAnswers(msgspec.Struct):
    """The answers of a batch of sessions, in its order."""

    sessions: list[SessionAnswer]


class HeartbeatAnswer(msgspec.Struct):
    """The sessions of a heartbeat that the server does not have."""

    unknown: list[str]


class ErrorAnswer(msgspec.Struct):
    """The body of an answer that is an error as a whole."""

    error: str = ""
    message: str = ""
    retry_after_ms: float | None = None


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list | tuple) else 0


def content_of(preferred: str, arguments: Sequence[Arguments]) -> str:
    """Return the content type that can hold all the arguments."""
    return JSON if preferred == JSON or any(one.packed is None for one in arguments) else PACKED


def encode(message: Any, content: str) -> bytes:
    """Encode a message in which all raw parts are of that content type."""
    return msgspec.json.encode(message) if content == JSON else msgspec.msgpack.encode(message)


def decode(data: bytes, content: str, kind: type[Answer]) -> Answer:
    """Decode an answer; ValueError when it is not of its kind."""
    return msgspec.json.decode(data, type=kind) if content == JSON else msgspec.msgpack.decode(data, type=kind)
