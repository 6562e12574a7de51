"""Taking more time than the limit: burning it, sleeping it away, or getting rid of the clock that counts it."""

from tests.attacks.attack import attack
from tests.attacks.proofs import returned
from tests.attacks.walls import CPU, PRIVILEGES, SIGNALS, WALL
from tests.attacks.weapons import ctypes, raw, spin

DONE = {"proof": returned("done"), "outcomes": "limit_time tool_error"}


@attack("time", CPU, **DONE)
def busy_loop(**a):
    """Run a loop of bytecode."""
    for _ in range(a["rounds"]):
        pass
    for _ in range(a["rounds"]):
        pass
    return "done"


@attack("time", CPU, **DONE)
def busy_loop_that_catches_everything(**a):
    """Swallow whatever a limit may throw into the loop."""
    return spin(a["rounds"])


@attack("time", CPU, **DONE)
def one_long_call_into_c(**a):
    """Spend the time in one call that never comes back to bytecode."""
    sum(range(3 * a["rounds"]))
    return "done"


@attack("time", CPU, **DONE)
def huge_integers(**a):
    """Multiply integers of millions of bits."""
    value = 7 ** (a["rounds"] // 40)
    for _ in range(10):
        value * value
    return "done"


@attack("time", CPU, **DONE)
def catastrophic_pattern(**a):
    """Match a pattern that tries every split."""
    import re

    for _ in range(max(1, a["rounds"] // 4_000_000)):
        re.match(r"(a+)+$", "a" * 21 + "b")
    return "done"


@attack("time", CPU, **DONE)
def sort_with_a_slow_key(**a):
    """Sort in C, with comparisons in Python."""
    import functools

    for _ in range(1):
        sorted(range(a["rounds"] // 80, 0, -1), key=functools.cmp_to_key(lambda one, other: (one * 7919) % 10007 - (other * 7919) % 10007))
    return "done"


@attack("time", CPU, **DONE)
def time_in_the_module_body(**a):
    """Burn it while the tool is loaded, not while it is called."""
    exec(compile("for _ in range(ROUNDS): pass\nfor _ in range(ROUNDS): pass", "<body>", "exec"), {"ROUNDS": a["rounds"]})
    return "done"


@attack("time", WALL, **DONE)
def sleep_in_the_kernel(**a):
    """Sleep for real, by the system call."""
    kind = ctypes()
    moment = (kind.c_long * 2)(int(a["pause"]), int(a["pause"] % 1 * 1e9))
    raw("nanosleep", moment, None)
    return "done"


@attack("time", WALL, **DONE)
def wait_for_a_lock_that_nobody_frees(**a):
    """Deadlock on a lock."""
    import _thread

    lock = _thread.allocate_lock()
    lock.acquire()
    lock.acquire(timeout=a["pause"])
    return "done"


@attack("time", WALL, **DONE)
def wait_on_a_futex(**a):
    """Deadlock below Python."""
    kind = ctypes()
    word, moment = kind.c_int(0), (kind.c_long * 2)(int(a["pause"]), int(a["pause"] % 1 * 1e9))
    try:
        raw("futex", kind.byref(word), 0, 0, moment)
    except TimeoutError:
        return "done"


@attack("time", CPU, **DONE)
def disarm_the_timer(**a):
    """Switch the CPU timer off, then burn."""
    kind = ctypes()
    raw("setitimer", 2, (kind.c_long * 4)(), None)
    return spin(2 * a["rounds"])


@attack("time", CPU, **DONE)
def ignore_the_signal(**a):
    """Ignore the signals by which the limits speak, then burn."""
    import signal

    for number in (signal.SIGPROF, signal.SIGXCPU, signal.SIGALRM, signal.SIGVTALRM):
        signal.signal(number, signal.SIG_IGN)
    return spin(2 * a["rounds"])


@attack("time", CPU, **DONE)
def block_the_signal(**a):
    """Block the signals by which the limits speak, then burn."""
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    return spin(2 * a["rounds"])


@attack("time", CPU, **DONE)
def replace_what_arms_the_timer(calls=0, **a):
    """Patch Python's own timer and limit calls in the session, so that the next call has no limit."""
    import resource
    import signal
    import sys

    for module in list(sys.modules.values()):
        for name in ("setitimer", "setrlimit", "prlimit"):
            if getattr(module, name, None) is not None:
                setattr(module, name, lambda *_: (0.0, 0.0))
    signal.setitimer = resource.setrlimit = lambda *_: (0.0, 0.0)
    return spin(2 * a["rounds"])


@attack("time", CPU, PRIVILEGES, alone=(CPU,), **DONE)
def raise_the_limit_and_disarm_the_timer(**a):
    """Ask for all the CPU time there is, switch the timer off, then burn."""
    kind = ctypes()
    raw("setitimer", 2, (kind.c_long * 4)(), None)
    try:
        raw("prlimit64", 0, 0, (kind.c_ulong * 2)(2**64 - 1, 2**64 - 1), None)
    except OSError:
        raw("prlimit64", 0, 0, (kind.c_ulong * 2)(600, 600), None)
    return spin(2 * a["rounds"])


@attack("time", CPU, **DONE)
def burn_while_the_result_is_collected(**a):
    """Leave the work to an object's end."""

    class Late:
        def __del__(self):
            spin(2 * a["rounds"])

    late = Late()
    del late
    return "done"


@attack("time", CPU, SIGNALS, alone=(CPU,), **DONE)
def burn_in_a_signal_handler(**a):
    """Burn inside a handler, where other signals wait."""
    import signal

    signal.signal(signal.SIGUSR1, lambda *_: spin(2 * a["rounds"]))
    signal.raise_signal(signal.SIGUSR1)
    return "done"
