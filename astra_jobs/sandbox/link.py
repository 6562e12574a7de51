"""The client's end of a zygote: starts the process, asks it for sessions, learns of their ends.

The zygote gets none of this process's environment variables. When it dies its sessions are killed from here, by their
process groups, and everybody who waits for one of them learns that it is lost.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import astra_jobs
from astra_jobs.api.errors import BadInput, Transient
from astra_jobs.sandbox.frames import CONTROL, EXITED, HELLO, KILL, SPAWN, STARTED
from astra_jobs.sandbox.protocol import SandboxLimits

START_SECONDS = 30.0
MIB = 1 << 20


class ZygoteGone(Exception):
    """The zygote has died; sessions have to be started on a new one."""


class Link:
    """One zygote process and the sessions forked from it."""

    def __init__(self, limits: SandboxLimits, hash_seed: int, epoch: float) -> None:
        self.limits = limits
        self.hash_seed = hash_seed
        self.epoch = epoch
        self.pids: dict[int, int] = {}
        self.ends: dict[int, asyncio.Future[int | None]] = {}
        self.gone = False
        self._buffer = b""
        self._hello: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Start the zygote and wait until it is warm; BadInput when the memory limit is too small for Python itself."""
        self.control, theirs = socket.socketpair()
        root = str(Path(astra_jobs.__file__).parent.parent)
        wall = self.limits
        settings = [str(theirs.fileno()), str(wall.seconds), str(wall.memory_mib * MIB), str(wall.output_chars), str(self.epoch)]
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-s", "-P", "-B", "-m", "astra_jobs.sandbox.zygote", *settings],
            env={"PYTHONHASHSEED": str(self.hash_seed), "PYTHONPATH": root, "TZ": "UTC", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,
            cwd="/",
        )
        theirs.close()
        self.control.setblocking(False)
        asyncio.get_running_loop().add_reader(self.control.fileno(), self._events)
        try:
            used = await asyncio.wait_for(self._hello, START_SECONDS)
        except (TimeoutError, ZygoteGone) as error:
            await self.stop()
            raise Transient("sandbox", "Failed", f"the sandbox's zygote did not start: {error or 'no answer'}") from None
        except asyncio.CancelledError:
            await self.stop()
            raise
        if used + 8 * MIB > wall.memory_mib * MIB:
            await self.stop()
            least = used // MIB + 16
            raise BadInput("tool.memoryMib", "BadInput", f"{wall.memory_mib} is less than Python itself needs; set at least {least}")

    def _events(self) -> None:
        try:
            data = self.control.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._lost()
            return
        self._buffer += data
        whole = len(self._buffer) // CONTROL.size * CONTROL.size
        for operation, number, value in CONTROL.iter_unpack(self._buffer[:whole]):
            self._event(operation, number, value)
        self._buffer = self._buffer[whole:]

    def _event(self, operation: bytes, number: int, value: int) -> None:
        if operation == HELLO and not self._hello.done():
            self._hello.set_result(value)
        elif operation == STARTED and number in self.ends:
            self.pids[number] = value
        elif operation == EXITED:
            self.pids.pop(number, None)
            end = self.ends.pop(number, None)
            if end is not None and not end.done():
                end.set_result(value)

    def _lost(self) -> None:
        if self.gone:
            return
        self.gone = True
        asyncio.get_running_loop().remove_reader(self.control.fileno())
        self.control.close()
        for pid in self.pids.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self.pids.clear()
        for end in self.ends.values():
            if not end.done():
                end.set_result(None)
        self.ends.clear()
        if not self._hello.done():
            self._hello.set_exception(ZygoteGone("it ended at once"))

    async def _send(self, operation: bytes, number: int, descriptors: list[int]) -> None:
        body = CONTROL.pack(operation, number, 0)
        while not self.gone:
            try:
                socket.send_fds(self.control, [body], descriptors)
                return
            except BlockingIOError:
                await asyncio.sleep(0.001)  # the control socket's buffer holds thousands of frames: the zygote is catching up
            except OSError:
                self._lost()
        raise ZygoteGone

    async def spawn(self, number: int) -> tuple[socket.socket, "asyncio.Future[int | None]"]:
        """Fork a session; return this end of its socket, and its end to come: a wait status, or None if lost with the zygote."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        end = self.ends[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send(SPAWN, number, [theirs.fileno()])
        except BaseException:
            self.ends.pop(number, None)
            ours.close()
            raise
        finally:
            theirs.close()
        return ours, end

    async def kill(self, number: int) -> None:
        """Kill a session; sessions that ended already are ignored."""
        if number in self.ends:
            with contextlib.suppress(ZygoteGone):
                await self._send(KILL, number, [])

    async def stop(self) -> None:
        """End the zygote and its sessions and collect it."""
        self._lost()
        try:
            await asyncio.to_thread(self.process.wait, 5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
