"""A process over the job: it copies what the job and all that it starts print, and is still there when the job is killed.

The job becomes a child whose stdout and stderr are pipes, so that native libraries and children count too. A thread inside the job
could not do this: a library that prints while it holds Python's lock would wait for that thread for ever, and a crash would
take the last lines with it. The parent forwards signals, collects orphans (it is process 1 of its pod) and ends with the job's exit
code, 128 + n after a signal. When the parent is killed, the child is too.
"""

import contextlib
import ctypes
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

_FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
_HELD = (*_FORWARDED, signal.SIGINT, signal.SIGCHLD)
_CHUNK = 65_536
DRAIN_SECONDS = 2.0
"""Longest time to copy what a dead job left in the pipes while something that it started still prints."""
_PR_SET_PDEATHSIG = 1


def supervise(keep: Callable[[bytes], None]) -> int | None:
    """Fork. Return None in the child, which does the work, and in the parent, once the child has ended, its exit code.

    ``keep`` is told in the parent what was printed. It must not block.
    """
    same = os.path.sameopenfile(1, 2)  # one pipe then, so that the order of lines stays
    pipes = [os.pipe()] if same else [os.pipe(), os.pipe()]
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    parent, child = os.getpid(), os.fork()
    if child == 0:
        _become_job(parent, pipes)
        return None
    for _, end in pipes:
        os.close(end)
    return _Parent(child, {reader: number for number, (reader, _) in enumerate(pipes, 1)}, keep).work()


def _become_job(parent: int, pipes: list[tuple[int, int]]) -> None:
    """Print into the pipes from now on, a line at a time, and die with the parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.dup2(pipes[0][1], 1)
    os.dup2(pipes[-1][1], 2)
    for pipe in pipes:
        for end in pipe:
            os.close(end)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


class _Parent:
    """The copying process. ``copies`` maps a pipe to the file descriptor that its bytes belong to."""

    def __init__(self, child: int, copies: dict[int, int], keep: Callable[[bytes], None]) -> None:
        self._child = child
        self._copies = copies
        self._keep = keep
        self._code: int | None = None

    def work(self) -> int:
        """Copy until the child has ended; return its exit code."""
        woken, wake = os.pipe()
        for end in (woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in _FORWARDED:
            signal.signal(number, self._forward)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the job too
        signal.signal(signal.SIGCHLD, lambda *_: None)  # the wake-up is what counts
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        with selectors.DefaultSelector() as selector:
            for reader in (*self._copies, woken):
                os.set_blocking(reader, False)
                selector.register(reader, selectors.EVENT_READ)
            while self._code is None:
                for key, _ in selector.select():
                    if key.fd == woken:
                        self._reap(woken)
                    elif self._copy(key.fd) == b"":
                        selector.unregister(key.fd)
        self._drain()
        return self._code

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, number)

    def _reap(self, woken: int) -> None:
        """Collect every process that has ended; note the job's own exit code."""
        with contextlib.suppress(BlockingIOError):
            os.read(woken, _CHUNK)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._child:
                    code = os.waitstatus_to_exitcode(ended[1])
                    self._code = code if code >= 0 else 128 - code

    def _copy(self, reader: int) -> bytes | None:
        """Copy what a pipe has; return it, empty at its end, None when it has nothing now."""
        try:
            data = os.read(reader, _CHUNK)
        except BlockingIOError:
            return None
        _write(self._copies[reader], data)
        self._keep(data)
        return data

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        for reader in self._copies:
            while self._copy(reader) and time.monotonic() < deadline:
                pass


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it; output whose reader has gone is nobody's any more."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            with selectors.DefaultSelector() as selector:
                selector.register(descriptor, selectors.EVENT_WRITE)
                selector.select()
        except OSError:
            return
