"""The kernel's rarely walked paths, where most holes were found. Calls that would harm the machine are made with nonsense:
the control shows that the kernel looked at it, the wall that it never got so far."""

from tests.attacks.attack import attack
from tests.attacks.proofs import harmed, returned
from tests.attacks.walls import CHANGE, KERNEL, OPEN, OWN_UID, PRIVILEGES
from tests.attacks.weapons import ctypes, own_socket, raw, reaches

GOT = {"proof": returned()}
ROOT = (OWN_UID, PRIVILEGES)
GONE = "gVisor has no such call"


@attack("escalation", KERNEL, *ROOT, alone=(KERNEL,), root=True, native=GONE, **GOT)
def program_in_the_kernel(**a):
    """Make a map for programs in the kernel."""
    kind = ctypes()
    return raw("bpf", 0, kind.byref((kind.c_uint32 * 32)(2, 4, 4, 1)), 128) >= 0


@attack("escalation", KERNEL, native=GONE, **GOT)
def key_in_the_kernel(**a):
    """Put a key into a ring that outlives the session."""
    return raw("add_key", b"user", b"astra", b"x", 1, -2) > 0


@attack("escalation", KERNEL, native=GONE, **GOT)
def ring_of_the_session(**a):
    """Ask for the ring of keys of one's session."""
    return raw("keyctl", 0, -3, 1) > 0


@attack("escalation", KERNEL, native=GONE, **GOT)
def request_a_key(**a):
    """Have the kernel ask a helper of root for a key."""
    return reaches("request_key", b"user", b"astra-none", None, -2, but=("ENOKEY",))


@attack("escalation", KERNEL, native=GONE, **GOT)
def ring_of_calls(**a):
    """Make system calls by a ring that no filter sees."""
    kind = ctypes()
    return raw("io_uring_setup", 4, kind.byref((kind.c_uint32 * 30)())) >= 0


@attack("escalation", KERNEL, native=GONE, **GOT)
def faults_in_user_space(**a):
    """Hold the kernel up at a page."""
    return raw("userfaultfd", 1) >= 0


@attack("escalation", KERNEL, native=GONE, **GOT)
def performance_counters(**a):
    """Open a performance counter."""
    kind = ctypes()
    attributes = (kind.c_uint32 * 32)(1, 128, 1)
    attributes[10] = 0x61
    return raw("perf_event_open", kind.byref(attributes), 0, -1, -1, 0) >= 0


@attack("escalation", KERNEL, native="gVisor refuses it", **GOT)
def personality_without_chance(**a):
    """Switch the random layout of memory off."""
    return raw("personality", 0x0040000) >= 0 and raw("personality", 0xFFFFFFFF) & 0x0040000 != 0


@attack("escalation", KERNEL, *ROOT, alone=(KERNEL,), root=True, native=GONE, **GOT)
def load_a_module(**a):
    """Load code into the kernel; here nonsense."""
    return reaches("init_module", b"nonsense", 8, b"", but=("ENOEXEC", "ENOSYS"))


@attack("escalation", KERNEL, *ROOT, alone=(KERNEL,), root=True, native=GONE, **GOT)
def remove_a_module(**a):
    """Remove a module of the kernel; here none."""
    return reaches("delete_module", b"astra_none", 0, but=("ENOENT", "ENOSYS"))


@attack("escalation", KERNEL, *ROOT, alone=(KERNEL,), root=True, native=GONE, **GOT)
def load_another_kernel(**a):
    """Prepare another kernel; here nonsense."""
    return reaches("kexec_load", 0, 99, None, -1, but=("EINVAL", "ENOSYS"))


@attack("escalation", KERNEL, *ROOT, alone=(KERNEL,), root=True, native=GONE, **GOT)
def reboot(**a):
    """Stop the machine; here with a wrong number."""
    return reaches("reboot", 1, 2, 3, None, but=("EINVAL",))


@attack("escalation", KERNEL, *ROOT, alone=(KERNEL,), root=True, proof=harmed("host"))
def rename_the_machine(**a):
    """Change the machine's name."""
    raw("sethostname", b"attacked", 8)


@attack("escalation", KERNEL, native=GONE, **GOT)
def set_the_clock(**a):
    """Set the machine's clock; here to no time at all."""
    kind = ctypes()
    return reaches("clock_settime", 0, kind.byref((kind.c_long * 2)(0, -1)), but=("EINVAL",))


@attack("escalation", KERNEL, native=GONE, **GOT)
def adjust_the_clock(**a):
    """Ask how the machine's clock is steered, by the call that steers it."""
    kind = ctypes()
    return raw("adjtimex", kind.byref((kind.c_long * 40)())) >= 0


@attack("escalation", KERNEL, *ROOT, alone=(KERNEL,), root=True, native=GONE, **GOT)
def swap_to_a_file(**a):
    """Have the machine swap to a file; here one that is none."""
    return reaches("swapon", b"/proc/none", 0, but=("ENOENT",))


@attack("escalation", KERNEL, *ROOT, alone=(KERNEL,), root=True, native=GONE, **GOT)
def account_processes(**a):
    """Have every process that ends written into a file; here into none."""
    return raw("acct", None) == 0


@attack("escalation", KERNEL, *ROOT, alone=(KERNEL,), root=True, native=GONE, **GOT)
def ports_of_the_machine(**a):
    """Take the machine's ports."""
    return reaches("ioperm", 0x80, 1, 1, but=("ENOSYS",))


@attack("escalation", KERNEL, native="gVisor has no such call", **GOT)
def segments_of_the_processor(**a):
    """Change the processor's descriptor table, an old path to many holes."""
    kind = ctypes()
    return raw("modify_ldt", 0, kind.create_string_buffer(64), 64) >= 0


@attack("escalation", CHANGE, native=GONE, **GOT)
def secret_memory(**a):
    """Make memory that even the kernel does not map."""
    return raw("memfd_secret", 0) >= 0


@attack("escalation", OPEN, *ROOT, alone=(OPEN,), root=True, native=GONE, **GOT)
def watch_all_files(**a):
    """Watch and hold up every file operation of the machine."""
    return raw("fanotify_init", 4, 0) >= 0


@attack("escalation", KERNEL, native=GONE, **GOT)
def filter_with_a_listener(**a):
    """Put a filter of one's own in front, which answers for the kernel."""
    kind = ctypes()

    class Program(kind.Structure):
        _fields_ = (("length", kind.c_ushort), ("filter", kind.c_void_p))

    allow = kind.create_string_buffer(b"\x06\x00\x00\x00\x00\x00\xff\x7f", 8)
    return raw("seccomp", 1, 8, kind.byref(Program(1, kind.addressof(allow)))) >= 0


@attack("escalation", KERNEL, **GOT)
def call_of_a_device(**a):
    """Use a device's own calls; here a socket is asked for its queue."""
    left = ctypes().c_int(-1)
    return raw("ioctl", own_socket(), 0x541B, ctypes().byref(left)) == 0 and left.value >= 0
