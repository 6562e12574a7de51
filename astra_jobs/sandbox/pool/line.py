"""Sessions that wait for their turn: a queue for each environment, the environments one after the other.

So a session waits for one session of each environment that waits, however many sessions of another came before it.
"""

from collections import OrderedDict, deque

from astra_jobs.sandbox.pool.records import Session


class Line:
    """The waiting sessions. Each is in here once at most."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[Session]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def environments(self) -> int:
        """Return how many environments have sessions that wait."""
        return len(self._queues)

    def add(self, session: Session) -> None:
        """Put a session at the end of its environment's queue."""
        self._queue(session).append(session)

    def put_back(self, session: Session) -> None:
        """Put a session that could not go on in front of its environment's queue, and the environment behind all others."""
        self._queue(session).appendleft(session)

    def _queue(self, session: Session) -> deque[Session]:
        session.in_line = True
        self._size += 1
        return self._queues.setdefault(session.bundle.digest, deque())

    def pop(self) -> Session:
        """Take the next session: the first of the environment whose turn it is, which goes behind all others."""
        digest, queue = next(iter(self._queues.items()))
        session = queue.popleft()
        session.in_line = False
        self._size -= 1
        if queue:
            self._queues.move_to_end(digest)
        else:
            del self._queues[digest]
        return session
