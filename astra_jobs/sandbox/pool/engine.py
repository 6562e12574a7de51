"""The whole sandbox service without HTTP: environments, sessions, calls, bounds and leases.

A job uses it in its own process (``process_sandbox``), the server puts HTTP in front of it. Everything runs on one event
loop by callbacks; a call costs no task.
"""

import asyncio
import heapq
import os
import secrets
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput, Transient
from astra_jobs.sandbox.arguments import checks_of
from astra_jobs.sandbox.pool.admission import given, refused, too_long
from astra_jobs.sandbox.pool.calls import RETRY, STOPPED, Calls
from astra_jobs.sandbox.pool.errors import Overloaded, SessionConflict, UnknownEnvironment, WallMissing
from astra_jobs.sandbox.pool.ledger import CALL, SESSION, is_same
from astra_jobs.sandbox.pool.probes import MEND, prove
from astra_jobs.sandbox.pool.records import MIB, Batch, Bundle, LogEntry, Pending, Session, payload_of
from astra_jobs.sandbox.pool.settings import PoolSettings
from astra_jobs.sandbox.pool.users import users
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits, SequenceConflict, ToolCode, failure

START_SECONDS = 30.0
LEASE_LOOK = 0.25
"""Seconds between two looks for sessions whose lease is over."""

FEW = 64
"""Leases of sessions that are gone that may be kept in any case; above it, and above half, they are cleared away."""


class Engine:
    """A ``Sandbox`` of forked processes."""

    calls: Calls

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self.variant = "shared"
        """``own``: a user id for each live session; ``shared``: one for all, because CAP_SETUID, SETGID or KILL is missing."""
        self.proof: dict[str, str] = {}
        """Wall → evidence that it held at start; empty where nothing was proven."""
        self._bundles: OrderedDict[str, Bundle] = OrderedDict()
        self._open: Counter[str] = Counter()
        self._sessions: dict[str, Session] = {}
        self._dirty: list[Session] = []
        self._leases: list[tuple[float, str]] = []
        self._lease_timer: asyncio.TimerHandle | None = None
        self._users: range | None = None
        self._uses = 0
        self._most_log = settings.session_log_mib * MIB

    async def start(self) -> None:
        """Start the base zygote and prove the walls; WallMissing, BadInput (memory limit too small) or Transient."""
        self._loop = asyncio.get_running_loop()
        self._users = users(self.settings)
        self.variant = "shared" if self._users is None else "own"
        self.calls = Calls(self.settings, self._users)
        await self._warm()
        if self.settings.prove:
            self.proof = await prove(self, os.uname().machine)
            self.calls.totals.clear()

    async def _warm(self) -> None:
        rooms = self.calls.rooms
        base = rooms.bases.start()
        until = self._loop.time() + START_SECONDS
        while not rooms.bases.size:
            if rooms.bases.failed is not None:
                raise WallMissing("seccomp", f"the filter was refused: {os.strerror(rooms.bases.failed)}", MEND)
            if base.control.closed or self._loop.time() > until:
                raise Transient("sandbox", "Failed", "the sandbox's zygote did not start: it ended at once, or gave no answer")
            await asyncio.sleep(0.002)
        limit = self.settings.limits.memory_mib
        if self.settings.walls.memory and rooms.bases.size + 8 * MIB > limit * MIB:
            least = rooms.bases.size // MIB + 16
            raise BadInput("tool.memoryMib", "BadInput", f"{limit} is less than Python itself needs; set at least {least}")

    async def stop(self) -> None:
        """End every process of the pool; calls that wait are answered with session_lost."""
        if not hasattr(self, "calls"):
            return
        if self._lease_timer is not None:
            self._lease_timer.cancel()
        for session in list(self._sessions.values()):
            self._end(session)
        await self.calls.stop()

    async def shutdown(self) -> None:
        """Do what ``stop`` does."""
        await self.stop()

    async def put(self, tools: list[ToolCode]) -> str:
        """Register an environment; BadInput names a tool whose schema is not one, or that comes twice."""
        digest = digest_of([tool.to_dict() for tool in tools])
        if digest not in self._bundles:
            checks = await checks_of(tools)
            self._bundles.setdefault(digest, Bundle(digest, tools, checks))
            if len(self._bundles) > self.settings.bundles:
                self._forget_one()
        if digest in self._bundles:
            self._bundles.move_to_end(digest)
        return digest

    def _forget_one(self) -> None:
        unused = next((digest for digest in self._bundles if not self._open[digest]), None)
        if unused is not None:
            del self._bundles[unused]
            self.calls.rooms.stillborn.pop(unused, None)

    def environment(self, digest: str) -> Bundle | None:
        """Return a registered environment."""
        return self._bundles.get(digest)

    async def forget(self, digest: str) -> None:
        """Remove an environment with its sessions."""
        self._bundles.pop(digest, None)
        for session in [one for one in self._sessions.values() if one.bundle.digest == digest]:
            await self.close(session.id)
        zygote = self.calls.rooms.zygotes.get(digest)
        if zygote is not None:
            zygote.retire()

    def create(
        self, environment: str, seed: int, *, session: str | None = None, lease: float | None = None, log: Sequence[LogEntry] = ()
    ) -> str:
        """Open a session; UnknownEnvironment, Overloaded, SessionConflict. The same again returns the id.

        ``log`` holds the calls that happened before; they are replayed, and compared, before the first call. Calls that
        left no trace are left out of it.
        """
        bundle = self._bundles.get(environment)
        if bundle is None:
            raise UnknownEnvironment(f"no environment {environment} was put here")
        made = Session(session or secrets.token_hex(16), bundle, seed, lease if lease is not None else self.settings.lease_seconds)
        made.give(given(bundle, log, self.settings.session_log_mib))
        return self._admit(made)

    def _admit(self, made: Session) -> str:
        found = self._sessions.get(made.id)
        if found is not None:
            if (found.bundle.digest, found.seed, found.origin) != (made.bundle.digest, made.seed, made.origin):
                raise SessionConflict(f"session {made.id} exists with another environment, seed or log")
            self._touch(found)
            return found.id
        if len(self._sessions) >= self.settings.sessions:
            raise Overloaded(f"{self.settings.sessions} sessions are open", RETRY)
        self._sessions[made.id] = made
        self.calls.ledger.add(made, SESSION + sum(CALL + len(one.body) + len(one.result.text) for one in made.log if one.result))
        self._use(made)
        self._open[made.bundle.digest] += 1
        if made.lease is not None:
            self._touch(made)
            heapq.heappush(self._leases, (made.expires, made.id))
            if self._lease_timer is None:
                self._lease_timer = self._loop.call_later(LEASE_LOOK, self._look_at_leases)
        if self.calls.ledger.held > self.calls.ledger.most:
            self._shed(made)
        return made.id

    def _touch(self, session: Session) -> None:
        if session.lease is not None:
            session.expires = self._loop.time() + session.lease

    def _look_at_leases(self) -> None:
        now = self._loop.time()
        while self._leases and self._leases[0][0] <= now:
            _, name = heapq.heappop(self._leases)
            session = self._sessions.get(name)
            if session is None or session.lease is None:
                continue
            if session.busy or session.queue:
                self._touch(session)  # who waits for an answer is there, however long it takes
            if session.expires > now:
                heapq.heappush(self._leases, (session.expires, name))
            else:
                self.calls.count("expired")
                self._end(session)
        self._lease_timer = self._loop.call_later(LEASE_LOOK, self._look_at_leases) if self._leases else None

    def submit(
        self, session: str, seq: int, tool: str, arguments: dict[str, Any], deadline: float | None, done: Callable[[CallResult], None]
    ) -> None:
        """Queue a call, which ``flush`` sends; ``done`` is called exactly once, maybe at once. Raises SequenceConflict only.

        ``deadline`` is a value of ``loop.time()``. A call that has not started by then is answered ``overloaded``.
        """
        found = self._sessions.get(session)
        if found is None:
            done(failure("session_lost", "the session is not here: it was closed, or ended by its lease or for memory"))
            return
        if found.lease is not None:
            self._touch(found)
        self._submit(found, Pending(seq, payload_of(tool, arguments) or b"", deadline or 0.0, done), tool, arguments)

    def _submit(self, session: Session, pending: Pending, tool: str, arguments: dict[str, Any]) -> None:
        known = session.results.get(pending.seq)
        if known is not None:
            if not is_same(known, pending.body):
                raise SequenceConflict(f"session {session.id}: call {pending.seq} was made before with another tool or other arguments")
            if known.result is not None and not known.waiting:
                pending.done[0](known.result)
            else:
                known.done += pending.done
            return
        if self.calls.full(session):
            self.calls.count("overloaded")
            pending.done[0](failure("overloaded", "too many calls wait", retry_after=RETRY))
            return
        self._use(session)
        if self.calls.ledger.held > self.calls.ledger.most and not self._shed(session):
            self.calls.count("overloaded")
            pending.done[0](failure("overloaded", "the calls of all sessions hold too much memory", retry_after=RETRY))
            return
        pending.result = refused(session.bundle, pending.body, tool, arguments)
        if session.log_bytes + session.waiting + len(pending.body) > self._most_log and pending.result is None:
            pending.result = too_long(self.settings.session_log_mib)
        session.results[pending.seq] = pending
        self.calls.add(session, pending)
        self._dirty.append(session)

    def _use(self, session: Session) -> None:
        self._uses += 1
        session.used = self._uses

    def _shed(self, but: Session) -> bool:
        """End idle sessions, all but one, until enough memory is free; False when there are none left that could."""
        for session in self.calls.ledger.victims(self._sessions.values(), but):
            self.calls.count("shed")
            self._end(session)
        return self.calls.ledger.held <= self.calls.ledger.most

    def flush(self) -> None:
        """Write queued calls to their sessions."""
        dirty, self._dirty = self._dirty, []
        for session in dirty:
            if session.queue:
                self.calls.pump(session)

    def fork(self, session: str, new: str | None, upto: int | None) -> str:
        """Open a session with the log of another up to call number ``upto`` inclusive; KeyError for an unknown session."""
        found = self._sessions[session]
        made = Session(new or secrets.token_hex(16), found.bundle, found.seed, found.lease)
        made.give((one.body, one.result.outcome, one.result.text) for one in found.log if one.result and (upto is None or one.seq <= upto))
        self.calls.count("branches")
        return self._admit(made)

    def renew(self, sessions: Sequence[str]) -> list[str]:
        """Renew leases; return the sessions that are unknown."""
        unknown = []
        for name in sessions:
            found = self._sessions.get(name)
            if found is None:
                unknown.append(name)
            else:
                self._touch(found)
        return unknown

    @property
    def ready(self) -> bool:
        """Tell whether sessions can be started now."""
        return self.calls.rooms.bases.ready

    @property
    def alive(self) -> bool:
        """Tell whether sessions can be started now or soon; where not, starting this process anew is the remedy."""
        return self.calls.rooms.bases.alive

    def has(self, session: str) -> bool:
        """Tell if a session is open here."""
        return session in self._sessions

    async def open(self, environment: str, seed: int) -> str:
        """Start a session; its process is forked at its first call."""
        return self.create(environment, seed)

    async def call(self, session: str, seq: int, tool: str, arguments: dict[str, Any]) -> CallResult:
        """Run one call, or return what the same call gave before."""
        answer: asyncio.Future[CallResult] = self._loop.create_future()

        def done(result: CallResult) -> None:
            if not answer.done():
                answer.set_result(result)

        self.submit(session, seq, tool, arguments, None, done)
        self.flush()
        return await answer

    async def call_many(self, session: str, first: int, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[CallResult]:
        """Run calls in order; stop after the first limit or loss."""
        found = self._sessions.get(session)
        if found is None:
            return [failure("session_lost", "the session was closed")]
        self._touch(found)
        batch, answer, results = Batch(), self._loop.create_future(), []
        left = len(calls)

        def done(result: CallResult) -> None:
            results.append(result)
            if len(results) == left and not answer.done():
                answer.set_result(None)

        try:
            for seq, (tool, arguments) in enumerate(calls, start=first):
                pending = Pending(seq, payload_of(tool, arguments) or b"", 0.0, done)
                pending.batch = batch
                self._submit(found, pending, tool, arguments)
        except SequenceConflict:
            batch.stopped = True
            raise
        finally:
            self.flush()
        if left:
            await answer
        return list(_up_to_stop(results))

    async def close(self, session: str) -> None:
        """End a session; unknown sessions are ignored."""
        found = self._sessions.get(session)
        if found is not None:
            self._end(found)

    def _end(self, session: Session) -> None:
        del self._sessions[session.id]
        self._open[session.bundle.digest] -= 1
        if not self._open[session.bundle.digest]:
            del self._open[session.bundle.digest]
        if len(self._leases) > 2 * len(self._sessions) + FEW:
            self._leases = [(one.expires, one.id) for one in self._sessions.values() if one.lease is not None]
            heapq.heapify(self._leases)
        if session.busy or session.queue:
            self.calls.give_up(session, failure("session_lost", "the session was closed"))
        else:
            self.calls.rooms.drop(session, kill=False)
        self.calls.ledger.ended(session)

    def pids(self) -> dict[str, int]:
        """Return session → id of its live process, as far as known."""
        return {name: one.process.pid for name, one in self._sessions.items() if one.process is not None and one.process.pid}

    def user_of_next(self) -> int:
        """Return the user id that the next process gets, -1 in the variant ``shared``."""
        return self.calls.rooms.next_user()

    def counts(self) -> dict[str, float]:
        """Return figures for metrics: gauges by plain names, totals since the start by names that end in ``_total``."""
        rooms = self.calls.rooms
        return {
            "sessions": len(self._sessions),
            "environments": len(self._bundles),
            "zygotes": len(rooms.zygotes),
            "zygote_bytes": sum(zygote.memory for zygote in rooms.zygotes.values()),
            "processes": rooms.live,
            "busy": len(rooms.running),
            "calls_pending": self.calls.pending,
            "log_bytes": self.calls.ledger.held,
            "calls_standing_still": len(rooms.still),
            "base_ready": float(rooms.bases.ready),
            "sessions_waiting": len(self.calls.line),
            "forks_total": rooms.forks,
            "replays_total": rooms.replays,
            "base_zygotes_total": rooms.bases.started,
            **{f"{name}_total": count for name, count in sorted(self.calls.totals.items())},
        }


def _up_to_stop(results: list[CallResult]) -> Iterator[CallResult]:
    for result in results:
        if result is STOPPED:
            return
        yield result
        if not result.trusted or result.outcome.startswith("limit_"):
            return


@asynccontextmanager
async def process_sandbox(limits: SandboxLimits, **settings: Any) -> AsyncIterator[Engine]:
    """Give a sandbox in this process; on leaving, every process of it has ended. ``settings``: fields of PoolSettings."""
    engine = Engine(PoolSettings(limits=limits, **settings))
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()
