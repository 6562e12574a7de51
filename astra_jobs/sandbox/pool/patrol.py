"""Looks at processes of which nothing is asked: sessions that work when they have no call, zygotes that stand still.

A session answers and waits; what it burns after its answer is nobody's CPU limit, so it is compared with what its calls
may have cost. Nothing is judged here that has a call running: that is the watchdog's.
"""

from collections import deque
from collections.abc import Iterator

from astra_jobs.sandbox.pool.environment import Zygote
from astra_jobs.sandbox.pool.records import Session
from astra_jobs.sandbox.pool.rooms import Rooms
from astra_jobs.sandbox.pool.settings import PoolSettings
from astra_jobs.sandbox.pool.watchdog import SLACK, look, stopped

ROUND = 0.1
"""Seconds in which all are looked at where they are few."""
MOST = 200
"""Looks a second where they are many."""
IDLE = 0.1
"""CPU seconds that a process may use between calls in all: none is its tool's, garbage is collected within calls."""


class Patrol:
    """Goes round the idle sessions and the zygotes of a pool."""

    def __init__(self, settings: PoolSettings, rooms: Rooms) -> None:
        self.seconds = settings.limits.seconds
        self.cpu = settings.walls.cpu
        self.rooms = rooms
        self.rounds = 0
        self._left: deque[Session | Zygote] = deque()
        self._pace = 0.0
        self._owed = 0.0

    def culprits(self, seconds: float) -> Iterator[Session | Zygote]:
        """Look at as many as are due after so many seconds; give those whose process has to be killed."""
        if not self._left:
            self.rounds += 1
            self._left.extend(self.rooms.zygotes.values())
            self._left.extend(self.rooms.idle if self.cpu else ())
            self._pace = min(MOST, len(self._left) / ROUND)
        self._owed = min(self._owed + seconds * self._pace, len(self._left))
        while self._owed >= 1:
            self._owed -= 1
            found = self._left.popleft()
            if self._stands_still(found) if isinstance(found, Zygote) else self._burns(found):
                yield found

    def _stands_still(self, zygote: Zygote) -> bool:
        return not zygote.gone and (stopped(zygote.pid) or stopped(zygote.base.process.pid))

    def _burns(self, session: Session) -> bool:
        process = session.process
        if process is None or session.busy or not process.pid:
            return False
        sight = look(process.pid)
        if sight is None:
            return False
        calls = min(process.worked, process.asked * (self.seconds + SLACK))
        return sight.cpu > calls + IDLE + SLACK
