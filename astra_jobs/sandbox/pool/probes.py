"""Proof, at start, that the walls hold here: a session tries what each of them forbids.

A kernel without seccomp, a container that withholds a capability, an emulated system that only pretends: all show here,
and the pool refuses to start instead of running tools behind a wall that is not there.
"""

import itertools
import time
from typing import TYPE_CHECKING, Any

from astra_jobs.api.errors import Transient
from astra_jobs.sandbox.inside.syscalls import numbers
from astra_jobs.sandbox.pool.errors import WallMissing
from astra_jobs.sandbox.protocol import CallResult, ToolCode

if TYPE_CHECKING:
    from astra_jobs.sandbox.pool.engine import Engine

SOURCE = '''
import _thread, ctypes, errno, fcntl, mmap, os, resource, signal, socket

LIBC = ctypes.CDLL(None, use_errno=True)

def call(number, *values):
    """A raw system call: the error's name, or that it worked."""
    ctypes.set_errno(0)
    if LIBC.syscall(ctypes.c_long(number), *map(ctypes.c_long, values)) >= 0:
        return "it worked"
    return errno.errorcode.get(ctypes.get_errno(), "?")

def own(number):
    """The process's real number, which ``os.getpid`` hides."""
    return LIBC.syscall(ctypes.c_long(number))

def users():
    """The process's real users, which ``os.getresuid`` hides."""
    found = [ctypes.c_uint32() for _ in range(3)]
    LIBC.getresuid(*map(ctypes.byref, found))
    return {one.value for one in found}

def deed(function, *values):
    try:
        function(*values)
    except MemoryError:
        return "ENOMEM"
    except OSError as error:
        return errno.errorcode.get(error.errno, "?")
    except (RuntimeError, ValueError):  # what Python makes of EPERM for threads and limits
        return "EPERM"
    return "it worked"

def fork():
    if os.fork() == 0:
        os._exit(0)

def limits(kind, value):
    return "EPERM" if 0 <= min(resource.getrlimit(kind)) <= max(resource.getrlimit(kind)) <= value else "the limit is not set"

def probes(numbers, memory, user):
    inherited = [deed(os.dup, number).replace("EBADF", "EPERM") for number in range(3)]  # before anything else takes their numbers
    return {
        "network": [deed(socket.socket), deed(socket.socketpair)],
        "processes": [deed(fork), deed(os.execv, "/nowhere", ["x"])],
        "threads": [deed(_thread.start_new_thread, fork, ())],
        "signals": [deed(os.kill, os.getpid(), 0)],
        "files_open": [deed(os.open, "/", 0), deed(os.stat, "/"), deed(os.listdir, "/")],
        "files_change": [deed(os.unlink, "/nowhere/at/all"), deed(os.memfd_create, "x")],
        "privileges": [
            deed(os.setuid, os.getuid()), deed(resource.setrlimit, resource.RLIMIT_CORE, (0, 0)), call(numbers["prctl"], 39, 0, 0, 0, 0),
        ],
        "namespaces": [call(numbers["unshare"], 0), call(numbers["mount"], 0, 0, 0, 0, 0)],
        "tracing": [call(numbers["process_vm_readv"], own(numbers["getpid"]), 0, 0, 0, 0, 0)],
        "kernel": [call(numbers["personality"], 0xFFFFFFFF), call(numbers["keyctl"], 0, 0, 0), call(numbers["bpf"], 99, 0, 0)],
        "ipc": [call(numbers["shmget"], 0, 0, 0)],
        "memory": [deed(mmap.mmap, -1, memory).replace("ENOMEM", "EPERM"), limits(resource.RLIMIT_AS, memory)],
        "cpu": [
            "EPERM" if signal.getitimer(signal.ITIMER_PROF)[0] > 0 else "no timer runs",
            deed(signal.signal, signal.SIGPROF, signal.SIG_IGN),
        ],
        "file_size": [limits(resource.RLIMIT_FSIZE, 0)],
        "descriptors": [
            limits(resource.RLIMIT_NOFILE, 16), deed(fcntl.fcntl, 3, fcntl.F_SETFL, 0),
            *inherited,
        ],
        "own_uid": ["EPERM" if users() == {user} else "the user id is shared"],
        "dumpable": ["EPERM" if LIBC.prctl(3, 0, 0, 0, 0) == 0 else "it is dumpable"],
    }

def probe(walls, numbers, memory, user):
    found = probes(numbers, memory, user)
    for wall in walls:
        for said in found[wall]:
            if said != "EPERM":
                return [wall, said]
    return []
'''
"""Runs as a tool in a session of its own; gives the first wall that does not hold and what happened."""

_TRIED = ("unshare", "mount", "process_vm_readv", "personality", "keyctl", "bpf", "shmget")
_SCHEMA = {"type": "object", "properties": {}, "additionalProperties": True}
MEND = "run it where the kernel allows this, or choose another isolation for the pool"
PROVEN = (
    "network", "processes", "threads", "signals", "files_open", "files_change", "privileges", "namespaces", "tracing", "kernel", "ipc",
    "memory", "cpu", "file_size", "descriptors", "own_uid", "dumpable",
)  # fmt: skip
ATTEMPTS, PATIENCE = 3, 20.0
"""How often a probe is tried that fails, and for how many seconds one that meets the limit of CPU: it has no more than any call, and
gVisor counts the time in which others had the CPU as the probe's own."""


def _numbers(machine: str) -> dict[str, int]:
    column = 0 if machine == "x86_64" else 1
    known = {name: number for wall in ("namespaces", "tracing", "kernel", "ipc") for name, number in numbers(wall, column).items()}
    return {"prctl": (157, 167)[column], "getpid": (39, 172)[column], **{name: known[name] for name in _TRIED}}


async def prove(engine: "Engine", machine: str) -> dict[str, str]:
    """Return wall → evidence; raises WallMissing, or Transient when the probe itself could not run."""
    walls = [wall for wall in PROVEN if getattr(engine.settings.walls, wall) and (wall != "own_uid" or engine.variant == "own")]
    environment = await engine.put([ToolCode(name="probe", parameters=_SCHEMA, code=SOURCE)])
    session = engine.create(environment, 0)
    try:
        result = await _tried(
            engine, session, {"walls": walls, "numbers": _numbers(machine), "memory": engine.settings.limits.memory_mib << 20}
        )
        if result.outcome != "ok":
            raise Transient("sandbox", "Failed", f"the sandbox's walls could not be proven: {result.outcome}: {result.text}")
    finally:
        await engine.forget(environment)
    if result.value:
        wall, happened = result.value
        raise WallMissing(str(wall), f"a session's attempt gave: {happened}", MEND)
    return dict.fromkeys(walls, "a session's attempt was refused")


async def _tried(engine: "Engine", session: str, arguments: dict[str, Any]) -> CallResult:
    """Return the first result that tells something, else the last one."""
    until = time.monotonic() + PATIENCE
    for seq in itertools.count():
        result = await engine.call(session, seq, "probe", arguments | {"user": engine.user_of_next()})
        if result.outcome == "ok":
            break
        if seq + 1 >= ATTEMPTS and (result.outcome != "limit_time" or time.monotonic() > until):
            break
    return result
