"""What can be seen from inside of where this server runs: kernel, root file system, network, service account.

Each look returns what it found in words, and claims a property only when it saw it. What sessions are walled by is not
seen here but proven by the engine's probes.
"""

import ctypes
import errno
import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

SYSLOG_READ_ALL = 3
GET_NO_NEW_PRIVS = 39
BANNER = "Starting gVisor"
"""First line of the kernel's messages in gVisor, which needs no privilege to be read there."""
TOKENS = (Path("/var/run/secrets/kubernetes.io/serviceaccount"), Path("/run/secrets/kubernetes.io/serviceaccount"))


class Evidence(NamedTuple):
    """If a property holds, and what says so."""

    holds: bool
    evidence: str


def kernel_messages(size: int = 1 << 16) -> str:
    """Return the newest messages of the kernel; raises OSError where they may not be read."""
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(size)
    count = library.klogctl(SYSLOG_READ_ALL, buffer, size)
    if count < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw[:count].decode("utf-8", "replace")


def gvisor(messages: str | OSError | None = None, version: str | None = None) -> Evidence:
    """Tell if the kernel is gVisor's, by its banner; a kernel that does not show its messages is taken for another one."""
    if messages is None:
        try:
            messages = kernel_messages()
        except OSError as error:
            messages = error
    if version is None:
        version = _read("/proc/version").strip()
    seen = f"/proc/version says {version[:120]!r}"
    if isinstance(messages, OSError):
        return Evidence(False, f"kernel messages cannot be read ({errno.errorcode.get(messages.errno or 0, '?')}); {seen}")
    lines = [line for line in messages.splitlines() if line.partition("]")[2].strip().startswith(BANNER)]
    if lines:
        return Evidence(True, f"the kernel's messages begin with {lines[0].strip()[:80]!r}; {seen}")
    return Evidence(False, f"no kernel message begins with {BANNER!r}; {seen}")


def read_only_root(mounts: str | None = None, probe: Path = Path("/.astra-read-only")) -> Evidence:
    """Tell if the root file system takes no files: it is mounted so, and the attempt to make one fails."""
    lines = (_read("/proc/self/mountinfo") if mounts is None else mounts).splitlines()
    roots = [fields for fields in map(str.split, lines) if len(fields) > 5 and fields[4] == "/"]
    if not roots or "ro" not in roots[-1][5].split(","):
        return Evidence(False, "/ is mounted writable" if roots else "/ is not among the mounts")
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        return Evidence(True, f"/ is mounted read-only, and making a file there fails ({errno.errorcode.get(error.errno or 0, '?')})")
    probe.unlink()
    return Evidence(False, "/ is mounted read-only, but a file could be made there")


def no_service_account_token(folders: tuple[Path, ...] = TOKENS) -> Evidence:
    """Tell if the pod was given no credentials of the cluster."""
    found = [str(folder) for folder in folders if _there(folder)]
    if found:
        return Evidence(False, f"{found[0]} is there")
    return Evidence(True, f"{' and '.join(map(str, folders))} are not there")


def unprivileged(status: str | None = None) -> Evidence:
    """Tell if this process is not root, has no capability and can gain none, by what the system says of it."""
    said = dict(line.split(":", 1) for line in (_read("/proc/self/status") if status is None else status).splitlines() if ":" in line)
    users = said.get("Uid", "").split()
    if not users or "0" in users:
        return Evidence(False, "it runs as root" if users else "its user is not told")
    for name in ("CapEff", "CapPrm", "CapInh"):
        if not re.fullmatch("0+", held := said.get(name, "").strip()):
            return Evidence(False, f"user {users[0]} with the capabilities {name} {held or '(not told)'}")
    if ctypes.CDLL(None).prctl(GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        return Evidence(False, f"user {users[0]} without capabilities, but a program that it starts may gain some")
    return Evidence(True, f"user {users[0]}, no capabilities, and no_new_privs is set")


def interfaces() -> list[str]:
    """Return the names of the network interfaces."""
    return sorted(name for _, name in socket.if_nameindex())


def look() -> dict[str, Evidence]:
    """Return every property that can be asked for and that this module can see."""
    return {
        "gvisor": gvisor(),
        "read-only-root": read_only_root(),
        "no-service-account-token": no_service_account_token(),
        "unprivileged": unprivileged(),
    }


MENDS = {
    "gvisor": "run the pod under a RuntimeClass whose handler is runsc, on a node that has it",
    "read-only-root": "set securityContext.readOnlyRootFilesystem: true",
    "no-service-account-token": "set automountServiceAccountToken: false",
    "own-uid": "start as root with the capabilities KILL, SETGID and SETUID, or set sandboxUsers: Shared in ConfigMap astra-team",
    "unprivileged": "set runAsNonRoot: true, runAsUser, allowPrivilegeEscalation: false and capabilities.drop: [ALL]",
}


def _there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # something is there that may not be looked at
    return True


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"(not readable: {error.strerror})"
