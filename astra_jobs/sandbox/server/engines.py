"""The engines of one server as one: variant 0, and those that differ from it in what must not matter to a tool.

A session belongs to the variant that it was made in; an environment is put into all. Every engine has bounds, processes
and user ids of its own. A call is brought to its engine by one look into each variant but the first.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.pool.engine import Engine
from astra_jobs.sandbox.pool.errors import SessionConflict
from astra_jobs.sandbox.pool.records import Bundle, LogEntry
from astra_jobs.sandbox.protocol import CallResult, ToolCode


class Engines:
    """Does what an ``Engine`` does, in the engine that has the session."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.all = tuple(engines)
        self.first, *self.others = self.all

    async def start(self) -> None:
        """Start every engine, each of which proves its walls; raises what theirs does."""
        for engine in self.all:
            await engine.start()

    async def stop(self) -> None:
        """End every process of every engine, also when one of them fails to."""
        for error in await asyncio.gather(*(engine.stop() for engine in self.all), return_exceptions=True):
            if error is not None:
                raise error

    @property
    def ready(self) -> bool:
        """Tell whether every variant can start sessions now."""
        return all(engine.ready for engine in self.all)

    @property
    def alive(self) -> bool:
        """Tell whether every variant can start sessions now or soon."""
        return all(engine.alive for engine in self.all)

    async def put(self, tools: list[ToolCode]) -> str:
        """Register an environment in all variants; BadInput."""
        digest = await self.first.put(tools)
        for engine in self.others:
            await engine.put(tools)
        return digest

    def environment(self, digest: str) -> Bundle | None:
        """Return an environment that every variant has."""
        found = [engine.environment(digest) for engine in self.all]
        return found[0] if None not in found else None

    def create(
        self,
        environment: str,
        seed: int,
        variant: int = 0,
        *,
        session: str | None = None,
        lease: float | None = None,
        log: Sequence[LogEntry] = (),
    ) -> str:
        """Open a session in a variant; what ``Engine.create`` raises, and BadInput for a variant that is not offered."""
        if not 0 <= variant < len(self.all):
            raise BadInput("variant", "BadInput", f"found {variant}; this server offers those below {len(self.all)}")
        engine = self.all[variant]
        self._check_free(session, engine)
        return engine.create(environment, seed, session=session, lease=lease, log=log)

    def submit(
        self, session: str, seq: int, tool: str, arguments: dict[str, Any], deadline: float | None, done: Callable[[CallResult], None]
    ) -> None:
        """Queue a call; raises SequenceConflict only."""
        self._of(session).submit(session, seq, tool, arguments, deadline, done)

    def flush(self) -> None:
        """Send queued calls to their sessions."""
        for engine in self.all:
            engine.flush()

    def fork(self, session: str, new: str | None, upto: int | None) -> str:
        """Open a session with the log of another, in its variant; what ``Engine.fork`` raises."""
        engine = self._of(session)
        self._check_free(new, engine)
        return engine.fork(session, new, upto)

    def renew(self, sessions: Sequence[str]) -> list[str]:
        """Renew leases; return the sessions that no variant has."""
        unknown = list(sessions)
        for engine in self.all:
            unknown = engine.renew(unknown)
        return unknown

    async def close(self, session: str) -> None:
        """End a session; unknown sessions are ignored."""
        await self._of(session).close(session)

    def counts(self) -> dict[str, float]:
        """Return the figures of all variants, added up."""
        total: dict[str, float] = {}
        for engine in self.all:
            for name, value in engine.counts().items():
                total[name] = total.get(name, 0) + value
        return total

    def _of(self, session: str) -> Engine:
        """Return the engine that has a session; one that nobody has is the first's to answer for."""
        for engine in self.others:
            if engine.has(session):
                return engine
        return self.first

    def _check_free(self, name: str | None, engine: Engine) -> None:
        """Raise SessionConflict when another variant has a session of that name."""
        if name is not None and any(one is not engine and one.has(name) for one in self.all):
            raise SessionConflict(f"session {name} exists in another variant")
