"""Making processes and threads, and reaching those that are there: by signals, limits, priorities."""

from tests.attacks.attack import attack
from tests.attacks.proofs import at_least, harmed, returned
from tests.attacks.walls import (
    CHANGE,
    CPU,
    DESCRIPTORS,
    FILE_SIZE,
    KERNEL,
    NAMESPACES,
    OPEN,
    OWN_UID,
    PRIVILEGES,
    PROCESSES,
    SIGNALS,
    THREADS,
    TRACING,
)
from tests.attacks.weapons import ctypes, raw

MADE = {"proof": returned()}
KILLS = {"proof": harmed("victim"), "outcomes": "tool_error ok"}


@attack("processes", PROCESSES, THREADS, alone=(PROCESSES,), **MADE)
def fork(**a):
    """Fork by Python."""
    import os

    child = os.fork()
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] == 7 << 8


@attack("processes", PROCESSES, THREADS, alone=(PROCESSES,), **MADE)
def fork_by_number(**a):
    """Fork by the old system call."""
    import os

    child = raw("fork")
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] == 7 << 8


@attack("processes", PROCESSES, THREADS, alone=(PROCESSES,), **MADE)
def clone_by_number(**a):
    """Fork by clone, with a signal at the end."""
    import os

    child = raw("clone", 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] == 7 << 8


@attack("processes", PROCESSES, THREADS, NAMESPACES, alone=(PROCESSES, THREADS, NAMESPACES), native="gVisor has no such call", **MADE)
def clone3_by_number(**a):
    """Fork by clone3, whose arguments no filter can see."""
    import os

    kind = ctypes()
    arguments = (kind.c_ulonglong * 11)(0, 0, 0, 0, 17)
    child = raw("clone3", kind.byref(arguments), 88)
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] == 7 << 8


@attack("processes", PROCESSES, THREADS, OPEN, alone=(PROCESSES,), **MADE)
def vfork_by_the_library(**a):
    """Start a program by posix_spawn, which uses vfork or clone3."""
    import os

    child = os.posix_spawn("/bin/true", ["true"], {})
    return os.waitpid(child, 0)[1] == 0


@attack("processes", PROCESSES, THREADS, OPEN, alone=(PROCESSES,), outcomes="ok", **MADE)
def shell(**a):
    """Run a shell command by the C library."""
    import os

    return os.system("exit 7") == 7 << 8


@attack("processes", PROCESSES, THREADS, OPEN, CPU, alone=(PROCESSES,), **MADE)
def subprocess_module(**a):
    """Run a program by the subprocess module."""
    import subprocess

    return subprocess.run(["/bin/true"], check=True).returncode == 0


@attack("processes", PROCESSES, THREADS, alone=(PROCESSES,), proof=at_least(20))
def fork_bomb(**a):
    """Fork until it fails, and have every child fork."""
    import os

    children = []
    while len(children) < 10:
        child = os.fork()
        if child == 0:
            for _ in range(3):
                if os.fork() == 0:
                    os._exit(0)
            os._exit(3)
        children.append(child)
    return sum((os.waitpid(child, 0)[1] >> 8) for child in children)


@attack("processes", PROCESSES, THREADS, alone=(THREADS,), **MADE)
def thread_of_the_interpreter(**a):
    """Start a thread of Python."""
    import _thread

    done = []
    _thread.start_new_thread(done.append, (1,))
    while not done:
        pass
    return True


@attack("processes", PROCESSES, THREADS, alone=(THREADS,), proof=at_least(32))
def hundreds_of_threads(**a):
    """Start threads until it fails."""
    import _thread
    import threading

    made, gate = 0, threading.Event()
    _thread.stack_size(1 << 16)
    try:
        while made < 40:
            _thread.start_new_thread(gate.wait, (5,))
            made += 1
    finally:
        gate.set()
    return made


@attack("processes", PROCESSES, OPEN, CHANGE, alone=(PROCESSES, CHANGE), proof=harmed("files"))
def become_another_program(**a):
    """Replace the session by another program."""
    import os

    os.execv("/bin/mkdir", ["mkdir", a["folder"] + "/made"])


@attack("processes", PROCESSES, OPEN, CHANGE, FILE_SIZE, alone=(PROCESSES, CHANGE), proof=harmed("files"))
def program_from_memory(**a):
    """Run a program that is no file."""
    import os

    kind = ctypes()
    file = raw("memfd_create", b"x", 0)
    with open("/bin/mkdir", "rb") as program:
        os.write(file, program.read())
    given = (kind.c_char_p * 3)(b"mkdir", a["folder"].encode() + b"/made", None)
    raw("execveat", file, b"", given, (kind.c_char_p * 1)(None), 0x1000)


@attack("processes", SIGNALS, OWN_UID, PRIVILEGES, alone=(SIGNALS,), **KILLS)
def kill_a_process_outside(**a):
    """Kill a process of the pool's user."""
    import os

    os.kill(a["victim"], 9)


@attack("processes", SIGNALS, OWN_UID, PRIVILEGES, alone=(SIGNALS,), **KILLS)
def kill_with_tgkill(**a):
    """Kill by thread number."""
    raw("tgkill", a["victim"], a["victim"], 9)


@attack("processes", SIGNALS, OWN_UID, PRIVILEGES, alone=(SIGNALS,), **KILLS)
def kill_with_tkill(**a):
    """Kill by the oldest thread call."""
    raw("tkill", a["victim"], 9)


@attack("processes", SIGNALS, OWN_UID, PRIVILEGES, alone=(SIGNALS,), **KILLS)
def queue_a_signal(**a):
    """Queue a signal with a value of one's own."""
    kind = ctypes()
    info = (kind.c_int * 32)(10, 0, -1)
    raw("rt_sigqueueinfo", a["victim"], 10, kind.byref(info))


@attack("processes", SIGNALS, OWN_UID, PRIVILEGES, TRACING, alone=(SIGNALS, TRACING), native="gVisor has no such call", **KILLS)
def signal_through_a_descriptor(**a):
    """Signal by a descriptor of the process."""
    raw("pidfd_send_signal", raw("pidfd_open", a["victim"], 0), 9, None, 0)


@attack("processes", SIGNALS, OWN_UID, PRIVILEGES, alone=(SIGNALS,), **KILLS)
def signal_everybody(**a):
    """Signal every process there is; a signal that only the canary obeys."""
    import os

    os.kill(-1, 28)


@attack("processes", SIGNALS, OWN_UID, PRIVILEGES, alone=(SIGNALS,), proof=harmed("front"), outcomes="tool_error ok")
def signal_the_supervisor(**a):
    """Signal the process that answers for the whole pool."""
    import os

    os.kill(a["front"], 28)


@attack("processes", SIGNALS, OWN_UID, PRIVILEGES, alone=(SIGNALS,), proof=harmed("zygote"), ruins=True)
def kill_the_zygote(**a):
    """Kill the process that all sessions of the environment come from."""
    raw("kill", raw("getppid"), 9)


@attack("processes", SIGNALS, OWN_UID, PRIVILEGES, alone=(SIGNALS,), proof=harmed("neighbour"), ruins=True)
def kill_a_neighbour(**a):
    """Kill the session of somebody else."""
    raw("kill", a["neighbour"], 9)


@attack("processes", SIGNALS, DESCRIPTORS, OWN_UID, PRIVILEGES, alone=(SIGNALS, DESCRIPTORS), **KILLS)
def signal_by_ownership(**a):
    """Make the victim owner of a pipe, and have the kernel signal it when something comes."""
    import os

    reader, writer = os.pipe()
    raw("fcntl", reader, 8, a["victim"])
    raw("fcntl", reader, 10, 10)
    raw("fcntl", reader, 4, 0o20000 | 0o4000)
    os.write(writer, b"x")
    return True


@attack("processes", SIGNALS, DESCRIPTORS, OWN_UID, PRIVILEGES, KERNEL, alone=(SIGNALS, DESCRIPTORS), **KILLS)
def signal_by_extended_ownership(**a):
    """The same by the newer form of the call."""
    import os

    kind = ctypes()
    reader, writer = os.pipe()
    raw("fcntl", reader, 15, kind.byref((kind.c_int * 2)(1, a["victim"])))
    raw("fcntl", reader, 10, 10)
    raw("fcntl", reader, 4, 0o20000 | 0o4000)
    os.write(writer, b"x")
    return True


@attack("processes", PRIVILEGES, proof=returned())
def outlive_the_supervisor(**a):
    """Ask not to be killed when the zygote dies."""
    kind = ctypes()
    now = kind.c_int(-1)
    raw("prctl", 1, 0, 0, 0, 0)
    raw("prctl", 2, kind.byref(now), 0, 0, 0)
    return now.value == 0


@attack("processes", PRIVILEGES, OWN_UID, alone=(PRIVILEGES,), proof=harmed("victim's limits"))
def lower_the_limits_of_another(**a):
    """Take another process's descriptors by its limits."""
    kind = ctypes()
    raw("prlimit64", a["victim"], 7, (kind.c_ulong * 2)(3, 3), None)


@attack("processes", CPU, PRIVILEGES, OWN_UID, alone=(CPU,), proof=harmed("victim's limits"))
def slow_another_down(**a):
    """Give another process the lowest priority."""
    raw("setpriority", 0, a["victim"], 19)


@attack("processes", CPU, PRIVILEGES, OWN_UID, alone=(CPU,), proof=harmed("victim's limits"))
def pin_another(**a):
    """Move another process to one core."""
    kind = ctypes()
    raw("sched_setaffinity", a["victim"], 8, kind.byref(kind.c_ulong(1)))


@attack("processes", CPU, PRIVILEGES, OWN_UID, alone=(CPU,), native="gVisor has one class of scheduling", proof=harmed("victim's limits"))
def reschedule_another(**a):
    """Put another process into the idle class."""
    kind = ctypes()
    raw("sched_setscheduler", a["victim"], 5, kind.byref(kind.c_int(0)))


@attack("processes", CPU, PRIVILEGES, OWN_UID, alone=(CPU,), native="gVisor has one class of scheduling", proof=returned(), root=True)
def realtime_priority(**a):
    """Take a real-time class, before which everybody waits."""
    kind = ctypes()
    return raw("sched_setscheduler", 0, 1, kind.byref(kind.c_int(1))) == 0


@attack("processes", CPU, PRIVILEGES, OWN_UID, alone=(CPU,), proof=returned(), root=True)
def higher_priority(**a):
    """Take a better priority than the supervisor."""
    import os

    os.setpriority(os.PRIO_PROCESS, 0, -15)
    return os.getpriority(os.PRIO_PROCESS, 0) == -15


@attack("processes", PRIVILEGES, proof=returned())
def leave_the_process_group(**a):
    """Hide in a neighbour's group, which is killed as a whole."""
    import os

    os.setpgid(0, a["neighbour"])
    return raw("getpgid", 0) == a["neighbour"]
