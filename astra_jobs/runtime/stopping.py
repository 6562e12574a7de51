"""How a pod is told to end, also one that cannot hear it.

Python runs signal handlers in its main thread, between two of its own instructions. A rank that waits inside a library (torch's
connect to a peer that died) therefore never learns of SIGTERM, and would hold up the restart of its whole workload for the grace
period. The interpreter notes each signal in a pipe at once, whatever the main thread does; a second thread reads it there. Until the
job has asked ``should_stop`` and learned it, that thread repeats the signal, and when the handler has not run for some seconds, it
ends the process. A job that knows and is saving its checkpoint keeps all of its grace period. A library that waits and keeps Python's
lock stops the second thread too: SIGKILL ends that one.
"""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STUCK_SECONDS = 10.0
"""Longest time between SIGTERM and the moment at which the main thread takes notice of it."""


class Stop:
    """Whether this process was told to end, and what its main thread makes of it."""

    def __init__(self) -> None:
        self._told = False
        self.answered = threading.Event()
        self.known = threading.Event()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM."""
        self._told = True
        self.answered.set()

    def __call__(self) -> bool:
        """Tell the job whether to stop."""
        if self._told:
            self.known.set()
        return self._told


@contextlib.contextmanager
def told_to_stop(give_up: Callable[[], None]) -> Iterator[Stop]:
    """Yield what the job asks whether to stop; call ``give_up`` when the main thread is too stuck to ask.

    ``give_up`` is called from another thread, after all stacks were written to stderr, and has to end the process. The handler stays
    installed afterwards, so that a late SIGTERM does not cut off the writing of the result.
    """
    stop = Stop()
    signal.signal(signal.SIGTERM, stop.handle)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, stop, give_up), name="stopping", daemon=True)
    watch.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        for event in (stop.known, stop.answered):
            event.set()
        watch.join()
        os.close(reader)


def _watch(reader: int, stop: Stop, give_up: Callable[[], None]) -> None:
    while signals := os.read(reader, 64):
        if signal.SIGTERM in signals:
            break
    while not stop.known.is_set():
        if not stop.answered.wait(STUCK_SECONDS):
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
            give_up()
        stop.answered.clear()
        if not stop.known.wait(STUCK_SECONDS / 10):
            os.kill(os.getpid(), signal.SIGTERM)
