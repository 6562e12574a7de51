"""The zygote: a small, single-threaded process that forks one child a session (SPEC 4).

It is exec'd, never forked from the asyncio process, and imports the standard library only, so that a fork copies few
pages. It runs no tool code itself. When its control socket closes, because the client ended or was killed, it kills
every session and leaves. Later walls (seccomp, own uid, a zygote for each environment) go into ``child.enclose``.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys

from astra_jobs.sandbox import child
from astra_jobs.sandbox.frames import CONTROL, EXITED, HELLO, KILL, SPAWN, STARTED
from astra_jobs.sandbox.modules import IMPORTABLE

WARM = ("_strptime", *IMPORTABLE)
"""Loaded once here instead of in every session."""


def address_space() -> int:
    """Return this process's address space in bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class Zygote:
    """The loop: forks and kills on command, reports starts and exits."""

    def __init__(self, control: socket.socket, settings: child.Settings) -> None:
        self.control = control
        self.settings = settings
        self.clock = child.Clock(settings.epoch)
        self.clock.install()  # here and not in each session; nothing in this process asks for the time
        self.sessions: dict[int, int] = {}  # pid -> session number
        self.woken, self.waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def send(self, operation: bytes, number: int, value: int) -> None:
        """Report to the client; a client that is gone ends the loop at the next read."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.control.sendall(CONTROL.pack(operation, number, value))

    def spawn(self, number: int, descriptor: int) -> None:
        """Fork a session; the child never returns from here."""
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                signal.set_wakeup_fd(-1)
                child.main(descriptor, self.settings, self.clock)
                code = 0
            finally:
                os._exit(code)
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self.sessions[pid] = number
        self.send(STARTED, number, pid)

    def kill(self, number: int) -> None:
        """End a session with everything it started; its number may be gone already."""
        for pid, known in self.sessions.items():
            if known == number:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)

    def reap(self) -> None:
        """Collect the children that ended, and report each."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.woken, 512):
                pass
        while self.sessions:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # what the session left running dies with it
            self.send(EXITED, self.sessions.pop(pid), status)

    def command(self) -> bool:
        """Read and obey one frame; False when the client is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.control, CONTROL.size, 1)
            while data and len(data) < CONTROL.size:
                more = self.control.recv(CONTROL.size - len(data))
                data = data + more if more else b""
        except ConnectionResetError:
            return False
        if not data:
            return False
        operation, number, _ = CONTROL.unpack(data)
        if operation == SPAWN:
            self.spawn(number, descriptors[0])
        elif operation == KILL:
            self.kill(number)
        return True

    def run(self) -> None:
        """Serve until the client goes, then kill what is left."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.woken, select.POLLIN)
        self.send(HELLO, 0, address_space())
        alive = True
        while alive:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.woken in ready:
                self.reap()
            if self.control.fileno() in ready:
                alive = self.command()
        for number in list(self.sessions.values()):
            self.kill(number)
        while self.sessions:
            self.sessions.pop(os.waitpid(-1, 0)[0], None)


def main() -> None:
    """Warm the interpreter and serve the control socket given by number on the command line."""
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = child.Settings(seconds=float(sys.argv[2]), memory=int(sys.argv[3]), output=int(sys.argv[4]), epoch=float(sys.argv[5]))
    for name in WARM:
        importlib.import_module(name)
    standard = os.path.dirname(os.__file__)
    sys.path[:] = [path for path in sys.path if path.startswith(standard)]
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends a session that spent its CPU time; set once, inherited by all
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's to handle; it closes the socket
    gc.collect()
    gc.freeze()
    Zygote(control, settings).run()


if __name__ == "__main__":
    main()
