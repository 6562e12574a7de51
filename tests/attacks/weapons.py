"""What hostile code brings along: raw system calls, whatever Python module it can get hold of. Standard library only.

This file's text stands in front of every attack's. It does no harm by itself.
"""

import errno
import os
import sys

_WRITE = os.write
_CALLS = """
open 2, fstat 5, mprotect 10, brk 12, rt_sigaction 13, ioctl 16, mremap 25, shmget 29, shmat 30, shmctl 31, pause 34, nanosleep
35, alarm 37, setitimer 38, getpid 39, socket 41, connect 42, clone 56, fork 57, vfork 58, execve 59, kill 62, semget 64, msgget
68, fcntl 72, truncate 76, creat 85, ptrace 101, getuid 102, syslog 103, setuid 105, geteuid 107, getppid 110, setreuid 113,
getgroups 115, setgroups 116, setresuid 117, setfsuid 122, capset 126, rt_sigqueueinfo 129, getpgid 121, personality 135,
setpriority 141, sched_setscheduler 144, mlock 149, mlockall 151, vhangup 153, modify_ldt 154, pivot_root 155, prctl 157, adjtimex
159, setrlimit 160, chroot 161, acct 163, settimeofday 164, mount 165, umount2 166, swapon 167, reboot 169, sethostname 170, iopl
172, ioperm 173, init_module 175, delete_module 176, quotactl 179, tkill 200, futex 202, sched_setaffinity 203, timer_create 222,
clock_settime 227, tgkill 234, mq_open 240, kexec_load 246, add_key 248, request_key 249, keyctl 250, ioprio_set 251, openat 257,
unshare 272, move_pages 279, signalfd 282, inotify_init1 294, rt_tgsigqueueinfo 297, perf_event_open 298, fanotify_init 300,
prlimit64 302, name_to_handle_at 303, open_by_handle_at 304, setns 308, process_vm_readv 310, process_vm_writev 311, kcmp 312,
finit_module 313, sched_setattr 314, seccomp 317, getrandom 318, memfd_create 319, kexec_file_load 320, bpf 321, execveat 322,
userfaultfd 323, pidfd_send_signal 424, io_uring_setup 425, open_tree 428, fsopen 430, pidfd_open 434, clone3 435, openat2 437,
pidfd_getfd 438, process_madvise 440, memfd_secret 447, process_mrelease 448
"""
CALLS = {name: int(number) for name, number in (entry.split() for entry in _CALLS.split(","))}
"""System calls of x86_64."""


def ctypes():
    """Return ctypes, from wherever it can be had without opening a file."""
    try:
        import ctypes as module
    except BaseException:  # noqa: BLE001 - an import that is refused is no reason to give up
        module = next(found for found in map(_globals_ctypes, _classes(object)) if found)
    return module


def _classes(base):
    for kind in type.__subclasses__(base):
        yield kind
        yield from _classes(kind) if kind is not type else ()


def _globals_ctypes(kind):
    space = getattr(getattr(kind, "__init__", None), "__globals__", {})
    return space.get("ctypes") or (sys.modules.get("ctypes") if "sys" in space else None)


def libc():
    """Return the C library that the process has loaded; no file is opened for it."""
    return ctypes().CDLL(None, use_errno=True)


def raw(name, *arguments):
    """Make a system call by its number; raise OSError when it fails."""
    kind, library = ctypes(), libc()
    library.syscall.restype = kind.c_long
    given = [kind.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = library.syscall(kind.c_long(CALLS[name] if isinstance(name, str) else name), *given)
    if result == -1:
        number = kind.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def reaches(name, *arguments, but=()):
    """Tell whether the kernel looks at a call's arguments, so that nothing but their nonsense saves it."""
    try:
        raw(name, *arguments)
    except OSError as error:
        if errno.errorcode.get(error.errno) not in but:
            raise
    return True


def spin(rounds):
    """Burn CPU time, whatever is thrown."""
    done = 0
    while done < rounds:
        try:
            while done < rounds:
                done += 1
        except BaseException:  # noqa: BLE001 - that is the point
            pass
    return "done"


def memory_of(process, address, count, call="process_vm_readv", data=b""):
    """Read or write another process's memory."""
    kind = ctypes()
    buffer = kind.create_string_buffer(data, count)

    class Range(kind.Structure):
        _fields_ = (("base", kind.c_void_p), ("length", kind.c_size_t))

    here, there = Range(kind.addressof(buffer), count), Range(address, count)
    raw(call, process, kind.byref(here), 1, kind.byref(there), 1, 0)
    return buffer.raw


def machine_code(code):
    """Run machine code from a fresh page; return what it leaves in rax."""
    import mmap

    kind = ctypes()
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    return kind.CFUNCTYPE(kind.c_long)(kind.addressof(kind.c_char.from_buffer(page)))()


def kind_of(number):
    """Return a descriptor's mode by the old call, which needs no path; OSError where there is no such descriptor."""
    found = ctypes().create_string_buffer(144)
    raw("fstat", number, found)
    return int.from_bytes(found[24:28], "little")


def own_socket():
    """Return the descriptor of the session's socket."""
    for number in range(256):
        try:
            if kind_of(number) >> 12 == 0o14:
                return number
        except OSError:
            continue
    raise LookupError("no socket")


def call_number():
    """Return the number of this call, which the session's own loop knows."""
    frame = sys._getframe()
    while frame is not None:
        if isinstance(frame.f_locals.get("number"), int) and "buffer" in frame.f_locals:
            return frame.f_locals["number"]
        frame = frame.f_back
    return 0


def reply(number, code=0, text=b"", length=None, cpu=0):
    """Write a frame as the session's loop would; ``length`` may lie."""
    import struct

    write = _WRITE
    data = struct.pack("!IIBI", len(text) if length is None else length, number, code, cpu) + text
    while data:
        data = data[write(own_socket(), data) :]


def swallow():
    """Keep the loop's own answer to this call from being sent; what ``reply`` writes goes out."""
    write = os.write

    def once(descriptor, data):
        os.write = write
        return len(data)

    os.write = once


def zip_of(members, repeat=1):
    """Return a ZIP archive of names and contents; each name is listed so often, and its content packed once."""
    import struct
    import zlib

    body, entries = b"", b""
    for name, content in members.items():
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed, name = packer.compress(content) + packer.flush(), name.encode()
        facts = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, zlib.crc32(content), len(packed), len(content), len(name), 0)
        place = struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, len(body))
        entries += (b"PK\1\2" + b"\x14\0" + facts + place + name) * repeat
        body += b"PK\3\4" + facts + name + packed
    count = len(members) * repeat
    return body + entries + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count & 0xFFFF, count & 0xFFFF, len(entries), len(body), 0)


def unzipped(archive):
    """Yield name and content of each entry of a ZIP archive's list, as one does who trusts it."""
    import struct
    import zlib

    _, _, count, _, _, at, _ = struct.unpack("<HHHHIIH", archive[-18:])
    for _ in range(count):
        _, _, kind, _, _, _, packed, _, length, more, said, _, _, _, start = struct.unpack("<HHHHHIIIHHHHHII", archive[at + 6 : at + 46])
        name = archive[at + 46 : at + 46 + length].decode()
        at += 46 + length + more + said
        begin = start + 30 + sum(struct.unpack("<HH", archive[start + 26 : start + 30]))
        content = archive[begin : begin + packed]
        yield name, zlib.decompress(content, -15) if kind == 8 else content


def tar_of(members):
    """Return a tar archive of names and contents; content that is text is where a symbolic link of that name points."""
    archive = b""
    for name, content in members.items():
        link, content = (content.encode(), b"") if isinstance(content, str) else (b"", content)
        head = name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % len(content) + b"0" * 11 + b"\0"
        head += b" " * 8 + (b"2" if link else b"0") + link.ljust(100, b"\0") + b"ustar\x0000"
        head = head.ljust(512, b"\0")
        archive += head[:148] + b"%06o\0 " % sum(head) + head[156:] + content + bytes(-len(content) % 512)
    return archive + bytes(1024)


def untarred(read):
    """Yield name, content and link of each member of a tar stream; ``read`` gives so many bytes of it."""
    while (head := read(512)).strip(b"\0"):
        size = int(head[124:135], 8)
        content = read(size + -size % 512)[:size]
        yield head[:100].rstrip(b"\0").decode(), content, head[157:257].rstrip(b"\0").decode()
