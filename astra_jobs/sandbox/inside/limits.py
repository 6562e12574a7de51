"""What a process takes from itself besides system calls: resources, user, capabilities, parent's death, /proc.

The order matters and is kept by ``enclose``: a change of user clears the parent-death signal and needs capabilities.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Mapping
from typing import Any

from astra_jobs.sandbox.inside.identity import GETPPID
from astra_jobs.sandbox.inside.seccomp import LIBC

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 4, 24, 36
_CAPABILITY_VERSION = 0x20080522
_KEPT = frozenset({5, 6, 7})
"""CAP_KILL, CAP_SETGID, CAP_SETUID: what zygotes need for sessions with a user of their own."""
_HEADER, _SETS = ctypes.c_uint32 * 2, ctypes.c_uint32 * 6
DESCRIPTORS = 16
STACK = 8 << 20
LIFETIME = 3600
"""CPU seconds of a whole session process: ends one that its supervisor lost sight of."""


def die_with(parent: int) -> None:
    """Be killed when the parent dies; leave at once if it did already."""
    LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if GETPPID() != parent:
        os._exit(1)


def hide(hidden: bool = True) -> None:
    """Give this process's /proc entries to root, or take them back."""
    LIBC.prctl(_PR_SET_DUMPABLE, int(not hidden), 0, 0, 0)


def adopt() -> None:
    """Become the parent of orphaned grandchildren, so that they are reaped."""
    LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def bound_capabilities() -> None:
    """Give up, for all that is forked from here, every capability that zygotes do not need."""
    for number in range(64):
        if number not in _KEPT:
            LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    keep_capabilities(_KEPT)


def keep_capabilities(kept: frozenset[int]) -> None:
    """Drop all capabilities of this process but these."""
    header = _HEADER(_CAPABILITY_VERSION, 0)
    now = _SETS()
    if LIBC.capget(header, now) == 0:
        mask = sum(1 << number for number in kept)
        wanted = _SETS(now[0] & mask, now[1] & mask, 0, 0, 0, 0)
        LIBC.capset(header, wanted)


def bound(walls: Mapping[str, bool], memory: int) -> None:
    """Set a session's resource limits, soft and hard."""
    wanted = {
        resource.RLIMIT_CORE: 0,
        **({resource.RLIMIT_AS: memory, resource.RLIMIT_STACK: STACK} if walls["memory"] else {}),
        **({resource.RLIMIT_NOFILE: DESCRIPTORS} if walls["descriptors"] else {}),
        **({resource.RLIMIT_FSIZE: 0} if walls["file_size"] else {}),
        **({resource.RLIMIT_NPROC: 0} if walls["processes"] and walls["threads"] else {}),
        **({resource.RLIMIT_CPU: LIFETIME} if walls["cpu"] else {}),
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))


def enclose(settings: Mapping[str, Any], user: int, parent: int) -> None:
    """Put up every wall but the filter. ``user`` is a user id for this session alone, or -1."""
    walls = settings["walls"]
    os.setpgid(0, 0)
    bound(walls, settings["memory"])
    if user >= 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    if walls["privileges"]:
        keep_capabilities(frozenset())
    die_with(parent)
    hide(walls["dumpable"])  # a change of user hides too; the positive control shows itself again
