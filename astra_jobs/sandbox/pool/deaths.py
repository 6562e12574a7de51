"""Deaths of sessions' processes: whose doing each was, and which session has had too many.

A death that a call's outcome tells (a limit that was met, a crash in the call) is the tool's answer, however often. One
that came between calls or in a replay, or that the kernel's timer did not bring because the tool had disarmed it, costs a
fork and a replay at the next call and would do so for ever; a session with too many of them is given up. What somebody
else ended is not counted.
"""

import asyncio
import signal
from collections.abc import Callable
from os import WIFSIGNALED, WTERMSIG
from typing import TYPE_CHECKING

from astra_jobs.sandbox.pool.records import Session
from astra_jobs.sandbox.pool.watchdog import HANG_UP
from astra_jobs.sandbox.protocol import CallResult, failure

if TYPE_CHECKING:
    from astra_jobs.sandbox.pool.process import Process

DEATHS = 5
"""Deaths without ``FORGIVEN`` applied calls between two of them after which a session is given up."""
FORGIVEN = 8
CPU_SIGNALS = frozenset({signal.SIGPROF, signal.SIGXCPU})
FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""Signals that a tool cannot send itself behind its walls: somebody else ended the process."""


class GivenUp(Exception):
    """A session gets no more processes; the message says why."""


def verdict_of(status: int | None, seconds: float) -> CallResult | None:
    """Name a call's outcome by how its process ended, behind a CPU limit in seconds; None where the tool did not do it."""
    if status is None or status < 0:
        return None
    if WIFSIGNALED(status):
        by = WTERMSIG(status)
        if by in CPU_SIGNALS:
            return failure("limit_time", f"the call used more than {seconds:g} s of CPU", seconds)
        return None if by in FROM_OUTSIDE else failure("tool_error", f"the tool crashed its process (signal {by})")
    return failure("tool_error", "the tool ended its process")


class Deaths:
    """Counts the deaths of a pool's sessions; ``count`` adds to a total of the pool."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._loop = asyncio.get_running_loop()

    def of(self, session: Session) -> None:
        """Note that a session's process went wrong where no call's outcome tells it."""
        applied, session.died_at = len(session.log) - session.died_at, len(session.log)
        session.deaths = 1 if applied >= FORGIVEN else session.deaths + 1
        self._count("deaths")
        if session.deaths == DEATHS:
            self._count("given_up")

    def hung_up(self, process: "Process") -> None:
        """Take an idle process that closed its socket: it has a moment to end by itself, then it is killed."""
        if process.status is not None:
            self.ended(process)
        else:
            self._loop.call_later(HANG_UP, self._late, process)

    def _late(self, process: "Process") -> None:
        if process.status is None and not process.zygote.gone:
            self.of(process.session)
            process.zygote.kill(process)

    def ended(self, process: "Process") -> None:
        """Take the end of a process that had hung up while nothing was asked of it."""
        if verdict_of(process.status, 0.0) is not None:
            self.of(process.session)


def check(session: Session) -> None:
    """Raise GivenUp for a session that has had too many deaths."""
    if session.deaths >= DEATHS:
        raise GivenUp(f"the session was given up: its process went wrong {session.deaths} times outside of calls")
