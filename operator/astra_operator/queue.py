"""A keyed work queue, level-triggered: an event only says which run to look at, never what happened.

A key waits at most once, is worked on by one worker at a time, and comes back after a growing delay when its work failed.
Time is asked from outside, so tests move it. Not thread-safe: one loop owns it.
"""

import heapq
import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys with the time at which each is due. ``now`` returns seconds on any clock that does not run backwards."""

    def __init__(self, now: Callable[[], float], first_delay: float = 1.0, longest_delay: float = 300.0) -> None:
        self._now = now
        self._first = first_delay
        self._longest = longest_delay
        # The heap holds an entry for each wish that was the earliest of its key; ``_due`` says which of them still counts.
        self._heap: list[tuple[float, int, K]] = []
        self._due: dict[K, tuple[float, int]] = {}
        self._wishes = 0
        self._busy: dict[K, float | None] = {}
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._due) + len(self._busy)

    @property
    def busy(self) -> int:
        """How many keys are being worked on."""
        return len(self._busy)

    def add(self, key: K, delay: float = 0.0, first: bool = False) -> None:
        """Ask for a key to be worked on after a delay, or before all others; the earlier of two wishes counts."""
        due = -math.inf if first else self._now() + max(0.0, delay)
        if key in self._busy:
            waiting = self._busy[key]
            self._busy[key] = due if waiting is None else min(waiting, due)
        else:
            self._put(key, due)

    def get(self) -> K | None:
        """Take the key that has been due longest, or None when none is due."""
        due = self._first_due()
        if due is None or due > self._now():
            return None
        _, _, key = heapq.heappop(self._heap)
        del self._due[key]
        self._busy[key] = None
        return key

    def done(self, key: K) -> None:
        """Give a key back after success; what was asked for meanwhile comes due."""
        self._failures.pop(key, None)
        self._release(key)

    def fail(self, key: K, at_least: float = 0.0, anew: bool = False) -> float:
        """Give a key back after a failure; return the delay after which it comes again: 1, 2, 4 … up to the longest.

        ``at_least`` is the time in seconds for which the cluster asked to be left alone; ``anew`` begins with the first delay again.
        """
        failures = 0 if anew else self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = max(at_least, min(self._longest, self._first * 2.0 ** min(failures, 60)))
        self._busy[key] = None  # what was asked for meanwhile must wait for the back-off, or events would defeat it
        self._release(key)
        self.add(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Drop a key that no longer names anything."""
        self._due.pop(key, None)
        self._failures.pop(key, None)

    def wait(self) -> float | None:
        """Return the seconds until the next key is due (0 when one is), or None when nothing waits."""
        due = self._first_due()
        return None if due is None else max(0.0, due - self._now())

    def _put(self, key: K, due: float) -> None:
        if key in self._due and self._due[key][0] <= due:
            return
        self._wishes += 1
        self._due[key] = (due, self._wishes)
        heapq.heappush(self._heap, (due, self._wishes, key))

    def _first_due(self) -> float | None:
        """Return when the first key is due; wishes that an earlier one replaced are dropped on the way."""
        while self._heap:
            due, wish, key = self._heap[0]
            if self._due.get(key) == (due, wish):
                return due
            heapq.heappop(self._heap)
        return None

    def _release(self, key: K) -> None:
        waiting = self._busy.pop(key)
        if waiting is not None:
            self._put(key, waiting)
