"""The supervisor's ends of control sockets, and the base zygote's process.

Writes never block: what a zygote is too slow to take waits in order. The base zygote gets none of this process's
environment variables, and when its socket closes it ends with everything below it.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astra_jobs
from astra_jobs.sandbox.inside.frames import CONTROL

Events = Callable[[bytes, int, int], None]
"""Takes operation, number and value of a zygote's report."""


class Control:
    """A control socket: sends commands with descriptors, hands reports to ``on_event``, tells ``on_end`` once."""

    def __init__(self, on_event: Events, on_end: Callable[[], None]) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.closed = False
        self._on_event = on_event
        self._on_end = on_end
        self._buffer = b""
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.ours.fileno(), self._readable)

    def send(
        self, operation: bytes, number: int, value: int = 0, user: int = -1, descriptors: tuple[socket.socket | int, ...] = ()
    ) -> None:
        """Send a command; descriptors are taken over and closed here once they are sent."""
        raw = [one if isinstance(one, int) else one.detach() for one in descriptors]
        if self.closed:
            _close(raw)
            return
        self._waiting.append((CONTROL.pack(operation, number, value, user), raw))
        if len(self._waiting) == 1:
            self._writable()

    def _writable(self) -> None:
        while self._waiting:
            frame, descriptors = self._waiting[0]
            try:
                socket.send_fds(self.ours, [frame], descriptors)
            except BlockingIOError:
                self._loop.add_writer(self.ours.fileno(), self._writable)
                return
            except OSError:  # the zygote has gone; the reader hears of it and tells, never from within a send
                self._drop()
                break
            _close(descriptors)
            self._waiting.popleft()
        self._loop.remove_writer(self.ours.fileno())

    def _readable(self) -> None:
        try:
            data = self.ours.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._buffer += data
        whole = len(self._buffer) // CONTROL.size * CONTROL.size
        events, self._buffer = self._buffer[:whole], self._buffer[whole:]
        for operation, number, value, _ in CONTROL.iter_unpack(events):
            self._on_event(operation, number, value)

    def close(self) -> None:
        """Close the socket, at which the zygote ends."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self.ours.fileno())
        self._loop.remove_writer(self.ours.fileno())
        self.ours.close()
        self.theirs.close()
        self._drop()
        self._on_end()

    def _drop(self) -> None:
        for _, descriptors in self._waiting:
            _close(descriptors)
        self._waiting.clear()


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            socket.close(descriptor)


class Base:
    """The process of a base zygote."""

    def __init__(self, settings: dict[str, Any], hash_seed: int, on_event: Events, on_end: Callable[[], None]) -> None:
        self.control = Control(on_event, on_end)
        theirs = self.control.theirs
        root = str(Path(astra_jobs.__file__).parent.parent)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-S",
                "-s",
                "-P",
                "-B",
                "-m",
                "astra_jobs.sandbox.inside.base",
                json.dumps({**settings, "control": theirs.fileno()}),
            ],
            env={"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": root, "TZ": "UTC", "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,
            cwd="/",
        )
        theirs.close()

    async def stop(self) -> None:
        """Close the socket and collect the process; what it forked has ended when this returns."""
        self.control.close()
        try:
            await asyncio.to_thread(self.process.wait, 5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
