"""Calls by the time at which they are no longer wanted; those that were answered before are cleared away now and then."""

import heapq
import itertools
from collections.abc import Iterator

from astra_jobs.sandbox.pool.records import Pending, Session

FEW = 1024
"""Deadlines of answered calls that may be kept in any case; above it, and above half, they are cleared away."""


class Deadlines:
    """The deadlines of calls that wait, and of some that waited."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Session, Pending]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, session: Session, pending: Pending) -> None:
        """Keep a call's deadline."""
        heapq.heappush(self._heap, (pending.deadline, next(self._order), session, pending))

    def passed(self, now: float) -> Iterator[tuple[Session, Pending]]:
        """Give the calls whose deadline has passed and that were not handed to a process, each with its session."""
        while self._heap and self._heap[0][0] <= now:
            _, _, session, pending = heapq.heappop(self._heap)
            if pending.result is None and not pending.number and pending in session.queue:
                yield session, pending

    def tidy(self, waiting: int) -> None:
        """Clear away what was answered, where that is most; ``waiting`` calls are not."""
        if len(self._heap) > 2 * waiting + FEW:
            self._heap = [one for one in self._heap if one[3].waiting]
            heapq.heapify(self._heap)

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
