"""``RemoteSandbox``: what a job holds. Keeps the promises of ``Sandbox`` over any number of servers that may fail."""

import asyncio
import functools
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from astra_jobs.api.base import as_declared, digest_of
from astra_jobs.api.errors import BadInput, JobError
from astra_jobs.sandbox.arguments import checks_of
from astra_jobs.sandbox.protocol import LIMITS, CallResult, ToolCode, failure
from astra_jobs.sandbox.remote.endpoints import Endpoints, Lookup, lookup
from astra_jobs.sandbox.remote.fleet import Fleet
from astra_jobs.sandbox.remote.metrics import Metrics
from astra_jobs.sandbox.remote.serving import prepare, serve
from astra_jobs.sandbox.remote.session import Group, Item, Session
from astra_jobs.sandbox.remote.settings import Settings
from astra_jobs.sandbox.remote.troubles import Refused
from astra_jobs.sandbox.remote.wire import Arguments

LONGEST_NAME = 256
"""Longest name of a tool that a server reads."""
BUNDLES = 8_192
"""Most registered environments; above it, the least recently put one that has no session is forgotten, as servers do."""


class RemoteSandbox:
    """A ``Sandbox`` on servers. Everything may be called concurrently."""

    def __init__(self, settings: Settings, look: Lookup = lookup) -> None:
        self.settings = settings
        self._metrics = Metrics()
        self._fleet = Fleet(settings, Endpoints(settings.urls, look), self._metrics)
        self._sessions = self._fleet.sessions
        self._closed = False

    async def start(self) -> None:
        """Find the servers; BadInput when one is not what was promised or the key is wrong, Transient when none answers."""
        await self._fleet.start()

    async def put(self, tools: list[ToolCode]) -> str:
        """Register an environment; BadInput names a tool whose schema is not one, or that comes twice. Sends nothing yet."""
        documents = [tool.to_dict() for tool in tools]
        digest = digest_of(documents)
        bundles = self._fleet.bundles
        known = bundles.pop(digest, None)
        if known is None:
            await checks_of(tools)
            known = as_declared({"tools": documents})
        bundles[digest] = known  # the most recent one is last
        if len(bundles) > BUNDLES:
            self._forget_one()
        return digest

    def _forget_one(self) -> None:
        used = {session.environment for session in self._sessions.values()}
        *others, _ = self._fleet.bundles
        unused = next((digest for digest in others if digest not in used), None)
        if unused is not None:
            self._fleet.forget(unused)

    async def open(self, environment: str, seed: int) -> str:
        """Start a session of a registered environment; KeyError for another. Servers that fail are the first call's trouble."""
        if environment not in self._fleet.bundles:
            raise KeyError(environment)
        session = Session(f"s{secrets.token_hex(12)}", environment, seed)
        self._sessions[session.id] = session
        self._start(session, prepare(session, self._fleet))
        assert session.serving is not None
        try:
            await asyncio.shield(session.serving)
        except BaseException as error:
            await self.close(session.id)
            if isinstance(error, Refused):
                raise _refused(error) from None
            raise
        return session.id

    async def call(self, session: str, seq: int, tool: str, arguments: dict[str, Any]) -> CallResult:
        """Run one call; the same (session, seq) again returns the same result. JobError when a server must not be used."""
        return (await self.call_many(session, seq, [(tool, arguments)]))[0]

    async def call_many(self, session: str, first: int, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[CallResult]:
        """Run calls numbered from ``first`` on, in order; the list ends with the first that met a limit or was lost."""
        found = self._sessions.get(session)
        if found is None:
            return [failure("session_lost", "the session was closed")]
        group = Group()
        asked = self._items(found, first, calls, group)
        self._ask(found, [item for item in asked if isinstance(item, Item)])
        results: list[CallResult] = []
        for item in asked:
            result = await self._result(found, item, group) if isinstance(item, Item) else item
            if result is None:
                break
            results.append(result)
            self._metrics.add(f"calls_{result.outcome}")
            if result.outcome in LIMITS or not result.trusted:
                break
        return results

    def _ask(self, session: Session, items: Sequence[Item]) -> None:
        for item in items:
            session.ask(item)
        if session.queue and session.serving is None:
            self._start(session, serve(session, self._fleet))

    async def _result(self, session: Session, item: Item, group: Group) -> CallResult | None:
        """Wait for a call; one that somebody else asked for first, and that was not run for them, is run for this caller."""
        while True:
            result = await asyncio.shield(item.future)
            if result is not None or item.group is group:
                return result
            item = session.item(item.seq, item.tool, item.arguments, group, item.deadline)
            self._ask(session, [item])

    def _items(self, session: Session, first: int, calls: Sequence[tuple[str, dict[str, Any]]], group: Group) -> list[Item | CallResult]:
        """Return each call to be asked, or the result of one that no server needs to see; SequenceConflict before anything is run."""
        deadline = time.monotonic() + self.settings.patience
        items: list[Item | CallResult] = []
        for seq, (tool, arguments) in enumerate(calls, start=first):
            try:
                given = Arguments(arguments)
            except (ValueError, TypeError, RecursionError):
                items.append(failure("invalid_args", "the arguments are not JSON"))
                continue
            if len(tool) > LONGEST_NAME:
                items.append(failure("unknown_tool", f"unknown tool {tool[:LONGEST_NAME]}"))
                continue
            item = session.item(seq, tool, given, group, deadline)
            items.append(item)
            if item.met_limit:
                break
        return items

    def _start(self, session: Session, work: Any) -> None:
        session.serving = asyncio.ensure_future(work)
        session.serving.add_done_callback(functools.partial(self._served, session))

    def _served(self, session: Session, task: "asyncio.Task[None]") -> None:
        """Go on with what was asked meanwhile; whatever ended the serving ends who waits for it."""
        session.serving = None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            session.fail(_refused(error) if isinstance(error, Refused) else error)
        elif session.queue and not session.closed and not self._closed:
            self._start(session, serve(session, self._fleet))

    async def close(self, session: str) -> None:
        """End a session; calls of it that wait are lost. The server is told some time soon."""
        found = self._sessions.pop(session, None)
        if found is not None:
            found.closed = True
            found.fail(failure("session_lost", "the session was closed"))

    async def shutdown(self) -> None:
        """End every session and connection. The servers go on."""
        self._closed = True
        for session in list(self._sessions):
            await self.close(session)
        await self._fleet.stop()

    def counts(self) -> dict[str, float]:
        """Return what was counted so far, by name; times are seconds."""
        lanes = self._fleet.lanes.values()
        now = {"sessions": len(self._sessions), "endpoints": len(lanes), "endpoints_down": sum(lane.down for lane in lanes)}
        return {**self._metrics.counts(), **now}


def _refused(error: Refused) -> JobError:
    return BadInput("sandbox", "BadInput", f"{error}; use a client and a server of the same version")


@asynccontextmanager
async def remote_sandbox(settings: Settings, look: Lookup = lookup) -> AsyncIterator[RemoteSandbox]:
    """Give a sandbox on servers; on leaving, its sessions are ended and nothing of it runs here any longer."""
    sandbox = RemoteSandbox(settings, look)
    try:
        await sandbox.start()
        yield sandbox
    finally:
        await sandbox.shutdown()
