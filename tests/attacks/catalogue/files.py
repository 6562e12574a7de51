"""Reaching the file system: writing, making, removing, and the ways around a path."""

from tests.attacks.attack import attack
from tests.attacks.proofs import harmed, returned
from tests.attacks.walls import CHANGE, DUMPABLE, FILE_SIZE, KERNEL, NAMESPACES, OPEN, OWN_UID, PRIVILEGES
from tests.attacks.weapons import ctypes, raw

HARM = {"proof": harmed("files", "shm"), "outcomes": "tool_error"}
WRITE = (OPEN, CHANGE, FILE_SIZE)


@attack("files", *WRITE, alone=(OPEN, CHANGE), **HARM)
def overwrite(**a):
    """Open a file that all may write, and write."""
    with open(a["file"], "w") as file:
        file.write("harm")


@attack("files", *WRITE, **HARM)
def append(**a):
    """Add to a file without truncating it."""
    with open(a["file"], "a") as file:
        file.write("harm")


@attack("files", *WRITE, OWN_UID, PRIVILEGES, alone=(OPEN, CHANGE), **HARM)
def overwrite_what_is_private(**a):
    """Write a file of the pool's user."""
    with open(a["private"], "r+") as file:
        file.write("harm")


@attack("files", OPEN, CHANGE, **HARM)
def truncate_by_opening(**a):
    """Empty a file by opening it."""
    raw("openat", -100, a["file"].encode(), 0o1001, 0)


@attack("files", CHANGE, FILE_SIZE, alone=(CHANGE,), **HARM)
def truncate(**a):
    """Empty a file by its path."""
    raw("truncate", a["file"].encode(), 0)


@attack("files", OPEN, CHANGE, **HARM)
def create(**a):
    """Make a file."""
    import os

    os.close(os.open(a["folder"] + "/new", os.O_CREAT | os.O_WRONLY | os.O_EXCL))


@attack("files", OPEN, CHANGE, **HARM)
def create_by_number(**a):
    """Make a file by the oldest call."""
    raw("creat", a["folder"].encode() + b"/new", 0o600)


@attack("files", OPEN, CHANGE, native="gVisor has no such call", **HARM)
def create_by_openat2(**a):
    """Make a file by the newest call, whose flags no filter can see."""
    kind = ctypes()
    raw("openat2", -100, a["folder"].encode() + b"/new", (kind.c_ulonglong * 3)(0o101, 0o600, 0), 24)


@attack("files", OPEN, CHANGE, native="gVisor has no nameless files", proof=returned())
def nameless_file(**a):
    """Make a file that has no name."""
    return raw("openat", -100, a["folder"].encode(), 0o20200002, 0o600) >= 0


@attack("files", CHANGE, **HARM)
def remove(**a):
    """Remove a file."""
    import os

    os.unlink(a["file"])


@attack("files", CHANGE, **HARM)
def rename(**a):
    """Put one file in another's place."""
    import os

    os.rename(a["file"], a["folder"] + "/moved")


@attack("files", CHANGE, **HARM)
def make_a_folder(**a):
    """Make a folder."""
    import os

    os.mkdir(a["folder"] + "/made")


@attack("files", CHANGE, **HARM)
def remove_a_folder(**a):
    """Remove a folder."""
    import os

    os.rmdir(a["folder"] + "/empty")


@attack("files", CHANGE, **HARM)
def symbolic_link(**a):
    """Lay a link to /etc where somebody else may follow it."""
    import os

    os.symlink("/etc", a["folder"] + "/link")


@attack("files", CHANGE, **HARM)
def hard_link(**a):
    """Give a file a second name."""
    import os

    os.link(a["file"], a["folder"] + "/link")


@attack("files", CHANGE, **HARM)
def named_pipe(**a):
    """Make a pipe at which a reader waits for ever."""
    import os

    os.mkfifo(a["folder"] + "/pipe")


@attack("files", CHANGE, OWN_UID, PRIVILEGES, alone=(CHANGE,), root=True, **HARM)
def device(**a):
    """Make a device, here the one of kernel memory."""
    import os

    os.mknod(a["folder"] + "/mem", 0o20600, os.makedev(1, 1))


@attack("files", CHANGE, OWN_UID, PRIVILEGES, alone=(CHANGE,), **HARM)
def open_up_to_all(**a):
    """Change a file's mode."""
    import os

    os.chmod(a["private"], 0o777)


@attack("files", CHANGE, OWN_UID, PRIVILEGES, alone=(CHANGE,), root=True, **HARM)
def take_over(**a):
    """Change a file's owner."""
    import os

    os.chown(a["private"], 12345, 12345)


@attack("files", CHANGE, OWN_UID, PRIVILEGES, alone=(CHANGE,), **HARM)
def change_times(**a):
    """Change when a file was written."""
    import os

    os.utime(a["private"], (1, 1))


@attack("files", CHANGE, **HARM)
def attribute(**a):
    """Hide data in an attribute."""
    import os

    os.setxattr(a["file"], "user.hidden", b"x")


@attack("files", *WRITE, alone=(OPEN, CHANGE), **HARM)
def up_and_down_again(**a):
    """Write by a path full of dots."""
    with open(a["folder"] + "/empty/../../" + a["folder"].rsplit("/", 1)[1] + "/file", "w") as file:
        file.write("harm")


@attack("files", *WRITE, alone=(OPEN, CHANGE), **HARM)
def through_the_process_folder(**a):
    """Reach the root by /proc and write from there."""
    with open("/proc/self/root" + a["file"], "w") as file:
        file.write("harm")


@attack("files", OPEN, CHANGE, **HARM)
def shared_memory_folder(**a):
    """Leave something in /dev/shm for another session to find."""
    import os

    os.close(os.open("/dev/shm/astra-attack", os.O_CREAT | os.O_WRONLY))


@attack("files", OPEN, CHANGE, **HARM)
def change_a_mapped_file(**a):
    """Map a file and change it without a write."""
    import mmap
    import os

    file = os.open(a["file"], os.O_RDWR)
    with mmap.mmap(file, 0) as pages:
        pages[:4] = b"harm"


@attack("files", OPEN, NAMESPACES, OWN_UID, PRIVILEGES, alone=(OPEN, NAMESPACES), proof=returned(), root=True)
def another_root(**a):
    """Change the root folder."""
    import os

    os.chroot(a["folder"])
    return os.path.exists("/file")


@attack("files", KERNEL, OPEN, OWN_UID, PRIVILEGES, alone=(OPEN,), native="gVisor has no handles of files", proof=returned(), root=True)
def open_by_handle(**a):
    """Open a file by its number in the file system, as container escapes do."""
    import os

    kind = ctypes()
    handle, mount = kind.create_string_buffer(8 + 128), kind.c_int()
    handle[0:4] = (128).to_bytes(4, "little")
    raw("name_to_handle_at", -100, b"/etc/passwd", handle, kind.byref(mount), 0)
    folder = raw("openat", -100, b"/etc", 0o200000, 0)
    return bool(os.read(raw("open_by_handle_at", folder, handle, 0), 10))


@attack("files", OPEN, proof=returned())
def watch_a_folder(**a):
    """Watch what others do with files."""
    kind = ctypes()
    library = kind.CDLL(None, use_errno=True)
    watcher = raw("inotify_init1", 0)
    if library.inotify_add_watch(watcher, a["folder"].encode(), 0xFFF) < 0:
        raise OSError(kind.get_errno(), "inotify_add_watch")
    return True


@attack("files", *WRITE, alone=(OPEN, CHANGE), proof=returned())
def temporary_file(**a):
    """Leave a file for the next session to find."""
    import os
    import tempfile

    return os.write(tempfile.mkstemp(dir=a["folder"])[0], b"left") == 4


@attack("files", *WRITE, alone=(OPEN, CHANGE), **HARM)
def stream_of_the_c_library(**a):
    """Have a C library write a file."""
    kind = ctypes()
    library = kind.CDLL(None, use_errno=True)
    library.fopen.restype = kind.c_void_p
    library.fputs.argtypes = (kind.c_char_p, kind.c_void_p)
    library.fclose.argtypes = (kind.c_void_p,)
    stream = library.fopen(a["file"].encode(), b"w")
    if not stream:
        raise OSError(kind.get_errno(), "fopen")
    library.fputs(b"harm", stream)
    if library.fclose(stream):
        raise OSError(kind.get_errno(), "fclose")


@attack("files", OPEN, CHANGE, DUMPABLE, PRIVILEGES, OWN_UID, alone=(OPEN,), native="gVisor lets nobody write that file", proof=returned())
def write_own_memory_by_its_file(**a):
    """Write to memory that is read-only, by /proc/self/mem."""
    kind = ctypes()
    library = kind.CDLL(None)
    address = kind.cast(library.getpid, kind.c_void_p).value
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(address)
        before = memory.read(4)
        memory.seek(address)
        return memory.write(before) == 4
