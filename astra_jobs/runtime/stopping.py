"""How a pod is told to end, also one that cannot hear it.

Python runs signal handlers in its main thread, between two of its own instructions. A rank that waits inside a library (torch's
connect to a peer that died) therefore never learns of SIGTERM, and would hold up the restart of its whole workload for the grace
period. The interpreter notes each signal in a pipe at once, whatever the main thread does; a second thread reads it there, and when
the handler has not run some seconds later, it ends the process. A job that was told and is saving its checkpoint keeps all of its
grace period. A library that waits and keeps Python's lock stops the second thread too: SIGKILL ends that one.
"""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

STUCK_SECONDS = 10.0
"""Longest time between SIGTERM and the moment at which the main thread takes notice of it."""


@contextlib.contextmanager
def told_to_stop(give_up: Callable[[], None]) -> Iterator[threading.Event]:
    """Yield an event that SIGTERM sets; call ``give_up`` when the main thread is too stuck to set it.

    ``give_up`` is called from another thread, after all stacks were written to stderr, and has to end the process. The handler stays
    installed afterwards, so that a late SIGTERM does not cut off the writing of the result.
    """
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, told, give_up), name="stopping", daemon=True)
    watch.start()
    try:
        yield told
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        told.set()  # whoever waits to see if the main thread takes notice has the answer
        watch.join()
        os.close(reader)


def _watch(reader: int, told: threading.Event, give_up: Callable[[], None]) -> None:
    while signals := os.read(reader, 64):
        if signal.SIGTERM in signals and not told.wait(STUCK_SECONDS):
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
            give_up()
