"""What makes a session repeat itself: a virtual clock, and every source of chance seeded from environment and seed.

Hash order is fixed by the base zygote's environment. What a tool reads by raw system calls is not made to repeat;
verification runs tools in two processes, which shows it.
"""

import datetime
import os
import random
import tempfile
import time
import uuid
from typing import Any, SupportsIndex

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
        real_gmtime, real_strftime = time.gmtime, time.strftime
        for name in ("gmtime", "localtime"):
            setattr(time, name, lambda seconds=None: real_gmtime(self.now if seconds is None else seconds))
        time.strftime = lambda form, moment=None: real_strftime(form, moment or real_gmtime(self.now))
        time.sleep = self.sleep
        _virtual_dates(self)


def _virtual_dates(clock: Clock) -> None:
    real_date, real_datetime = datetime.date, datetime.datetime

    class AnyDate(type):
        """Takes the C library's own objects for instances too, as ``datetime.date()`` returns them."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real_datetime if issubclass(cls, real_datetime) else real_date)

    class VirtualDate(datetime.date, metaclass=AnyDate):
        """A date whose today is virtual."""

        @classmethod
        def today(cls) -> "VirtualDate":
            """Return the virtual day."""
            return cls.fromtimestamp(clock.now)

    class VirtualDateTime(datetime.datetime, metaclass=AnyDate):
        """A datetime whose now is virtual."""

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "VirtualDateTime":
            """Return the virtual moment."""
            return cls.fromtimestamp(clock.now, tz)

        @classmethod
        def utcnow(cls) -> "VirtualDateTime":
            """Return the virtual moment without a zone."""
            return cls.fromtimestamp(clock.now)

        @classmethod
        def today(cls) -> "VirtualDateTime":
            """Return the virtual moment without a zone."""
            return cls.fromtimestamp(clock.now)

    setattr(datetime, "date", VirtualDate)  # noqa: B010
    setattr(datetime, "datetime", VirtualDateTime)  # noqa: B010


class Chance:
    """Randomness that a session's key decides. Installed once in the base zygote, keyed in each session."""

    def __init__(self) -> None:
        self._source = random.Random(0)
        self._unseeded = random.Random

    def key(self, key: str) -> None:
        """Start all streams from a session's key."""
        self._source.seed(key + "/entropy")
        random.seed(key)

    def take(self, count: int) -> bytes:
        """Return so many bytes, in the place of the system's."""
        return self._source.randbytes(count)

    def install(self) -> None:
        """Replace the system's entropy in the modules that use it."""
        source, base = self._source, random.Random

        class SeededRandom(base):  # type: ignore[valid-type, misc]
            """A generator that an omitted seed does not make different every time."""

            def seed(self, a: Any = None, version: int = 2) -> None:
                """Seed, from the session's entropy where no seed is given."""
                super().seed(source.getrandbits(128) if a is None else a, version)

        inner = random.seed

        def seed(a: Any = None, version: int = 2) -> None:
            inner(source.getrandbits(128) if a is None else a, version)

        setattr(random, "Random", SeededRandom)  # noqa: B010
        random.seed = seed
        for module, name in ((os, "urandom"), (random, "_urandom"), (os, "getrandom")):
            setattr(module, name, lambda count, _=0: self.take(count))
        setattr(tempfile, "_Random", SeededRandom)  # noqa: B010
        for name in ("_generate_time_safe", "_UuidCreate"):
            setattr(uuid, name, None)
        setattr(uuid, "_node", 0x02_00_00_00_00_01)  # noqa: B010
