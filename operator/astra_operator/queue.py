"""A keyed work queue, level-triggered: an event only says which run to look at, never what happened.

A key waits at most once, is worked on by one worker at a time, and comes back after a growing delay when its work failed.
Time is asked from outside, so tests move it. Not thread-safe: one loop owns it.
"""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys with the time at which each is due. ``now`` returns seconds on any clock that does not run backwards."""

    def __init__(self, now: Callable[[], float], first_delay: float = 1.0, longest_delay: float = 300.0) -> None:
        self._now = now
        self._first = first_delay
        self._longest = longest_delay
        self._due: dict[K, float] = {}
        self._busy: dict[K, float | None] = {}
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._due) + len(self._busy)

    def add(self, key: K, delay: float = 0.0) -> None:
        """Ask for a key to be worked on after a delay; the earlier of two wishes counts."""
        due = self._now() + max(0.0, delay)
        if key in self._busy:
            waiting = self._busy[key]
            self._busy[key] = due if waiting is None else min(waiting, due)
        else:
            self._due[key] = min(self._due.get(key, due), due)

    def get(self) -> K | None:
        """Take the key that has been due longest, or None when none is due."""
        ready = [(due, index, key) for index, (key, due) in enumerate(self._due.items()) if due <= self._now()]
        if not ready:
            return None
        key = min(ready, key=lambda entry: entry[:2])[2]
        del self._due[key]
        self._busy[key] = None
        return key

    def done(self, key: K) -> None:
        """Give a key back after success; what was asked for meanwhile comes due."""
        self._failures.pop(key, None)
        self._release(key)

    def fail(self, key: K) -> float:
        """Give a key back after a failure; return the delay after which it comes again: 1, 2, 4 … up to the longest."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(self._longest, self._first * 2.0 ** min(failures, 60))
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
        return max(0.0, min(self._due.values()) - self._now()) if self._due else None

    def _release(self, key: K) -> None:
        waiting = self._busy.pop(key)
        if waiting is not None:
            self._due[key] = min(self._due.get(key, waiting), waiting)
