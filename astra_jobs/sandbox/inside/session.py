"""One session: executes an environment's tools and answers calls until its socket closes.

From the filter on, this process is untrusted: a tool can replace anything in it. The CPU limit is a profiling timer whose
signal is left at its default action, so that the kernel ends the process and no Python handler can swallow it; a tool
that disarms it meets the supervisor's watchdog.
"""

import io
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import CodeType, CoroutineType, ModuleType
from typing import Any

from astra_jobs.sandbox.inside import waits
from astra_jobs.sandbox.inside.clock import CPU, Clock
from astra_jobs.sandbox.inside.encode import encode, fitted
from astra_jobs.sandbox.inside.faults import describe
from astra_jobs.sandbox.inside.frames import LIMIT_MEMORY, LIMIT_OUTPUT, OK, REPLY, REQUEST, TOOL_ERROR
from astra_jobs.sandbox.inside.garbage import Garbage
from astra_jobs.sandbox.inside.source import MAIN, file_of, function_of

SOCKET = 3
RECURSION = 1000
DIGITS = 4300
_CHUNK = 1 << 16
SCAN: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]

Answer = tuple[int, bytes]
Codes = Mapping[str, tuple[CodeType | bytes, ModuleType]]
"""Tool → its code, or what the compiler said, and its module, in which nothing has run."""


class _Nothing(io.RawIOBase):
    """What is below ``Nowhere``."""

    def write(self, data: Any) -> int:
        """Pretend to have written."""
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Have nothing to read."""
        return b""


class Nowhere(io.TextIOBase):
    """What tools print to: takes everything, keeps nothing."""

    encoding = "utf-8"
    errors = "replace"
    buffer = _Nothing()

    def write(self, text: str) -> int:
        """Pretend to have written."""
        return len(text)

    def read(self, size: int | None = -1) -> str:
        """Have nothing to read."""
        return ""

    readline = read  # type: ignore[assignment]

    def writable(self) -> bool:
        """Take text."""
        return True

    readable = writable

    def reconfigure(self, **_: Any) -> None:
        """Stay as it is."""


class Tools:
    """The loaded tools of one environment; each has a module namespace of its own."""

    def __init__(self, settings: Mapping[str, Any], codes: Codes) -> None:
        walls = settings["walls"]
        self.output: int = settings["output"] if walls["output"] else 1 << 25
        self.exact: bool = walls["encoder"]
        self.codes = codes
        self.functions: dict[str, Callable[..., Any]] = {}
        self.current = next((module for _, module in codes.values()), None)
        """Whose module is ``__main__``; a zygote puts the first tool's there."""

    def function(self, name: str) -> Callable[..., Any]:
        """Load a tool at its first call."""
        code, module = self.codes[name]
        if isinstance(code, bytes):
            raise Uncompiled(code)
        self.enter(module)
        exec(code, module.__dict__)  # noqa: S102 - running tool code is what a session is for
        found: Any = function_of(module, name)
        self.functions[name] = found
        return found  # type: ignore[no-any-return]

    def enter(self, module: ModuleType) -> None:
        """Let a tool's module be the one where its classes say that they are from."""
        if module is not self.current:
            sys.modules[MAIN] = self.current = module

    def run(self, name: str, arguments: dict[str, Any]) -> Answer:
        """Run one call; return its outcome with the value's JSON text, or with an error message."""
        try:
            function = self.functions.get(name) or self.function(name)
            self.enter(self.codes[name][1])
            value = function(**arguments)
            if type(value) is CoroutineType:
                value = waits.completed(value)
            text = encode(fitted(value)) if self.exact else json.dumps(value)
            body = text.encode()
        except MemoryError:
            return LIMIT_MEMORY, b"out of memory"
        except Uncompiled as error:
            return TOOL_ERROR, error.said
        except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its result, SystemExit included
            return TOOL_ERROR, describe(error, file_of(name))
        if len(text) > self.output:
            return LIMIT_OUTPUT, f"the result is longer than {self.output} characters".encode()
        return OK, body


class Uncompiled(Exception):
    """A tool whose source the compiler refused; holds what it said."""

    def __init__(self, said: bytes) -> None:
        super().__init__(said)
        self.said = said


def _read(buffer: bytes) -> bytes:
    """Add what the supervisor sends to a buffer; leave the process when the supervisor has gone."""
    part = os.read(SOCKET, _CHUNK)
    if not part:
        os._exit(0)
    return buffer + part if buffer else part


def _rest(buffer: bytes, count: int) -> bytes:
    """Read on until a buffer holds so many bytes."""
    parts, size = [buffer], len(buffer)
    while size < count:
        parts.append(_read(b""))
        size += len(parts[-1])
    return b"".join(parts)


def _send(data: bytes) -> None:
    while data:
        data = data[os.write(SOCKET, data) :]


def _before(walls: Mapping[str, bool]) -> tuple[tuple[Callable[[int], Any], int], ...]:
    """Return what is put back before every call, beside the CPU timer: recursion and digit limits."""
    return ((sys.setrecursionlimit, RECURSION), (sys.set_int_max_str_digits, DIGITS)) if walls["recursion"] else ()


def quiet() -> None:
    """Let everything that tools print go nowhere."""
    nowhere: Any = Nowhere()
    sys.stdin = sys.stdout = sys.stderr = sys.__stdin__ = sys.__stdout__ = sys.__stderr__ = nowhere  # type: ignore[misc]


def main(settings: Mapping[str, Any], codes: Codes, clock: Clock) -> None:
    """Serve one session on its socket; the base zygote has been made quiet."""
    tools = Tools(settings, codes)
    before, timer, garbage = _before(settings["walls"]), signal.setitimer, Garbage()
    profile, seconds = signal.ITIMER_PROF, settings["seconds"] if settings["walls"]["cpu"] else 0.0
    scan, cpu, head, unpack = SCAN, CPU, REQUEST.size, REQUEST.unpack_from
    buffer, calls = b"", 0
    clock.start()
    settings["filter"].install()
    spent = cpu()
    while True:
        while len(buffer) < head:
            buffer = _read(buffer)
        length, number = unpack(buffer)
        end = head + length
        if len(buffer) < end:
            buffer = _rest(buffer, end)
        (tool, arguments), _ = scan(str(buffer[head:end], "utf-8"), 0)
        buffer = buffer[end:]
        if calls:
            clock.between_calls()
        calls += 1
        for put, value in before:
            put(value)
        timer(profile, seconds)
        garbage.begin()
        code, text = tools.run(tool, arguments)
        del arguments
        garbage.end()
        timer(profile, 0)
        before_it, spent = spent, cpu()  # one look a call: what lies between two calls is some microseconds, a look in gVisor is more
        _send(REPLY.pack(len(text), number, code, int((spent - before_it) * 1e6)) + text)
        if code >= LIMIT_MEMORY:
            os._exit(0)
