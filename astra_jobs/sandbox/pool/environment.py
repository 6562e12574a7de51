"""The supervisor's handle of an environment's zygote: asks for sessions, learns their process ids and their ends."""

import json
import os
import socket
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING

from astra_jobs.sandbox.inside.frames import EXITED, HELLO, KILL, ORPHAN, SPAWN, STARTED
from astra_jobs.sandbox.pool.link import Base, Control
from astra_jobs.sandbox.pool.records import Bundle

if TYPE_CHECKING:
    from astra_jobs.sandbox.pool.process import Process

GUESS = 4 << 20
"""Bytes that a zygote counts for until it says."""


class Zygote:
    """One environment's zygote and the processes forked from it."""

    def __init__(
        self, base: Base, number: int, bundle: Bundle, on_exit: "Callable[[Process], None]", on_end: "Callable[[Zygote], None]"
    ) -> None:
        self.base = base
        self.number = number
        self.bundle = bundle
        self.processes: dict[int, Process] = {}
        self.busy = 0
        """Sessions of it that have calls running."""
        self.pid = 0
        """Its process id, once the base zygote has told it."""
        self.memory = GUESS
        self.ready = False
        self.gone = False
        self.retired = False
        self._on_exit = on_exit
        self._on_end = on_end
        self.control = Control(self._event, self._ended)
        base.control.send(SPAWN, number, descriptors=(self.control.theirs, _file(bundle)))

    def spawn(self, process: "Process", theirs: socket.socket) -> None:
        """Ask for a session's process."""
        self.processes[process.number] = process
        seed = folded(process.session.seed)
        self.control.send(SPAWN, process.number, seed, process.user, (theirs,))

    def kill(self, process: "Process") -> None:
        """Kill a process of this zygote, which may have ended already."""
        if process.number in self.processes:
            self.control.send(KILL, process.number)

    def retire(self) -> None:
        """Let the zygote end, and with it what it forked."""
        self.retired = True
        self.control.close()

    def _event(self, operation: bytes, number: int, value: int) -> None:
        if operation == HELLO:
            self.ready, self.memory = True, max(value, 1)
            return
        process = self.processes.get(number)
        if process is None:
            return
        if operation == STARTED:
            process.pid = value
        elif operation == EXITED:
            del self.processes[number]
            process.status = value
            self._on_exit(process)

    def _ended(self) -> None:
        self.gone = True
        for process in self.processes.values():
            if process.pid and not self.base.control.closed:
                self.base.control.send(ORPHAN, 0, process.pid)
        if not self.base.control.closed:
            self.base.control.send(KILL, self.number)
        self._on_end(self)


def _file(bundle: Bundle) -> int:
    """Return a memory file with the tools of an environment, read once by its zygote."""
    file = os.memfd_create("tools", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(file), "wb") as writer:
        writer.write(json.dumps({"digest": bundle.digest, "tools": {tool.name: tool.code for tool in bundle.tools}}).encode())
    os.lseek(file, 0, os.SEEK_SET)
    return file


def folded(seed: int) -> int:
    """Return a seed as the 64 bits that a zygote is told."""
    if -(1 << 63) <= seed < 1 << 63:
        return seed
    return int.from_bytes(blake2b(hex(seed).encode(), digest_size=8).digest(), "big", signed=True)
