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

    __slots__ = ("_calls", "_collect", "_count", "_disable", "_enable", "_fresh", "_held", "_old")

    def __init__(self) -> None:
        self._collect, self._count, self._enable, self._disable = gc.collect, gc.get_count, gc.enable, gc.disable
        gc.disable()
        gc.freeze()  # what the zygote made is not looked at again, and counting starts at nothing in every session
        self._calls = 0
        self._held = 0
        """Objects that were there after everything was looked at, about."""
        self._fresh = 0
        """Objects that have come since, about."""
        self._old = 0

    def begin(self) -> None:
        """Let the interpreter collect while a tool runs."""
        self._old = self._count()[2]
        self._enable()

    def end(self) -> None:
        """Collect what the call left, and keep quiet until the next one."""
        self._calls += 1
        young, middle, old = self._count()
        made = young + YOUNG * middle
        if made or old != self._old:
            self._fresh += max(0, made - self._collect(1))
        held = self._held + self._fresh
        if (self._fresh and (old != self._old or held <= SMALL or self._fresh * SHARE >= self._held)) or not self._calls % ROUND:
            self._held = max(0, held - self._collect())
            self._fresh = 0
        self._disable()
