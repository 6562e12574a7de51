"""An environment's zygote: compiles the tools' sources and forks a session at each command.

No tool code runs here: a session executes a tool's module body at the tool's first call. Compiling is bounded in time
and memory, since the sources are untrusted too.
"""

import gc
import json
import os
import resource
import signal
import socket
import sys
from types import CodeType
from typing import TYPE_CHECKING

from astra_jobs.sandbox.inside import limits, scatter, session
from astra_jobs.sandbox.inside.faults import describe
from astra_jobs.sandbox.inside.forker import Forker
from astra_jobs.sandbox.inside.frames import HELLO
from astra_jobs.sandbox.inside.identity import GETRUSAGE
from astra_jobs.sandbox.inside.source import MAIN, code_of, module_of

if TYPE_CHECKING:
    from astra_jobs.sandbox.inside.base import Base

COMPILE_SECONDS = 10.0
COMPILE_MEMORY = 256 << 20
"""Address space for compiling, beyond what a session has."""
FALLBACK_BYTES = 4 << 20
"""What a zygote is taken to cost where the system does not tell."""


class EnvironmentZygote(Forker):
    """Forks sessions; a child gets its socket."""

    def __init__(self, control: socket.socket, base: "Base", digest: str, codes: session.Codes) -> None:
        super().__init__(control)
        self.base = base
        self.digest = digest
        self.codes = codes

    def child(self, value: int, user: int, descriptors: list[int]) -> None:
        """Become a session."""
        os.dup2(descriptors[0], session.SOCKET)
        if self.base.settings["walls"]["descriptors"]:
            os.closerange(0, session.SOCKET)  # what all sessions share would carry locks and flags from one to the next
        os.closerange(session.SOCKET + 1, max(64, self.control.fileno(), self.waker, descriptors[0]) + 1)
        limits.enclose(self.base.settings, user, self.pid)
        self.base.chance.key(f"{self.digest}/{value}")
        session.main(self.base.settings, self.codes, self.base.clock)


def compiled(name: str, source: str) -> CodeType | bytes:
    """Return a tool's code, or what is wrong with its source as a session tells it."""
    try:
        return code_of(name, source)
    except (Exception, RecursionError) as error:  # noqa: BLE001 - whatever the compiler says of untrusted text
        return describe(error)


def private_bytes() -> int:
    """Return about how much memory this process does not share with the base zygote: the pages that it touched."""
    touched = GETRUSAGE(resource.RUSAGE_SELF).ru_minflt
    return touched * resource.getpagesize() or FALLBACK_BYTES


def main(control: int, tools: int, base: "Base") -> None:
    """Compile the tools of a file of JSON, then serve the control socket."""
    resource.setrlimit(resource.RLIMIT_AS, (base.settings["memory"] + COMPILE_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with os.fdopen(tools, "rb") as file:
        loaded = json.load(file)
    signal.setitimer(signal.ITIMER_PROF, COMPILE_SECONDS)
    codes = {name: (compiled(name, source), module_of(name, source)) for name, source in loaded["tools"].items()}
    base.library.load(code for code, _ in codes.values() if isinstance(code, CodeType))
    signal.setitimer(signal.ITIMER_PROF, 0)
    zygote = EnvironmentZygote(socket.socket(fileno=control), base, loaded["digest"], codes)
    del loaded
    sys.modules[MAIN] = next((module for _, module in codes.values()), sys.modules[MAIN])
    scatter.scatter(base.settings["scatter"])
    gc.collect()
    gc.freeze()
    zygote.send(HELLO, 0, private_bytes())
    zygote.run()
