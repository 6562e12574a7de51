"""Getting more rights, or the kernel's rarely walked paths. Calls that would harm the machine are made with nonsense:
the control shows that the kernel looked at it, the wall that it never got so far."""

from tests.attacks.attack import attack
from tests.attacks.proofs import harmed, returned
from tests.attacks.walls import (
    ARCHITECTURE,
    CHANGE,
    DUMPABLE,
    FILE_SIZE,
    KERNEL,
    NAMESPACES,
    OPEN,
    OWN_UID,
    PRIVILEGES,
    PROCESSES,
    THREADS,
    TRACING,
)
from tests.attacks.weapons import ctypes, machine_code, memory_of, raw, reaches

GOT = {"proof": returned()}
ROOT = (OWN_UID, PRIVILEGES)
SPY = (TRACING, OWN_UID, PRIVILEGES, DUMPABLE)
GONE = "gVisor has no such call"


@attack("escalation", OWN_UID, PRIVILEGES, alone=(PRIVILEGES,), root=True, **GOT)
def become_root(**a):
    """Take the super-user's number."""
    import os

    os.setresuid(0, 0, 0)
    return raw("getuid") == 0 and raw("geteuid") == 0


@attack("escalation", OWN_UID, PRIVILEGES, alone=(PRIVILEGES,), root=True, **GOT)
def become_somebody_else(**a):
    """Take a neighbour's number."""
    import os

    os.setresuid(12345, 12345, 12345)
    return raw("getuid") == 12345


@attack("escalation", PRIVILEGES, OWN_UID, alone=(PRIVILEGES,), root=True, **GOT)
def join_groups(**a):
    """Join the groups that own devices."""
    import os

    os.setgroups([6, 9, 42])
    found = (ctypes().c_uint * 64)()
    return 42 in found[: raw("getgroups", 64, found)]


@attack("escalation", PRIVILEGES, **GOT)
def change_capabilities(**a):
    """Set the own capabilities."""
    kind = ctypes()
    return raw("capset", kind.byref((kind.c_uint32 * 2)(0x20080522, 0)), kind.byref((kind.c_uint32 * 6)())) == 0


@attack("escalation", PRIVILEGES, OWN_UID, alone=(PRIVILEGES,), proof=returned(), root=True)
def use_a_capability(**a):
    """Use a capability of the pool: bind a machine name."""
    kind = ctypes()
    found = (kind.c_uint32 * 6)()
    libc = kind.CDLL(None)
    libc.capget(kind.byref((kind.c_uint32 * 2)(0x20080522, 0)), kind.byref(found))
    if not found[0]:
        raise PermissionError("no capabilities")
    return True


@attack("escalation", PRIVILEGES, DUMPABLE, alone=(PRIVILEGES,), **GOT)
def become_dumpable(**a):
    """Open the own memory to others."""
    raw("prctl", 4, 1, 0, 0, 0)
    return raw("prctl", 3, 0, 0, 0, 0) == 1


@attack("escalation", PRIVILEGES, native="gVisor knows no tracer by permission", **GOT)
def allow_tracing(**a):
    """Keep rights over a change of user."""
    return raw("prctl", 36, 1, 0, 0, 0) == 0


@attack("escalation", *SPY, alone=(TRACING,), **GOT)
def trace_a_process(**a):
    """Attach to another process."""
    import os

    raw("ptrace", 0x4206, a["victim"], 0, 0)
    raw("ptrace", 0x4207, a["victim"], 0, 0)
    os.waitpid(a["victim"], 0x40000000)
    return raw("ptrace", 17, a["victim"], 0, 0) == 0


@attack("escalation", *SPY, alone=(TRACING,), **GOT)
def trace_the_zygote(**a):
    """Attach to the zygote and let go of it."""
    import os

    zygote = raw("getppid")
    raw("ptrace", 0x4206, zygote, 0, 0)
    raw("ptrace", 0x4207, zygote, 0, 0)
    os.waitpid(zygote, 0x40000000)
    return raw("ptrace", 17, zygote, 0, 0) == 0


@attack("escalation", TRACING, native="gVisor refuses a tracer outside its rules", **GOT)
def be_traced(**a):
    """Make the zygote one's tracer, who is stopped at every signal."""
    return raw("ptrace", 0, 0, 0, 0) == 0


@attack("escalation", *SPY, alone=(TRACING,), native="gVisor has no such call", proof=harmed("victim's memory"))
def write_memory_of_a_process(**a):
    """Change another process's memory."""
    memory_of(a["victim"], a["address"], 4, "process_vm_writev", b"harm")


@attack(
    "escalation", *SPY, OPEN, CHANGE, alone=(OPEN, CHANGE), native="gVisor lets nobody write that file", proof=harmed("victim's memory")
)
def write_memory_of_a_process_by_its_file(**a):
    """Change another process's memory by /proc."""
    with open(f"/proc/{a['victim']}/mem", "r+b", buffering=0) as memory:
        memory.seek(a["address"])
        memory.write(b"harm")


@attack("escalation", TRACING, native="gVisor has no such call", **GOT)
def handle_of_a_process(**a):
    """Take a descriptor of another process."""
    return raw("pidfd_open", a["victim"], 0) >= 0


@attack("escalation", *SPY, alone=(TRACING,), root=True, native=GONE, **GOT)
def advise_on_the_memory_of_a_process(**a):
    """Page another process out."""
    return reaches("process_madvise", raw("pidfd_open", a["victim"], 0), None, 0, 20, 0, but=("EINVAL",))


@attack("escalation", *SPY, KERNEL, alone=(KERNEL,), native=GONE, **GOT)
def pages_of_a_process(**a):
    """Ask where another process's pages are."""
    return raw("move_pages", a["victim"], 0, None, None, None, 0) == 0


@attack("escalation", NAMESPACES, **GOT)
def own_users(**a):
    """Make a namespace in which one is root."""
    return raw("unshare", 0x10000000) == 0


@attack("escalation", NAMESPACES, **GOT)
def own_network(**a):
    """Make a network namespace with all capabilities in it."""
    return raw("unshare", 0x50000000) == 0


@attack("escalation", NAMESPACES, PROCESSES, THREADS, alone=(PROCESSES, NAMESPACES), **GOT)
def own_users_by_clone(**a):
    """Make a namespace along with a process."""
    import os

    child = raw("clone", 0x10000000 | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(7)
    return os.waitpid(child, 0)[1] == 7 << 8


@attack("escalation", NAMESPACES, OPEN, *ROOT, alone=(NAMESPACES, OPEN), native="gVisor shows no such files", root=True, **GOT)
def join_a_namespace(**a):
    """Join the supervisor's namespace."""
    return reaches("setns", raw("openat", -100, f"/proc/{a['front']}/ns/uts".encode(), 0, 0), 0x04000000, but=("EINVAL",))


@attack("escalation", NAMESPACES, *ROOT, alone=(NAMESPACES,), root=True, **GOT)
def mount(**a):
    """Mount a file system."""
    return (
        raw("mount", b"none", a["folder"].encode() + b"/empty", b"tmpfs", 0, None) == 0
        and raw("umount2", a["folder"].encode() + b"/empty", 2) == 0
    )


@attack("escalation", NAMESPACES, native="gVisor mounts for its own root alone", **GOT)
def mount_as_root_of_a_namespace(**a):
    """Mount in a namespace of one's own."""
    raw("unshare", 0x10020000)
    return raw("mount", b"none", a["folder"].encode() + b"/empty", b"tmpfs", 0, None) == 0


@attack("escalation", NAMESPACES, *ROOT, alone=(NAMESPACES,), root=True, native=GONE, **GOT)
def mount_by_the_new_calls(**a):
    """Mount by descriptors."""
    return raw("fsopen", b"tmpfs", 0) >= 0


@attack("escalation", NAMESPACES, OPEN, *ROOT, alone=(NAMESPACES,), root=True, native=GONE, **GOT)
def copy_a_mount(**a):
    """Take a mount by a descriptor."""
    return raw("open_tree", -100, b"/", 1) >= 0


@attack("escalation", NAMESPACES, OPEN, *ROOT, alone=(NAMESPACES,), root=True, **GOT)
def swap_the_root(**a):
    """Change the root of all."""
    return reaches("pivot_root", b"/", b"/", but=("EINVAL", "EBUSY"))


@attack("escalation", CHANGE, OPEN, FILE_SIZE, alone=(CHANGE, OPEN), **GOT)
def library_from_memory(**a):
    """Load a library that is no file of the machine."""
    import os

    kind = ctypes()
    with open("/lib/x86_64-linux-gnu/libm.so.6", "rb") as file:
        body = file.read()
    memory = raw("memfd_create", b"x", 0)
    os.write(memory, body)
    return kind.CDLL(f"/proc/self/fd/{memory}").cos is not None


@attack("escalation", OPEN, **GOT)
def library_from_a_path(**a):
    """Load a library of the machine."""
    return ctypes().CDLL("libutil.so.1").forkpty is not None


@attack("escalation", ARCHITECTURE, native="gVisor has no 32-bit calls", **GOT)
def calls_of_the_old_architecture(**a):
    """Call the kernel as a 32-bit program does, where other numbers mean other calls: here fork as number 2."""
    import os

    child = machine_code(bytes.fromhex("53b80200000031dbcd805b4898c3"))
    if child == 0:
        os._exit(7)
    if child < 0:
        raise OSError(-child, "int 0x80")
    return os.waitpid(child, 0)[1] == 7 << 8


@attack("escalation", why="most kernels have no x32; where one has, the filter refuses it", **GOT)
def calls_of_the_third_architecture(**a):
    """Call the kernel with the numbers of x32."""
    return raw(0x40000000 + 39) > 0
