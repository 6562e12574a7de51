"""Running calls: queues, replies, replay, and what becomes of a call whose process ended.

A call that meets a limit, or ends its process, leaves no trace: the next one finds a fresh process that replayed the
log. A process or zygote that died for other reasons is replaced once a call; what dies again is ``session_lost``. After
a call that infrastructure lost, those behind it are not run either, or the session's order would change.
"""

import asyncio
from collections import deque

from astra_jobs.sandbox.inside.frames import CODES, LIMIT_MEMORY, OK
from astra_jobs.sandbox.pool.bases import NoBase
from astra_jobs.sandbox.pool.deadlines import Deadlines
from astra_jobs.sandbox.pool.deaths import GivenUp, verdict_of
from astra_jobs.sandbox.pool.ledger import Ledger
from astra_jobs.sandbox.pool.line import Line
from astra_jobs.sandbox.pool.patrol import Patrol
from astra_jobs.sandbox.pool.process import Process
from astra_jobs.sandbox.pool.records import MIB, Pending, Session, is_json
from astra_jobs.sandbox.pool.rooms import SHARE, STILLBORN, Rooms
from astra_jobs.sandbox.pool.settings import PoolSettings
from astra_jobs.sandbox.pool.watchdog import Watchdog
from astra_jobs.sandbox.protocol import APPLIED, CallResult, failure

ATTEMPTS = 2
TICK = 0.02
SLOW = 0.1
"""Seconds between two looks while nothing runs."""
RETRY = 0.25
"""Seconds after which an overloaded call may be tried again."""
IN_VAIN = 8
"""Sessions of different environments that are tried in vain before the rest waits for the next look."""
STOPPED = failure("overloaded", "an earlier call of its batch met a limit or was lost")


class Calls:
    """Runs the calls of all sessions. Implements ``rooms.Owner``."""

    def __init__(self, settings: PoolSettings, users: range | None) -> None:
        self.settings = settings
        self.rooms = Rooms(settings, self, users)
        self.watchdog = Watchdog(settings)
        self.patrol = Patrol(settings, self.rooms)
        self.line = Line()
        self.pending = 0
        """Calls that wait or run."""
        self.totals: dict[str, int] = {}
        self.ledger = Ledger(settings.log_mib * MIB)
        self.deadlines = Deadlines()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._slow = False
        self._popped: Session | None = None
        """The session from the line that is being tried."""

    def count(self, name: str) -> None:
        """Add one to a total."""
        self.totals[name] = self.totals.get(name, 0) + 1

    # -- in

    def full(self, session: Session) -> bool:
        """Tell whether no more calls of a session, of its environment or of all may wait."""
        left = self.settings.queue - self.pending
        return len(session.queue) >= self.settings.session_queue or session.bundle.pending >= SHARE * left

    def add(self, session: Session, pending: Pending) -> None:
        """Queue a call; ``pump`` sends it."""
        self.pending += 1
        session.bundle.pending += 1
        self.ledger.asked(session, pending)
        session.queue.append(pending)
        if pending.deadline and pending.result is None:
            self.deadlines.add(session, pending)

    def pump(self, session: Session) -> None:
        """Send what waits in a session's queue, as far as there is room."""
        if not session.busy:
            self._answer_heads(session)
            if not session.queue or session.in_line or not self._entered(session):
                return
        process = session.process
        if process is None or process.gone:
            return
        calls = self._fill(session, process)
        if calls:
            process.send(calls)
        if not process.inflight:
            self.rooms.leave(session)
            self.room()
        elif self._timer is None or self._slow:
            self._arm(TICK)

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._slow = seconds > TICK
        self._timer = self._loop.call_later(seconds, self._tick)

    def _fill(self, session: Session, process: Process) -> list[Pending]:
        """Take what a process may be sent now: first the history that it has not seen, then calls that wait.

        What was sent counts as begun, so a call with a deadline is kept back while those ahead of it may use the time up.
        """
        calls: list[Pending] = []
        room = process.room
        for pending in session.log[process.replayed : process.replayed + room]:
            if pending.result is not None:
                pending.expected = pending.result.outcome, pending.result.text
            calls.append(pending)
        process.replayed += len(calls)
        while session.queue and len(calls) < room:
            pending = session.queue[0]
            if pending.batch is not None and pending.batch.stopped:
                self._settle(session, session.queue.popleft(), STOPPED)
                continue
            if pending.deadline and pending.result is None:
                left, ahead = pending.deadline - self._loop.time(), len(process.inflight) + len(calls)
                if left <= 0:
                    self._expire(session, pending)
                    break
                if left <= ahead * self.settings.limits.seconds:
                    break
            calls.append(session.queue.popleft())
        return calls

    def _answer_heads(self, session: Session) -> None:
        """Answer the calls at a queue's head that need no process."""
        queue = session.queue
        while queue:
            head = queue[0]
            if head.batch is not None and head.batch.stopped:
                result = STOPPED
            elif head.result is not None:
                result = head.result
            elif self.rooms.stillborn.get(session.bundle.digest, 0) >= STILLBORN:
                result = failure("tool_error", "the environment's sources end their compiler")
            else:
                return
            queue.popleft()
            self._settle(session, head, result)

    def _entered(self, session: Session) -> bool:
        try:
            if self.rooms.enter(session):
                return True
        except GivenUp as error:
            self.give_up(session, failure("session_lost", str(error)))
            return False
        except NoBase:
            self.give_up(session, failure("infra_error", "the sandbox's base process died too often, or does not come back"))
            return False
        except OSError as error:
            self.give_up(session, failure("infra_error", f"the sandbox could not make a process: {error.strerror}"))
            return False
        if session is self._popped:
            self.line.put_back(session)
        else:
            self.line.add(session)
        return False

    def room(self) -> None:
        """Let sessions that wait go on: environments by turns, and no more of them in vain than ``IN_VAIN`` at a time."""
        if self._popped is not None:
            return
        vain = 0
        try:
            while self.line and not self.rooms.full and vain < min(IN_VAIN, self.line.environments):
                session = self._popped = self.line.pop()
                self.pump(session)
                vain += session.in_line
        finally:
            self._popped = None

    # -- out

    def _settle(self, session: Session, pending: Pending, result: CallResult, *, logged: bool = False) -> None:
        """Give a call its result; ``logged`` says that it belongs to the session's history."""
        self.pending -= 1
        session.bundle.pending -= 1
        self.count(result.outcome)
        kept = result is not STOPPED and result.trusted
        if kept:
            pending.result = result
        else:
            session.results.pop(pending.seq, None)
        self.ledger.answered(session, pending, kept, logged)
        if not result.state:
            result.state = session.state.hex() if result is not STOPPED else ""
        if pending.batch is not None and result.outcome not in APPLIED and (result.outcome.startswith("limit_") or not result.trusted):
            pending.batch.stopped = True
        pending.waiting = False
        waiting, pending.done = pending.done, []
        for done in waiting:
            done(result)

    def answered(self, process: Process, pending: Pending, code: int, cpu: int, text: str) -> None:
        """Take a well-formed reply."""
        session, now = process.session, self._loop.time()
        elapsed, process.since = now - process.since, now
        process.cpu_mark = process.look = process.rest = None
        process.worked += elapsed
        if pending.expected is not None:
            same, pending.expected = pending.expected == (CODES[code], text), None
            if not same:
                self.rooms.deaths.of(session)
                self.give_up(session, failure("session_lost", "a replayed call gave another result; the tool does not repeat itself"))
                return
        elif code == OK and self.settings.walls.encoder and not is_json(text):
            process.inflight.appendleft(pending)
            self.breached(process)
            return
        else:
            result = CallResult(CODES[code], text=text, cpu_seconds=min(cpu / 1e6, elapsed + 1))  # type: ignore[arg-type]
            if code >= LIMIT_MEMORY:
                self._retire(process)
            else:
                session.append(pending, result.outcome, text)
                process.replayed = len(session.log)
            self._settle(session, pending, result, logged=code < LIMIT_MEMORY)
        self._after(process)

    def _after(self, process: Process) -> None:
        """Go on with a session after an answer."""
        session, inflight = process.session, process.inflight
        if process.gone:
            self.pump(session)
            self.room()
            return
        while inflight and inflight[0].result is not None and inflight[0].expected is None:
            head = inflight.popleft()
            assert head.result is not None
            self._settle(session, head, head.result)
        if session.queue or process.replayed < len(session.log):
            if 2 * len(inflight) <= process.room:
                self.pump(session)
        elif not inflight:
            self.rooms.leave(session)
            if self.line:
                self.room()

    def _retire(self, process: Process) -> None:
        """End a process after a limit; what it had not begun waits again."""
        self.count("retired")
        session = process.session
        self.rooms.drop(session, kill=True)
        self._requeue(process)

    def _requeue(self, process: Process) -> None:
        session = process.session
        for pending in reversed(process.inflight):
            if pending.expected is not None:
                pending.expected = None
            else:
                pending.number = 0
                session.queue.appendleft(pending)
        process.inflight.clear()

    def give_up(self, session: Session, result: CallResult) -> None:
        """Answer every call of a session alike, and end its process."""
        process = session.process
        self.rooms.drop(session, kill=True)
        if process is not None:
            self._requeue(process)
        waiting, session.queue = list(session.queue), deque()
        for pending in waiting:
            self._settle(session, pending, pending.result or CallResult(result.outcome, None, result.text, 0.0, "", result.retry_after))
        self.room()

    # -- ends

    def exited(self, process: Process) -> None:
        """Name the outcome of a call whose process ended."""
        while process.readable():
            pass
        if process.gone:
            return
        self._ended(process, verdict_of(process.status, self.settings.limits.seconds))

    def lost(self, process: Process) -> None:
        """Try the calls of a process again that ended with its zygote."""
        self._ended(process, None)

    def _ended(self, process: Process, result: CallResult | None) -> None:
        session = process.session
        head = process.inflight[0] if process.inflight else None
        if head is not None and result is not None and head.expected is not None:
            if head.expected == (result.outcome, result.text):
                session.log.remove(head)  # a call that ended its process then, as now: it is no part of the history
                session.given -= head.seq < 0
                result, head.attempts = None, -1
            else:
                self.rooms.deaths.of(session)
                result = None
        elif head is not None and result is not None:
            process.inflight.popleft()
        self.rooms.drop(session, kill=True)
        self._requeue(process)
        if head is not None and result is not None:
            self._settle(session, head, result)
        elif session.queue and (head is None or head.attempts >= 0) and process.since:
            self._again(session)
        self.pump(session)
        self.room()

    def _again(self, session: Session) -> None:
        first = session.queue[0]
        first.attempts += 1
        self.count("lost")
        if first.attempts >= ATTEMPTS:
            self.give_up(session, failure("session_lost", "the session's process was lost again and again"))

    def breached(self, process: Process) -> None:
        """End a process that broke the protocol; the call it should have answered failed."""
        self.count("breaches")
        if not process.inflight:
            self.rooms.deaths.of(process.session)
        self._kill(process, failure("tool_error", "the tool broke its session's protocol"))

    def hung_up(self, process: Process) -> None:
        """Give a busy process a moment to end; an idle one has nothing to say."""
        if not process.inflight:
            self.rooms.drop(process.session, kill=False)
            self.rooms.deaths.hung_up(process)
            self.pump(process.session)

    def _kill(self, process: Process, result: CallResult) -> None:
        self.count("kills")
        if not result.trusted:
            self.give_up(process.session, result)
            return
        process.status = None
        self._ended(process, result)

    # -- time

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        self._look(now)
        for session, pending in self.deadlines.passed(now):
            self._expire(session, pending)
        self.deadlines.tidy(self.pending)
        if self._timer is None:
            if self.rooms.running or self.line:
                self._arm(TICK)
            elif self.rooms.idle:
                self._arm(SLOW)

    def _look(self, now: float) -> None:
        """Let the watchdog and the patrol judge."""
        for session in list(self.rooms.running.values()):
            process = session.process
            verdict = self.watchdog.judge(process, now) if process is not None else None
            if process is not None and verdict is not None:
                if verdict.disarmed and process.inflight and process.inflight[0].expected is None:
                    self.rooms.deaths.of(session)
                self._kill(process, failure(verdict.outcome, verdict.message))  # type: ignore[arg-type]
                if not process.pid:
                    self.rooms.put_down(process.zygote)
        if self.line or self.rooms.still:
            self._let_by(now)
        for found in self.patrol.culprits(SLOW if self._slow else TICK):
            self.count("kills")
            if isinstance(found, Session):
                self.rooms.deaths.of(found)
                self.rooms.drop(found, kill=True)
            else:
                self.rooms.put_down(found)

    def _let_by(self, now: float) -> None:
        """Let sessions that wait pass those whose calls stand still."""
        for name, session in self.rooms.running.items():
            if session.process is not None and self.watchdog.stands_still(session.process, now):
                self.rooms.still.add(name)
            else:
                self.rooms.still.discard(name)
        self.room()

    def _expire(self, session: Session, pending: Pending) -> None:
        at = session.queue.index(pending)
        late = [session.queue.pop() for _ in range(len(session.queue) - at)]
        for one in reversed(late):
            self._settle(session, one, one.result or failure("overloaded", "the call's deadline passed in the queue", retry_after=RETRY))

    async def stop(self) -> None:
        """End every process; sessions are given up by the engine."""
        if self._timer is not None:
            self._timer.cancel()
        self.deadlines.clear()
        await self.rooms.stop()
