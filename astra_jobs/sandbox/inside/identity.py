"""What a process can ask about itself and would be told differently every time: its numbers, and what it has used.

Constants stand in for them, for tools that put such a thing into a result by accident. ``os.kill`` still finds the own
process. Users' ids stay real: a session asks for those to see what it may do.
"""

import _thread
import os
import posix
import resource
import threading
from collections.abc import Callable
from typing import Any

GETPID, GETPPID, GETRUSAGE = os.getpid, os.getppid, resource.getrusage
"""The real ones, for zygotes."""
NUMBER = (1 << 22) + 1
"""Process number that no process can have: Linux ends at 2 to the power of 22."""
THREAD = 1


def install(now: Callable[[], float]) -> None:
    """Replace what differs from process to process; ``now`` gives virtual seconds."""
    real_kill = os.kill

    def kill(pid: int, signal: int, /) -> None:
        real_kill(GETPID() if pid == NUMBER else pid, signal)

    said: dict[str, Callable[..., Any]] = {
        "getpid": lambda: NUMBER,
        "getppid": lambda: NUMBER - 1,
        "getpgrp": lambda: NUMBER,
        "kill": kill,
        "times": lambda: os.times_result((0.0, 0.0, 0.0, 0.0, now())),
    }
    for module in (os, posix):
        for name, function in said.items():
            setattr(module, name, function)
    setattr(resource, "getrusage", lambda who, /: resource.struct_rusage((0.0, 0.0, *[0] * 14)))  # noqa: B010
    _threads()


def _threads() -> None:
    """Number the one thread; more of them, where a test lets them be made, keep their real numbers."""
    real_ident, main = threading.get_ident, threading.main_thread()
    first = real_ident()

    def ident() -> int:
        found = real_ident()
        return THREAD if found == first else found

    for module in (threading, _thread):
        setattr(module, "get_ident", ident)  # noqa: B010
        setattr(module, "get_native_id", lambda: NUMBER)  # noqa: B010
    inside: Any = threading
    inside._active = {THREAD: main}
    main.__dict__.update(_ident=THREAD, _native_id=NUMBER)
