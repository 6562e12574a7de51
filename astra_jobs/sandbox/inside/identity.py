"""What a process can ask about itself and its machine and would be told differently elsewhere: numbers, users, names, use.

Constants stand in for them, for tools that put such a thing into a result by accident. ``os.kill`` still finds the own
process. Raw system calls tell the truth; by those a session asks what it may do.
"""

import _thread
import os
import posix
import resource
import socket
import threading
from collections.abc import Callable
from typing import Any

GETPID, GETPPID, GETRUSAGE = os.getpid, os.getppid, resource.getrusage
"""The real ones, for zygotes."""
NUMBER = (1 << 22) + 1
"""Process number that no process can have: Linux ends at 2 to the power of 22."""
THREAD = 1
USER = 65534
"""User and group, whichever of them a session really has."""
HOST = "sandbox"
PAGES = 1 << 16
"""Memory of the machine that tools are told of, in pages."""
_MACHINE = {"SC_NPROCESSORS_ONLN": 1, "SC_NPROCESSORS_CONF": 1, "SC_PHYS_PAGES": PAGES, "SC_AVPHYS_PAGES": PAGES}


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
        **_users(),
        **_machine(),
    }
    for module in (os, posix):
        for name, function in said.items():
            setattr(module, name, function)
    setattr(resource, "getrusage", lambda who, /: resource.struct_rusage((0.0, 0.0, *[0] * 14)))  # noqa: B010
    _threads()


def _users() -> dict[str, Callable[..., Any]]:
    said: dict[str, Callable[..., Any]] = {name: lambda: USER for name in ("getuid", "geteuid", "getgid", "getegid")}
    said |= {name: lambda: (USER, USER, USER) for name in ("getresuid", "getresgid")}
    said |= {name: lambda pid, /: NUMBER for name in ("getpgid", "getsid")}
    return said | {"getgroups": list}


def _machine() -> dict[str, Callable[..., Any]]:
    real_sysconf, real_uname = os.sysconf, os.uname()
    known = {os.sysconf_names[name]: value for name, value in _MACHINE.items() if name in os.sysconf_names}

    def sysconf(name: str | int, /) -> int:
        found = known.get(os.sysconf_names.get(name, -1) if isinstance(name, str) else name)
        return real_sysconf(name) if found is None else found

    for module in (socket, socket._socket):  # type: ignore[attr-defined]
        setattr(module, "gethostname", lambda: HOST)  # noqa: B010
    return {
        "uname": lambda: os.uname_result((real_uname.sysname, HOST, "0", "0", real_uname.machine)),
        "sysconf": sysconf,
        "cpu_count": lambda: 1,
        "sched_getaffinity": lambda pid, /: {0},
        "getloadavg": lambda: (0.0, 0.0, 0.0),
    }


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
