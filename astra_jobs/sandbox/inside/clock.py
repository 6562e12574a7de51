"""What makes a session repeat itself: a virtual clock, and every source of chance seeded from environment and seed.

Hash order is fixed by the base zygote's environment; what a process may ask about itself, in ``identity``. Two things are
not made to repeat: what a tool reads by raw system calls, and addresses: ``id``, the default ``repr`` and ``hash``, the
order of a set of objects without ``__hash__``, counts of blocks and references. Verification runs tools in two variants of
a sandbox, which differ in clock, hash seed and in where objects lie (``scatter``), and refuses what differs.
"""

import os
import random
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any, SupportsIndex

from astra_jobs.sandbox.inside import dates

CPU = time.process_time
SECOND = 1_000_000_000
STEP = SECOND
"""Nanoseconds that pass from one call of a session to the next."""
QUANTUM = 1_000
"""Nanoseconds that pass with each reading, whichever clock is read: about what a reading costs, and enough that two readings,
also as a float of seconds or a datetime of microseconds, are never equal."""
_NODE = 0x02_00_00_00_00_01
_GREGORIAN = 0x01B21DD213814000
"""100 ns between the start of UUID time and 1970."""
LONGEST = (1 << 63) - 1
_OWN = (time.CLOCK_PROCESS_CPUTIME_ID, time.CLOCK_THREAD_CPUTIME_ID)


class Clock:
    """Virtual time of a session, in nanoseconds since 1970.

    It moves by ``QUANTUM`` at each reading, by what is slept, and by ``STEP`` between calls; never backwards, and by nothing
    else. So it depends on what the session's calls did alone, and a process that replays a log has the time of the one
    that wrote it. All clocks show the same time but those of used time, which leave out sleeps and what is between calls.
    """

    def __init__(self, epoch: float) -> None:
        self.epoch = round(epoch * SECOND)
        self.start()

    def start(self) -> None:
        """Begin a session's time."""
        self.now = self.epoch
        self.rested = 0

    def between_calls(self) -> None:
        """Let the time between two calls pass."""
        self.rest(STEP)

    def rest(self, nanoseconds: int) -> None:
        """Let time pass in which the session does nothing."""
        self.now += nanoseconds
        self.rested += nanoseconds

    def read(self) -> int:
        """Return the time in nanoseconds and let a reading's time pass."""
        now = self.now
        self.now = now + QUANTUM
        return now

    def read_used(self) -> int:
        """Return the nanoseconds that were used and let a reading's time pass."""
        return self.read() - self.epoch - self.rested

    def read_seconds(self) -> float:
        """Return the time in seconds and let a reading's time pass."""
        return self.read() / SECOND

    def sleep(self, seconds: SupportsIndex | float, /) -> None:
        """Advance instead of waiting; refuse what ``time.sleep`` refuses, in its words."""
        given = seconds if isinstance(seconds, float) else seconds.__index__() if hasattr(seconds, "__index__") else None
        if given is None:
            raise TypeError(f"{type(seconds).__name__!r} object cannot be interpreted as an integer")
        if given != given:
            raise ValueError("Invalid value NaN (not a number)")
        if given < 0:
            raise ValueError("sleep length must be non-negative")
        if given * SECOND > LONGEST:
            raise OverflowError("timestamp too large to convert to C _PyTime_t")
        self.rest(-int(-given * SECOND // 1))

    def install(self) -> None:
        """Replace the clocks of ``time`` and ``datetime``."""
        for name in ("time", "monotonic", "perf_counter"):
            _put(name, self.read_seconds)
            _put(name + "_ns", self.read)
        for name in ("process_time", "thread_time"):
            _put(name, lambda: self.read_used() / SECOND)
            _put(name + "_ns", self.read_used)
        _put("clock_gettime", lambda clk_id, /: (self.read_used() if clk_id in _OWN else self.read()) / SECOND)
        _put("clock_gettime_ns", lambda clk_id, /: self.read_used() if clk_id in _OWN else self.read())
        _put("sleep", self.sleep)
        for name in ("gmtime", "localtime", "ctime"):
            _put(name, _at_seconds(getattr(time, name), self.read_seconds))
        real_gmtime, real_strftime, real_asctime = time.gmtime, time.strftime, time.asctime
        _put("strftime", lambda form, moment=None, /: real_strftime(form, real_gmtime() if moment is None else moment))
        _put("asctime", lambda moment=None, /: real_asctime(real_gmtime() if moment is None else moment))
        dates.install(self.read_seconds)


def _at_seconds(real: Callable[[float], Any], read: Callable[[], float]) -> Callable[..., Any]:
    return lambda seconds=None, /: real(read() if seconds is None else seconds)


def _put(name: str, function: Callable[..., Any]) -> None:
    """Put a function into ``time`` under the name of the one that it stands for."""

    def clock(*given: Any, **named: Any) -> Any:
        return function(*given, **named)

    clock.__name__ = clock.__qualname__ = name
    clock.__module__ = "time"
    setattr(time, name, clock)


class Chance:
    """Randomness that a session's key decides. Installed once in the base zygote, keyed in each session."""

    def __init__(self) -> None:
        self._source = random.Random(0)

    def key(self, key: str) -> None:
        """Start all streams from a session's key."""
        self._source.seed(key + "/entropy")
        random.seed(key)

    def take(self, count: int) -> bytes:
        """Return so many bytes, in the place of the system's."""
        return self._source.randbytes(count)

    def install(self) -> None:
        """Replace the system's entropy in the modules that use it."""
        source, inner = self._source, random.Random.seed

        def seed(this: random.Random, a: Any = None, version: int = 2) -> None:
            inner(this, source.getrandbits(128) if a is None else a, version)

        setattr(random.Random, "seed", seed)  # noqa: B010 - an omitted seed shall not make a difference every time
        random.seed = random._inst.seed
        setattr(sys.modules["_random"], "Random", random.Random)  # noqa: B010
        for module, name in ((os, "urandom"), (random, "_urandom"), (os, "getrandom")):
            setattr(module, name, lambda count, _=0: self.take(count))
        setattr(uuid, "_UuidCreate", None)  # noqa: B010
        setattr(uuid, "_generate_time_safe", self._time_and_place)  # noqa: B010
        setattr(uuid, "_node", _NODE)  # noqa: B010

    def _time_and_place(self) -> tuple[bytes, None]:
        """Return the bytes of a UUID of version 1, as the system's library does; ``random``'s own stream is left alone."""
        ticks = time.time_ns() // 100 + _GREGORIAN
        low, middle, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF
        sequence = self._source.getrandbits(14)
        return uuid.UUID(fields=(low, middle, high, sequence >> 8, sequence & 0xFF, _NODE), version=1).bytes, None
