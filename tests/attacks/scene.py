"""What lies outside the sandbox and must stay as it is: files, processes, listeners, shared memory.

``targets`` tells an attack where things are; ``secrets`` are what it must not learn; ``harm`` names what has changed.
"""

import contextlib
import ctypes
import os
import resource
import secrets as random_tokens
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TOKEN = Path("/run/secrets/kubernetes.io/serviceaccount/token")
METADATA, API = "169.254.169.254", "10.96.0.1"
CANARY = "ASTRA_CANARY"
SIZE = 64
"""Bytes of the victim's secret in memory."""
_VICTIM = f"""
import os, signal, sys
for number in range(1, 65):
    try: signal.signal(number, lambda *_: os._exit(7))
    except (OSError, ValueError): pass
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
kept = os.environ["{CANARY}"].encode().ljust({SIZE}, b".")
print(id(kept) + 32, os.open(sys.argv[1], os.O_RDONLY), flush=True)
while True: signal.pause()
"""
libc = ctypes.CDLL(None, use_errno=True)


class Listener:
    """A dummy service; ``heard`` tells whether anybody came."""

    def __init__(self, family: int, kind: int, address: Any) -> None:
        self.socket = socket.socket(family, kind)
        self.socket.setblocking(False)
        self.socket.bind(address)
        self.stream = kind == socket.SOCK_STREAM
        if self.stream:
            self.socket.listen(16)
        self.address = self.socket.getsockname()

    def heard(self) -> bool:
        """Take what has come and tell whether it was anything."""
        came = False
        with contextlib.suppress(BlockingIOError):
            while True:
                if self.stream:
                    self.socket.accept()[0].close()
                else:
                    self.socket.recv(65536)
                came = True
        return came


class Scene:
    """Made once a battery; ``restore`` mends it between attacks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        self.secrets = {
            name: f"{name}-{random_tokens.token_hex(16)}" for name in ("file", "private", "token", "memory", "neighbour", "shared")
        }
        self.secrets["environment"] = os.environ.setdefault(CANARY, random_tokens.token_hex(16))
        self.listeners = self._listen()
        self.segment = self._share()
        self.signalled = False
        signal.signal(signal.SIGWINCH, self._signal)
        self.victim: subprocess.Popen[bytes] | None = None
        self.targets: dict[str, Any] = {}
        self.limits = self._own_limits()
        self.restore()

    def close(self) -> None:
        """End what runs."""
        if self.victim is not None:
            self.victim.kill()
            self.victim.communicate()
        libc.shmctl(self.segment, 0, None)
        for listener in self.listeners.values():
            listener.socket.close()

    def restore(self) -> None:
        """Put everything back, and note how it looks."""
        self._write_files()
        if self.victim is None or not self._sound(self.victim):
            self._start_victim()
        for listener in self.listeners.values():
            listener.heard()
        self.signalled = False
        self._write_segment()
        self.targets = self._where()
        self.before = self._picture()

    def harm(self) -> set[str]:
        """Return the names of what is not as it was."""
        time.sleep(0)  # lets a pending signal's handler run
        now = self._picture()
        return {name for name in now if now[name] != self.before[name]} | {name for name, one in self.listeners.items() if one.heard()}

    def _write_files(self) -> None:
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        for name, mode in (("file", 0o666), ("private", 0o600)):
            path = self.folder / name
            path.write_text(self.secrets[name])
            path.chmod(mode)
        (self.folder / "empty").mkdir(mode=0o777)
        for path in Path("/dev/shm").glob("astra-attack*"):
            path.unlink()
        if TOKEN.parent.is_dir() and os.access(TOKEN.parent, os.W_OK):
            TOKEN.write_text(self.secrets["token"])

    def _start_victim(self) -> None:
        if self.victim is not None:
            self.victim.kill()
            self.victim.communicate()
        environment = {CANARY: self.secrets["memory"], "PYTHONHASHSEED": "0"}
        self.victim = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _VICTIM, str(self.folder / "private")], stdout=subprocess.PIPE, env=environment
        )
        assert self.victim.stdout is not None
        self.address, self.held = map(int, self.victim.stdout.readline().split())
        self.kept = _memory(self.victim.pid, self.address)

    def _sound(self, victim: "subprocess.Popen[bytes]") -> bool:
        kept = _memory(victim.pid, self.address)
        return victim.poll() is None and self._limits_of(victim.pid) == self.limits and kept == self.kept

    def _share(self) -> int:
        segment = libc.shmget(0, SIZE, 0o1666)
        libc.shmat.restype = ctypes.c_void_p
        self.shared = libc.shmat(segment, None, 0) if segment >= 0 else None
        return int(segment)

    def _write_segment(self) -> None:
        if self.shared is not None:
            ctypes.memmove(self.shared, self.secrets["shared"].encode().ljust(SIZE, b"."), SIZE)

    def _listen(self) -> dict[str, Listener]:
        stream, datagram, unix = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.AF_UNIX
        found = {
            "tcp": Listener(socket.AF_INET, stream, ("127.0.0.1", 0)),
            "udp": Listener(socket.AF_INET, datagram, ("127.0.0.1", 0)),
            "unix": Listener(unix, stream, str(self.folder.parent / "listener")),
            "abstract": Listener(unix, stream, f"\0astra-{random_tokens.token_hex(8)}"),
            "datagrams": Listener(unix, datagram, f"\0astra-{random_tokens.token_hex(8)}"),
        }
        os.chmod(self.folder.parent / "listener", 0o777)
        for name, family, kind, address in (
            ("tcp6", socket.AF_INET6, stream, ("::1", 0)),
            ("metadata", socket.AF_INET, stream, (METADATA, 80)),
            ("api", socket.AF_INET, stream, (API, 443)),
            ("dns", socket.AF_INET, datagram, ("127.0.0.53", 53)),
        ):
            try:
                found[name] = Listener(family, kind, address)
            except OSError:  # an address that this place cannot be given; another does for the wall's sake
                found[name] = Listener(socket.AF_INET, kind, ("127.0.0.1", 0))
        return found

    def _where(self) -> dict[str, Any]:
        assert self.victim is not None
        addresses = {
            name: list(one.address) if isinstance(one.address, tuple) else _text(one.address) for name, one in self.listeners.items()
        }
        return {
            "folder": str(self.folder),
            "file": str(self.folder / "file"),
            "private": str(self.folder / "private"),
            "token": str(TOKEN),
            "victim": self.victim.pid,
            "address": self.address,
            "front": os.getpid(),
            "segment": self.segment,
            "addresses": addresses,
            "held": self.held,
        }

    def _picture(self) -> dict[str, Any]:
        assert self.victim is not None
        return {
            "files": sorted(map(_looks, self.folder.rglob("*"))),
            "shm": sorted(path.name for path in Path("/dev/shm").iterdir()),
            "victim": self.victim.poll() is None,
            "victim's limits": self._limits_of(self.victim.pid),
            "victim's memory": _memory(self.victim.pid, self.address),
            "front": self.signalled,
            "front's limits": self._own_limits(),
            "shared": ctypes.string_at(self.shared, SIZE) if self.shared is not None else None,
            "host": os.uname().nodename,
        }

    def _own_limits(self) -> Any:
        return self._limits_of(os.getpid())

    def _limits_of(self, pid: int) -> Any:
        try:
            walls = tuple(resource.prlimit(pid, wall) for wall in (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_AS))
            return walls, os.getpriority(os.PRIO_PROCESS, pid), sorted(os.sched_getaffinity(pid)), os.sched_getscheduler(pid)
        except OSError:
            return None

    def _signal(self, *_: Any) -> None:
        self.signalled = True


def _text(address: str | bytes) -> str:
    return address if isinstance(address, str) else address.decode()


def _memory(pid: int, address: int) -> bytes | None:
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            file.seek(address)
            return file.read(SIZE)
    except (OSError, ValueError):
        return None


def _looks(path: Path) -> tuple[Any, ...]:
    found = path.lstat()
    attributes = tuple(os.listxattr(path, follow_symlinks=False))
    content = path.read_bytes() if stat.S_ISREG(found.st_mode) and found.st_size < 4096 else found.st_size
    return str(path), found.st_mode, found.st_uid, found.st_nlink, found.st_mtime_ns if path.is_file() else 0, attributes, str(content)
