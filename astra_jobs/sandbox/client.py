"""The sandbox of a laptop and of tests: tool code in plain child processes, behind the protocol of every sandbox.

A zygote forks one process a session. At most ``LIVE`` of them live at a time: an idle one makes room and comes back by
replay of its log. The walls are those of ``child.enclose``; there is no wall against hostile code (SPEC 4,
``isolation: Process``), and status says so.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from astra_jobs.api.base import digest_of
from astra_jobs.sandbox.arguments import check_schema
from astra_jobs.sandbox.link import Link, ZygoteGone
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits, ToolCode
from astra_jobs.sandbox.session import LIMITS, Bundle, Lost, Process, Session, Starved, bundle, failure, payload_of

EPOCH = 1_767_225_600.0
"""Start of every session's clock: 1 January 2026, UTC."""
INFRASTRUCTURE = frozenset({"session_lost", "overloaded", "infra_error"})
"""Outcomes that are not kept: the same call may be made again."""
LIVE = 256
"""Most session processes at a time."""
ZYGOTES = 5
"""Zygotes that may die in one sandbox's life before its calls are answered with infra_error."""


class ProcessSandbox:
    """A ``Sandbox`` of forked processes."""

    def __init__(self, limits: SandboxLimits, hash_seed: int, epoch: float, live: int) -> None:
        self.limits = limits
        self.hash_seed = hash_seed
        self.epoch = epoch
        self.bundles: dict[str, Bundle] = {}
        self.sessions: dict[str, Session] = {}
        self.link: Link | None = None
        self._started = 0
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()
        self._room = asyncio.Semaphore(live)
        self._live = live
        self._busy = 0
        self._idle: OrderedDict[str, Session] = OrderedDict()

    async def put(self, tools: list[ToolCode]) -> str:
        """Register an environment; BadInput names a tool whose schema is not one, or that comes twice."""
        digest = digest_of([tool.to_dict() for tool in tools])
        if digest not in self.bundles:
            for tool in tools:
                check_schema(tool.name, tool.parameters)
            self.bundles[digest] = bundle(digest, tools)
        return digest

    async def open(self, environment: str, seed: int) -> str:
        """Start a session; its process is forked at its first call."""
        session = Session(f"s{next(self._numbers)}", self.bundles[environment], seed)
        self.sessions[session.id] = session
        return session.id

    async def call(self, session: str, seq: int, tool: str, arguments: dict[str, Any]) -> CallResult:
        """Run one call, or return what the same call gave before."""
        return (await self.call_many(session, seq, [(tool, arguments)]))[0]

    async def call_many(self, session: str, first: int, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[CallResult]:
        """Run calls in order in one exchange with the session's process; stop after the first limit or loss."""
        found = self.sessions.get(session)
        if found is None:
            return [failure("session_lost", "the session was closed")]
        async with found.lock:
            if found.closed:
                return [failure("session_lost", "the session was closed")]
            return await self._serve(found, first, calls)

    async def _serve(self, session: Session, first: int, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[CallResult]:
        """Answer what is known or refused without a process, and run the rest."""
        given: list[CallResult | None] = []
        payloads: list[str] = []
        for seq, (tool, arguments) in enumerate(calls, start=first):
            payload, refused = payload_of(tool, arguments), session.refused(tool, arguments)
            payloads.append(payload or "")
            given.append(
                failure("invalid_args", "the arguments are not JSON") if payload is None else session.known(seq, payload) or refused
            )
        numbers = [number for number, result in enumerate(given) if result is None]
        requests = [{"seq": first + number, "tool": calls[number][0], "arguments": calls[number][1]} for number in numbers]
        ran = iter(await self._run(session, requests) if requests else [])
        results: list[CallResult] = []
        for number, ready in enumerate(given):
            result = ready or next(ran, None)
            if result is None:
                break
            results.append(result)
            if result.outcome in INFRASTRUCTURE:
                break
            session.results[first + number] = (payloads[number], result)
        return results

    async def _run(self, session: Session, requests: Sequence[dict[str, Any]]) -> list[CallResult]:
        """Run calls on the session's process, which is replaced once when it is lost."""
        results: list[CallResult] = []
        await self._enter(session)
        try:
            for left in (1, 0):
                try:
                    await self._exchange(session, requests, results)
                    break
                except (Lost, ZygoteGone) as error:
                    await session.drop(kill=True)
                    if not left:
                        results.append(failure("session_lost", str(error) or "the zygote died"))
            if results[-1].outcome in LIMITS or session.closed:
                await session.drop(kill=True)
        except Starved:
            await session.drop(kill=True)
            results.append(failure("infra_error", "the call got too little CPU time within its wall limit"))
        except BaseException:
            await session.drop(kill=True)
            raise
        finally:
            self._leave(session)
        return results

    async def _exchange(self, session: Session, requests: Sequence[dict[str, Any]], results: list[CallResult]) -> None:
        """Run the requests that have no result yet, and add their results."""
        if session.process is None:
            link = await self._zygote()
            if link is None:
                results.append(failure("infra_error", f"{ZYGOTES} zygotes died"))
                return
            session.process = await Process.start(link, next(self._numbers), session.bundle, session.seed)
            await session.replay(self.limits)
        rest = requests[len(results) :]
        async with aclosing(session.process.calls(rest, self.limits)) as stream:
            async for result in stream:
                session.record(requests[len(results)], result)
                results.append(result)

    async def _zygote(self) -> Link | None:
        """Return the live zygote, starting one where there is none; None when too many have died."""
        async with self._starting:
            if self.link is None or self.link.gone:
                if self.link is not None:
                    await self.link.stop()
                if self._started == ZYGOTES:
                    return None
                link = Link(self.limits, self.hash_seed, self.epoch)
                await link.start()
                self.link, self._started = link, self._started + 1
            return self.link

    async def _enter(self, session: Session) -> None:
        """Wait for room for one more busy process, and make it by ending the process that was idle for longest."""
        await self._room.acquire()
        self._busy += 1
        self._idle.pop(session.id, None)
        if self._idle and self._busy + len(self._idle) > self._live:
            _, oldest = self._idle.popitem(last=False)
            await oldest.drop(kill=False)

    def _leave(self, session: Session) -> None:
        if session.process is not None:
            self._idle[session.id] = session
        self._busy -= 1
        self._room.release()

    async def close(self, session: str) -> None:
        """End a session; a call of it that still runs is killed by the end of its caller, not from here."""
        found = self.sessions.pop(session, None)
        if found is None:
            return
        found.closed = True
        if not found.lock.locked():
            self._idle.pop(session, None)
            await found.drop(kill=False)

    async def shutdown(self) -> None:
        """End every process."""
        for session in list(self.sessions):
            await self.close(session)
        if self.link is not None:
            await self.link.stop()


@asynccontextmanager
async def process_sandbox(
    limits: SandboxLimits, hash_seed: int = 0, epoch: float = EPOCH, live: int = LIVE
) -> AsyncIterator[ProcessSandbox]:
    """Give a sandbox of plain processes; on leaving, every process of it has ended.

    ``hash_seed`` and ``epoch`` (seconds since 1970) set what must not matter to a verified tool.
    """
    sandbox = ProcessSandbox(limits, hash_seed, epoch, live)
    await sandbox._zygote()
    try:
        yield sandbox
    finally:
        await sandbox.shutdown()
