"""Learning what is not the tool's to know: of the machine, the supervisor, the zygote and the neighbours."""

from tests.attacks.attack import attack
from tests.attacks.proofs import at_least, harmed, returned, told
from tests.attacks.walls import DUMPABLE, IPC, KERNEL, NETWORK, OPEN, OWN_UID, PRIVILEGES, TRACING
from tests.attacks.weapons import ctypes, kind_of, memory_of, own_socket, raw

READ = (OPEN, OWN_UID, PRIVILEGES)
SPY = (TRACING, OWN_UID, PRIVILEGES, DUMPABLE)


@attack("information", OPEN, proof=told("file"))
def read_a_file(**a):
    """Read a file that all may read."""
    with open(a["file"]) as file:
        return file.read()


@attack("information", *READ, alone=(OPEN,), proof=told("private"))
def read_what_is_private(**a):
    """Read a file of the pool's user."""
    with open(a["private"]) as file:
        return file.read()


@attack("information", *READ, alone=(OPEN,), proof=told("token"))
def service_account_token(**a):
    """Read the token that a pod may carry."""
    with open(a["token"]) as file:
        return file.read()


@attack("information", OPEN, proof=returned())
def users_of_the_machine(**a):
    """Read the list of users."""
    with open("/etc/passwd") as file:
        return "root:" in file.read()


@attack("information", *READ, alone=(OPEN,), proof=told("environment"))
def environment_of_the_supervisor(**a):
    """Read the supervisor's environment, where keys are."""
    with open(f"/proc/{a['front']}/environ") as file:
        return file.read()


@attack("information", *READ, alone=(OPEN,), proof=told("memory"))
def environment_of_a_process(**a):
    """Read another process's environment."""
    with open(f"/proc/{a['victim']}/environ") as file:
        return file.read()


@attack("information", OPEN, proof=returned())
def command_line_of_the_supervisor(**a):
    """Read how the supervisor was started."""
    with open(f"/proc/{a['front']}/cmdline") as file:
        return "attacks" in file.read()


@attack("information", *READ, DUMPABLE, alone=(OPEN,), proof=returned())
def map_of_the_zygote(**a):
    """Read where the zygote's memory lies."""
    with open(f"/proc/{raw('getppid')}/maps") as file:
        return "[stack]" in file.read()


@attack("information", OPEN, DUMPABLE, PRIVILEGES, OWN_UID, alone=(OPEN,), proof=returned())
def own_map(**a):
    """Read where one's own memory lies."""
    with open("/proc/self/maps") as file:
        return "[stack]" in file.read()


@attack("information", *READ, DUMPABLE, alone=(OPEN,), proof=told("memory"))
def memory_of_a_process_by_its_file(**a):
    """Read another process's memory by /proc."""
    with open(f"/proc/{a['victim']}/mem", "rb", buffering=0) as file:
        file.seek(a["address"])
        return file.read(64).decode("latin-1")


@attack("information", *READ, DUMPABLE, alone=(OPEN,), proof=told("neighbour"))
def memory_of_a_neighbour_by_its_file(**a):
    """Read another session's memory by /proc."""
    with open(f"/proc/{a['neighbour']}/mem", "rb", buffering=0) as file:
        file.seek(a["neighbour_address"])
        return file.read(64).decode("latin-1")


@attack("information", *SPY, alone=(TRACING,), native="gVisor has no such call", proof=told("memory"))
def memory_of_a_process(**a):
    """Read another process's memory by the system call."""
    return memory_of(a["victim"], a["address"], 64).decode("latin-1")


@attack("information", *SPY, alone=(TRACING,), native="gVisor has no such call", proof=told("neighbour"))
def memory_of_a_neighbour(**a):
    """Read another session's memory by the system call."""
    return memory_of(a["neighbour"], a["neighbour_address"], 64).decode("latin-1")


@attack("information", *SPY, alone=(TRACING,), native="gVisor has no such call", proof=returned())
def memory_of_the_zygote(**a):
    """Read the zygote's memory, which lies where one's own does."""
    return memory_of(raw("getppid"), id(int), 64) != b""


@attack("information", *SPY, alone=(TRACING,), native="gVisor has no such call", proof=told("private"))
def descriptor_of_a_process(**a):
    """Take a copy of another process's descriptor."""
    import os

    return os.pread(raw("pidfd_getfd", raw("pidfd_open", a["victim"], 0), a["held"], 0), 64, 0).decode()


@attack("information", *READ, DUMPABLE, alone=(OPEN,), proof=told("private"))
def descriptor_of_a_process_by_its_folder(**a):
    """Open another process's descriptor by /proc."""
    with open(f"/proc/{a['victim']}/fd/{a['held']}") as file:
        return file.read()


@attack("information", OPEN, proof=at_least(3))
def list_of_processes(**a):
    """See who else runs."""
    import os

    return sum(name.isdigit() for name in os.listdir("/proc"))


@attack("information", OPEN, proof=returned())
def look_around(**a):
    """List a folder."""
    import os

    return "file" in os.listdir(a["folder"])


@attack("information", OPEN, proof=at_least(30))
def look_at_a_file(**a):
    """Learn a file's size without opening it."""
    import os

    return os.stat(a["file"]).st_size


@attack("information", OPEN, outcomes="ok", proof=returned())
def does_a_file_exist(**a):
    """Ask whether a file is there."""
    import os

    return os.access(a["file"], os.F_OK)


@attack("information", OPEN, proof=returned())
def where_a_link_leads(**a):
    """Read a link."""
    import os

    return os.readlink("/proc/self/exe").startswith("/")


@attack("information", *READ, alone=(OPEN,), proof=returned())
def import_from_a_folder(**a):
    """Import a module that nobody allowed, from where Python has its own."""
    import _frozen_importlib_external as loader
    import os
    import sys

    sys.dont_write_bytecode = True
    return loader.SourceFileLoader("colorsys", os.__file__.replace("os.py", "colorsys.py")).get_code("colorsys") is not None


@attack("information", why="a session closes them before any tool code runs", proof=at_least(2), outcomes="ok")
def inherited_descriptors(**a):
    """Find descriptors of the zygote: its sockets, its pipes, its files."""
    found = 0
    for number in range(256):
        try:
            found += kind_of(number) >> 12 in (0o14, 0o10, 0o1)
        except OSError:
            continue
    return found


@attack("information", IPC, proof=told("shared"))
def shared_memory_of_others(**a):
    """Attach a segment that somebody else made."""
    kind = ctypes()
    library = kind.CDLL(None, use_errno=True)
    library.shmat.restype = kind.c_void_p
    address = library.shmat(a["segment"], None, 0o10000)
    if address in (None, 2**64 - 1):
        raise OSError(kind.get_errno(), "shmat")
    return kind.string_at(address, 64).decode("latin-1")


@attack("information", IPC, proof=harmed("shared"))
def change_shared_memory_of_others(**a):
    """Write into a segment that somebody else made."""
    kind = ctypes()
    library = kind.CDLL(None, use_errno=True)
    library.shmat.restype = kind.c_void_p
    address = library.shmat(a["segment"], None, 0)
    if address in (None, 2**64 - 1):
        raise OSError(kind.get_errno(), "shmat")
    kind.memset(address, 0, 64)


@attack("information", IPC, proof=returned())
def message_queue(**a):
    """Leave a message for another session, by a queue of System V."""
    return raw("msgget", 0, 0o1600) >= 0


@attack("information", IPC, proof=returned())
def named_message_queue(**a):
    """Leave a message for another session, by a queue with a name."""
    return raw("mq_open", b"astra-attack", 0o102, 0o600, None) >= 0


@attack("information", IPC, proof=returned())
def semaphore(**a):
    """Signal another session by a semaphore."""
    return raw("semget", 0, 1, 0o1600) >= 0


@attack("information", KERNEL, OWN_UID, PRIVILEGES, alone=(KERNEL,), proof=returned(), root=True)
def log_of_the_kernel(**a):
    """Read the kernel's log, addresses and all."""
    return raw("syslog", 10, None, 0) > 0


@attack("information", NETWORK, proof=returned())
def who_is_at_the_other_end(**a):
    """Ask the socket for the supervisor's process number."""
    import socket

    from_number = socket.socket(fileno=own_socket())
    try:
        return int.from_bytes(from_number.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little") > 0
    finally:
        from_number.detach()


@attack("information", *SPY, alone=(TRACING,), native="gVisor has no such call", proof=returned())
def compare_with_a_process(**a):
    """Ask the kernel whether another process shares one's memory."""
    return raw("kcmp", raw("getpid"), a["victim"], 1, 0, 0) >= 0
