"""A place where attacks can do no harm: own processes, network, mounts, names and shared memory, made with ``unshare``.

The network is a loopback with the addresses of a cloud's metadata service and of a cluster's API server on it. Inside
gVisor the place is the sandbox itself, and what cannot be set there is left as it is.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import sys
from pathlib import Path

from tests.attacks.scene import API, METADATA, TOKEN

ROOT = Path(__file__).resolve().parents[2]
NEEDED = frozenset({Path(sys.base_prefix), Path(sys.prefix), ROOT})
"""Folders that whoever runs this project has to reach."""
NOBODY = 65534
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFFLAGS, _UP = 0x8916, 0x891C, 0x8914, 0x1 | 0x40
_PR_SET_DUMPABLE = 4
_BIND, _MOVE, _RECURSIVE = 0x1000, 0x2000, 0x4000
libc = ctypes.CDLL(None, use_errno=True)


def enter(command: list[str], environment: dict[str, str]) -> None:
    """Run a command in a place of its own instead of this process; it becomes the first process there."""
    flags = ("--net", "--pid", "--mount", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child", "--propagation", "private")
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        sys.exit("attacks run in namespaces of their own: run this as root on Linux, with unshare of util-linux installed")
    os.execve(unshare, [unshare, *flags, *command], environment)


def furnish() -> None:
    """Put up the loopback with its addresses, a folder of shared memory, and a service account's token."""
    _address("lo", "127.0.0.1", "255.0.0.0")
    _address("lo:1", METADATA, "255.255.255.255")
    _address("lo:2", API, "255.255.255.255")
    for folder, mode in (("/dev/shm", "1777"), ("/run", "755")):
        _mount("none", folder, "tmpfs", 0, f"mode={mode}")
    with contextlib.suppress(OSError):
        TOKEN.parent.mkdir(parents=True)


def become_nobody(*folders: Path) -> None:
    """Give up root for good, as a pod of the restricted level has; folders become nobody's, Python and this project stay reachable."""
    open_way(*NEEDED)
    os.chdir(ROOT)
    for folder in (TOKEN.parent, *folders):
        os.chown(folder, NOBODY, NOBODY)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as of a process that was never anybody else


def open_way(*wanted: Path) -> None:
    """Where folders lie in one that is root's alone, show nothing but them there."""
    closed = {folder: next((one for one in reversed(folder.parents) if not one.stat().st_mode & 0o001), None) for folder in wanted}
    asides = {folder: Path(f"/run/aside-{number}") for number, folder in enumerate(folder for folder, one in closed.items() if one)}
    for folder, aside in asides.items():
        aside.mkdir()
        _mount(str(folder), str(aside), None, _BIND | _RECURSIVE)
    for one in {one for one in closed.values() if one}:
        _mount("none", str(one), "tmpfs", 0, "mode=755")
    for folder, aside in asides.items():
        folder.mkdir(parents=True, exist_ok=True)
        _mount(str(aside), str(folder), None, _MOVE)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    given = [None if text is None else text.encode() for text in (source, target, kind, data)]
    if libc.mount(given[0], given[1], given[2], ctypes.c_ulong(flags), given[3]):
        raise OSError(ctypes.get_errno(), f"cannot mount {target}")


def _address(name: str, address: str, mask: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for call, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, mask)):
            given = struct.pack("16sH2s4s8s", name.encode(), socket.AF_INET, b"", socket.inet_aton(value), b"")
            with contextlib.suppress(OSError):  # gVisor's loopback has its address and takes no other
                fcntl.ioctl(control, call, given)
        with contextlib.suppress(OSError):
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14s", name.encode(), _UP, b""))
