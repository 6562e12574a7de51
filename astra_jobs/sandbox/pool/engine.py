"""The whole sandbox service without HTTP: environments, sessions, calls, bounds and leases.

The signatures are the seam to the server; the bodies follow.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from astra_jobs.sandbox.pool.settings import PoolSettings
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits, ToolCode

LogEntry = tuple[str, dict[str, Any], str, str]
"""A call to be replayed: tool, arguments, outcome, text."""


class Bundle(NamedTuple):
    """A registered environment."""

    digest: str
    tools: list[ToolCode]


class Engine:
    """A ``Sandbox`` of forked processes."""

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self.variant = "shared"
        """``own``: a user id for each live session; ``shared``: one for all, because CAP_SETUID, SETGID or KILL is missing."""
        self.proof: dict[str, str] = {}
        """Wall → evidence that it held at start; empty where nothing was proven."""

    async def start(self) -> None:
        """Start the base zygote and prove the walls; WallMissing, BadInput (memory limit too small) or Transient."""
        raise NotImplementedError

    async def stop(self) -> None:
        """End every process of the pool; calls that wait are answered with session_lost."""
        raise NotImplementedError

    async def shutdown(self) -> None:
        """Do what ``stop`` does."""
        await self.stop()

    async def put(self, tools: list[ToolCode]) -> str:
        """Register an environment; BadInput names a tool whose schema is not one, or that comes twice."""
        raise NotImplementedError

    def environment(self, digest: str) -> Bundle | None:
        """Return a registered environment."""
        raise NotImplementedError

    def create(
        self, environment: str, seed: int, *, session: str | None = None, lease: float | None = None, log: Sequence[LogEntry] = ()
    ) -> str:
        """Open a session; UnknownEnvironment, Overloaded, SessionConflict. The same again returns the id.

        ``log`` holds the calls that happened before; they are replayed, and compared, before the first call.
        """
        raise NotImplementedError

    def submit(
        self, session: str, seq: int, tool: str, arguments: dict[str, Any], deadline: float | None, done: Callable[[CallResult], None]
    ) -> None:
        """Queue a call; ``done`` is called exactly once, maybe at once. Raises SequenceConflict only.

        ``deadline`` is a value of ``loop.time()``. A call that has not started by then is answered ``overloaded``.
        """
        raise NotImplementedError

    def flush(self) -> None:
        """Write queued calls to their sessions now instead of at the loop's next turn; a server calls it after a request."""
        raise NotImplementedError

    def fork(self, session: str, new: str | None, upto: int | None) -> str:
        """Open a session with the log of another up to call number ``upto`` inclusive; KeyError for an unknown session."""
        raise NotImplementedError

    def renew(self, sessions: Sequence[str]) -> list[str]:
        """Renew leases; return the sessions that are unknown."""
        raise NotImplementedError

    async def open(self, environment: str, seed: int) -> str:
        """Start a session; its process is forked at its first call."""
        return self.create(environment, seed)

    async def call(self, session: str, seq: int, tool: str, arguments: dict[str, Any]) -> CallResult:
        """Run one call, or return what the same call gave before."""
        raise NotImplementedError

    async def call_many(self, session: str, first: int, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[CallResult]:
        """Run calls in order; stop after the first limit or loss."""
        raise NotImplementedError

    async def close(self, session: str) -> None:
        """End a session; unknown sessions are ignored."""
        raise NotImplementedError

    def counts(self) -> dict[str, float]:
        """Return figures for metrics, gauges and totals alike."""
        raise NotImplementedError


@asynccontextmanager
async def process_sandbox(limits: SandboxLimits, **settings: Any) -> AsyncIterator[Engine]:
    """Give a sandbox in this process; on leaving, every process of it has ended. ``settings``: fields of PoolSettings."""
    engine = Engine(PoolSettings(limits=limits, **settings))
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()
