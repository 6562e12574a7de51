"""Sessions that have a process and no call: one of them makes way when a process is needed.

The least recently used would be the wrong one: sessions of a batch take turns, so that the one which was used longest ago is
the very next, and with one session more than there are processes every single call would start a process and replay a log
(bimodal insertion: Qureshi and others, "Adaptive insertion policies for high performance caching", 2007). So a process that was
used once only goes first, and those that were found again by a second call stay, all but drawn by lot when there are no others;
one process in ``BIMODAL`` counts as found again from the start, so that what is no longer used is pushed out in time. Of two that
are drawn, the one with less to replay goes.
"""

import random
from collections.abc import Iterator

from astra_jobs.sandbox.pool.records import Session

BIMODAL = 16


class Bag:
    """A set of sessions from which one can be drawn."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._places: dict[str, int] = {}

    def add(self, session: Session) -> None:
        """Take a session in."""
        if session.id not in self._places:
            self._places[session.id] = len(self.sessions)
            self.sessions.append(session)

    def discard(self, session: Session) -> None:
        """Let a session go that may be in here."""
        place = self._places.pop(session.id, None)
        if place is not None:
            last = self.sessions.pop()
            if last is not session:
                self.sessions[place] = last
                self._places[last.id] = place


class Idle:
    """The idle sessions of a pool."""

    def __init__(self) -> None:
        self._once, self._again = Bag(), Bag()
        self._draws = random.Random(0)  # which one it is changes no result, only time

    def __len__(self) -> int:
        return len(self._once.sessions) + len(self._again.sessions)

    def __iter__(self) -> Iterator[Session]:
        yield from self._once.sessions
        yield from self._again.sessions

    def lucky(self) -> bool:
        """Tell whether a new process counts as found again from the start."""
        return self._draws.random() * BIMODAL < 1

    def add(self, session: Session, *, again: bool) -> None:
        """Take a session in; ``again`` says that more than one call found its process."""
        (self._again if again else self._once).add(session)

    def discard(self, session: Session) -> None:
        """Let a session go that may be in here."""
        self._once.discard(session)
        self._again.discard(session)

    def draw(self) -> Session:
        """Return the session whose process makes way; there has to be one."""
        sessions = self._once.sessions or self._again.sessions
        one, other = self._draws.choice(sessions), self._draws.choice(sessions)
        return one if len(one.log) <= len(other.log) else other
