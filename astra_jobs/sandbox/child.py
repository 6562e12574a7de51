"""One session: a forked process that loads an environment's tools and answers calls until its socket closes.

Everything is made to repeat: ``random`` is seeded from environment digest and session seed, the clock is virtual and
moves only by calls and by ``sleep``, results are strict JSON. The CPU limit is a profiling timer whose signal is left
at its default action, so that the kernel ends the process: no Python handler that tool code could swallow. On a plain
process these walls stop accidents; hostile code needs the sandbox server's (SPEC 4).
"""

import datetime
import io
import json
import math
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, SupportsIndex

from astra_jobs.sandbox.frames import LENGTH, frame

_CPU = time.process_time
STEP = 1.0
"""Seconds by which the virtual clock moves from one call to the next."""
DEPTH = 40
"""Deepest nesting of a result."""
MESSAGE = 300
"""Longest error message, characters."""


class Settings(NamedTuple):
    """Walls of a session: CPU seconds of a call, address space in bytes, result characters, start of the clock."""

    seconds: float
    memory: int
    output: int
    epoch: float


class Unfit(Exception):
    """A result that is not JSON."""


class Nowhere:
    """What tools print to: takes everything, keeps nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Pretend to have written."""
        return len(text)

    def flush(self) -> None:
        """Do nothing."""


class Clock:
    """Virtual time: ``now`` in seconds since 1970."""

    def __init__(self, epoch: float) -> None:
        self.epoch = self.now = epoch

    def at_call(self, number: int) -> None:
        """Set the time at which a call starts; depends on the call's number alone, so replays agree."""
        self.now = self.epoch + number * STEP

    def sleep(self, seconds: SupportsIndex | float, /) -> None:
        """Advance instead of waiting."""
        self.now += max(0.0, float(seconds))

    def install(self) -> None:
        """Replace the clocks of ``time`` and ``datetime``."""
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
            setattr(time, name, lambda: self.now)
            setattr(time, name + "_ns", lambda: int(self.now * 1e9))
        real_gmtime, real_strftime = time.gmtime, time.strftime
        for name in ("gmtime", "localtime"):
            setattr(time, name, lambda seconds=None: real_gmtime(self.now if seconds is None else seconds))
        time.strftime = lambda form, moment=None: real_strftime(form, moment or real_gmtime(self.now))
        time.sleep = self.sleep
        clock = self

        class VirtualDate(datetime.date):
            """A date whose today is virtual."""

            @classmethod
            def today(cls) -> "VirtualDate":
                """Return the virtual day."""
                return cls.fromtimestamp(clock.now)

        class VirtualDateTime(datetime.datetime):
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

        setattr(datetime, "date", VirtualDate)  # noqa: B010 - assigning would be refused by the type checker
        setattr(datetime, "datetime", VirtualDateTime)  # noqa: B010


def check(value: Any, depth: int = 0) -> None:
    """Raise Unfit unless a value is exact JSON data: plain types, text keys, finite numbers, bounded depth."""
    kind = type(value)
    if kind in (str, int, bool, type(None)):
        return
    if depth > DEPTH:
        raise Unfit(f"the result is nested deeper than {DEPTH} levels, or contains itself")
    if kind is float:
        if not math.isfinite(value):
            raise Unfit(f"the result holds {value!r}, which JSON has no form for")
    elif kind in (list, tuple):
        for item in value:
            check(item, depth + 1)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise Unfit(f"the result has a key of type {type(key).__name__}; keys are text")
            check(item, depth + 1)
    else:
        raise Unfit(f"the result holds a {kind.__name__}, which JSON has no form for")


def describe(error: BaseException) -> str:
    """Return type and message of a tool's exception, whatever its ``__str__`` does."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - the tool's exception class may raise anything from __str__
        text = "(no message)"
    return f"{type(error).__name__}: {text}"[:MESSAGE].encode("utf-8", "replace").decode()


class Session:
    """The loaded tools of one environment; each has a module namespace of its own."""

    def __init__(self, settings: Settings, sources: dict[str, str]) -> None:
        self.settings = settings
        self.sources = sources
        self.functions: dict[str, Callable[..., Any]] = {}

    def function(self, name: str) -> Callable[..., Any]:
        """Load a tool at its first call."""
        if name not in self.functions:
            namespace: dict[str, Any] = {"__name__": f"tool_{name}", "__builtins__": __builtins__}
            exec(compile(self.sources[name], f"<{name}>", "exec"), namespace)  # noqa: S102 - running tool code is what a session is for
            if not callable(namespace.get(name)):
                raise Unfit(f"the code defines no function {name}")
            self.functions[name] = namespace[name]
        return self.functions[name]

    def run(self, name: str, arguments: dict[str, Any]) -> dict[str, str]:
        """Run one call; return its outcome with the value's JSON text, or with an error message."""
        try:
            value = self.function(name)(**arguments)
            check(value)
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            text.encode()
        except MemoryError:
            return {"outcome": "limit_memory", "error": "out of memory"}
        except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its result, SystemExit included
            return {"outcome": "tool_error", "error": describe(error)}
        if len(text) > self.settings.output:
            return {"outcome": "limit_output", "error": f"the result is longer than {self.settings.output} characters"}
        return {"outcome": "ok", "value": text}


def receive(descriptor: int, count: int) -> bytes:
    """Read exactly ``count`` bytes; leave the process when the client has gone."""
    parts = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def enclose(descriptor: int, settings: Settings) -> None:
    """Put up the walls: own process group, no descriptors but the socket, resource limits, no output."""
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.dup2(descriptor, 3)
    os.closerange(4, max(64, descriptor, nothing) + 1)
    for wall, value in (
        (resource.RLIMIT_AS, settings.memory),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),  # no threads or processes; has no effect for root
    ):
        resource.setrlimit(wall, (value, value))
    sys.stdin = io.StringIO()
    sys.stdout = sys.stderr = Nowhere()


def budget(seconds: float) -> None:
    """Allow the process so much more CPU time; the second wall is coarser and does not hang on a timer."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = math.ceil(_CPU() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard < 0 else min(soft, hard), hard))


def main(descriptor: int, settings: Settings, clock: Clock) -> None:
    """Serve one session on a socket."""
    enclose(descriptor, settings)
    start = json.loads(receive(3, LENGTH.unpack(receive(3, LENGTH.size))[0]))
    random.seed(start["seed"])
    session = Session(settings, start["tools"])
    while True:
        request = json.loads(receive(3, LENGTH.unpack(receive(3, LENGTH.size))[0]))
        clock.at_call(request["seq"])
        before = _CPU()
        budget(settings.seconds)
        reply: dict[str, Any] = session.run(request["tool"], request["arguments"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        reply["cpu"] = round(_CPU() - before, 6)
        reply["seq"] = request["seq"]
        body = frame(json.dumps(reply).encode())
        while body:
            body = body[os.write(3, body) :]
