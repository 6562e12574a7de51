"""Collecting a call's garbage inside that call: within its limits of time and memory, and before it is answered.

What one call leaves behind must not be charged to the next, whose memory it would take and whose time its finalizers
would spend. While a tool runs, the interpreter collects as it does anywhere; after it, what the call made and dropped is
collected, and with it everything that the session holds, as long as that is little. A session that holds much has all of it
looked at once a quarter as much has come on top, so that the cost of a call does not grow with what earlier ones kept.
Every decision follows from counts of objects alone, so that a replay collects where the first run did.
"""

import gc

SMALL = 1000
"""Objects held up to which everything is looked at after every call; some 100 microseconds."""
SHARE = 4
"""Above it, everything is looked at once a share of this size has come on top."""
ROUND = 64
"""Calls after which everything is looked at in any case: a call may drop what earlier ones kept and make nothing."""
YOUNG = 700
"""Objects after which the interpreter looks for garbage by itself; its own default."""


class Garbage:
    """The collections of one session. Takes its functions from ``gc`` before a tool can change them there."""

    __slots__ = ("_calls", "_collect", "_count", "_disable", "_fresh", "_held", "_quiet", "begin")

    def __init__(self) -> None:
        self.begin = gc.enable
        """Let the interpreter collect while a tool runs."""
        self._collect, self._count, self._disable = gc.collect, gc.get_count, gc.disable
        gc.disable()
        gc.freeze()  # what the zygote made is not looked at again, and counting starts at nothing in every session
        self._calls = 0
        self._held = 0
        """Objects that were there after everything was looked at, about."""
        self._fresh = 0
        """Objects that have come since, about."""
        self._quiet = gc.get_count()
        """What is counted when no objects came or went."""

    def end(self) -> None:
        """Collect what the call left, and keep quiet until the next one."""
        self._disable()
        self._calls += 1
        if self._count() != self._quiet or not self._calls % ROUND:
            self._look()

    def _look(self) -> None:
        young, middle, old = self._count()
        self._fresh += max(0, young + YOUNG * middle - self._collect(1))
        held, looked = self._held + self._fresh, old != self._quiet[2]
        if looked or held <= SMALL or self._fresh * SHARE >= held or not self._calls % ROUND:
            self._held, self._fresh = max(0, held - self._collect()), 0
        self._quiet = self._count()
