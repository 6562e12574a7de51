"""What makes a session repeat itself: a virtual clock, and every source of chance seeded from environment and seed.

Hash order is fixed by the base zygote's environment; what a process may ask about itself, in ``identity``. Three things are
not made to repeat: what a tool reads by raw system calls, C classes that are dug out (``type.mro`` of a date), and
addresses: ``id``, the default ``repr`` and ``hash``, the order of a set of objects without ``__hash__``, counts of blocks and
references. Verification runs tools in two variants of a sandbox, which differ in clock, hash seed and in where objects lie
(``scatter``), and refuses what differs.
"""

import os
import random
import sys
import time
import uuid
from typing import Any, SupportsIndex

from astra_jobs.sandbox.inside import dates

MONOTONIC = time.monotonic
CPU = time.process_time
STEP = 1.0
"""Seconds by which the virtual clock moves from one call to the next."""


class Clock:
    """Virtual time: ``now`` in seconds since 1970."""

    def __init__(self, epoch: float) -> None:
        self.epoch = self.now = epoch

    def at_call(self, number: int) -> None:
        """Set the time at which a call starts; depends on how many calls came before alone, so replays agree."""
        self.now = self.epoch + number * STEP

    def sleep(self, seconds: SupportsIndex | float, /) -> None:
        """Advance instead of waiting."""
        self.now += max(0.0, float(seconds))

    def install(self) -> None:
        """Replace the clocks of ``time`` and ``datetime``."""
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
            setattr(time, name, lambda: self.now)
            setattr(time, name + "_ns", lambda: int(self.now * 1e9))
        setattr(time, "clock_gettime", lambda _: self.now)  # noqa: B010 - assigning would be refused by the type checker
        setattr(time, "clock_gettime_ns", lambda _: int(self.now * 1e9))  # noqa: B010
        real_gmtime, real_strftime, real_ctime, real_asctime = time.gmtime, time.strftime, time.ctime, time.asctime
        for name in ("gmtime", "localtime"):
            setattr(time, name, lambda seconds=None: real_gmtime(self.now if seconds is None else seconds))
        time.strftime = lambda form, moment=None: real_strftime(form, moment or real_gmtime(self.now))
        time.ctime = lambda seconds=None: real_ctime(self.now if seconds is None else seconds)
        time.asctime = lambda moment=None: real_asctime(moment or real_gmtime(self.now))
        time.sleep = self.sleep
        dates.install(lambda: self.now)


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
        for name in ("_generate_time_safe", "_UuidCreate"):
            setattr(uuid, name, None)
        setattr(uuid, "_node", 0x02_00_00_00_00_01)  # noqa: B010
