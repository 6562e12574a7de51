"""The loop of both kinds of zygote: fork and kill on command, reap, report. Single-threaded, runs no tool code.

When the control socket closes, because the supervisor ended or wants this zygote gone, it kills every child and leaves.
"""

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable

from astra_jobs.sandbox.inside.frames import CONTROL, EXITED, KILL, ORPHAN, SPAWN, STARTED
from astra_jobs.sandbox.inside.identity import GETPID

MOST_DESCRIPTORS = 2
# The plain call with 0 for the default action: the module's own looks up and makes members of enumerations, 50 pages a child.
_SIGNAL: Callable[[int, int], object] = signal._signal.signal  # type: ignore[attr-defined]


def address_space() -> int:
    """Return this process's address space in bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


class Forker:
    """A process that forks others. Subclasses say what a child does."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.children: dict[int, int] = {}  # pid -> number
        self.woken, self.waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.pid = GETPID()

    def child(self, value: int, user: int, descriptors: list[int]) -> None:
        """Run in the child."""
        raise NotImplementedError

    def send(self, operation: bytes, number: int, value: int) -> None:
        """Report to the supervisor; one that is gone ends the loop at the next read."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.control.sendall(CONTROL.pack(operation, number, value, 0))

    def spawn(self, number: int, value: int, user: int, descriptors: list[int]) -> None:
        """Fork; the child never returns from here."""
        try:
            pid = os.fork()
        except OSError as error:
            for descriptor in descriptors:
                os.close(descriptor)
            self.send(EXITED, number, -(error.errno or 1))
            return
        if pid == 0:
            code = 70
            try:
                signal.set_wakeup_fd(-1)
                _SIGNAL(signal.SIGCHLD, 0)
                self.child(value, user, descriptors)
                code = 0
            finally:
                os._exit(code)
        for descriptor in descriptors:
            os.close(descriptor)
        self.children[pid] = number
        self.send(STARTED, number, pid)

    def kill(self, number: int) -> None:
        """End a child with everything it started; its number may be gone already."""
        for pid, known in self.children.items():
            if known == number:
                end(pid)

    def orphan(self, pid: int) -> None:
        """End a process that was adopted when its zygote died."""
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            end(pid)

    def reap(self) -> None:
        """Collect the children that ended, and report each."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.woken, 512):
                pass
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                number = self.children.pop(pid, None)
                if number is not None:
                    self.send(EXITED, number, status)

    def command(self) -> bool:
        """Read and obey one frame; False when the supervisor is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.control, CONTROL.size, MOST_DESCRIPTORS)
            while data and len(data) < CONTROL.size:
                more = self.control.recv(CONTROL.size - len(data))
                data = data + more if more else b""
        except ConnectionResetError:
            return False
        if not data:
            return False
        operation, number, value, user = CONTROL.unpack(data)
        if operation == SPAWN:
            self.spawn(number, value, user, descriptors)
        elif operation == KILL:
            self.kill(number)
        elif operation == ORPHAN:
            self.orphan(value)
        return True

    def run(self) -> None:
        """Serve until the supervisor goes, then kill what is left."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.woken, select.POLLIN)
        alive = True
        while alive:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.woken in ready:
                self.reap()
            if self.control.fileno() in ready:
                alive = self.command()
        for pid in self.children:
            end(pid)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)


def end(pid: int) -> None:
    """Kill a child, and its group where it has made one."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
