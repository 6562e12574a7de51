"""Makes the room that a pod's process runs in, and runs it there: ``python node_room.py ROOM.json COMMAND...``, as root.

A plain room has this machine's files, the pod's volumes at the paths that the pod names, and the cluster's resolver. A gVisor room is
a container of ``runsc`` with the rights, the user and the read-only root that the pod asks for; of this machine's files, it has those
that an image would bring. Its network is this machine's loopback. No limits on CPU or memory are put up.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

_NEW_MOUNTS = 0x20000
_BIND, _RECURSIVE, _UNBINDABLE, _PRIVATE = 0x1000, 0x4000, 1 << 17, 1 << 18
_KINDS = ("bounding", "effective", "permitted", "inheritable")
libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, flags: int, kind: str | None = None) -> None:
    """Mount, or change a mount; raises OSError."""
    given = [None if text is None else text.encode() for text in (source, target, kind)]
    if libc.mount(*given, ctypes.c_ulong(flags), None):
        raise OSError(ctypes.get_errno(), f"cannot mount {source} at {target}")


def plain(room: dict[str, Any], command: list[str]) -> NoReturn:
    """Become the command, in a mount namespace of its own."""
    if libc.unshare(_NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare: a room of its own needs root")
    mount("none", "/", _RECURSIVE | _PRIVATE)
    top = Path(room["home"]) / "top"
    top.mkdir()
    mount("none", str(top), 0, "tmpfs")
    mount("none", str(top), _UNBINDABLE)  # or else the folder that it is in would bring it along
    for entry in Path("/").iterdir():
        place = top / entry.name
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
        elif entry.is_dir():
            place.mkdir()
            mount(str(entry), str(place), _BIND | _RECURSIVE)
    for source, target in room["mounts"]:
        if Path(source).is_dir():
            (top / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
    os.chroot(top)
    for source, target in room["mounts"]:
        mount(source, target, _BIND)
    os.chdir(room["working"])
    os.execvpe(command[0], command, os.environ)


def bundle(room: dict[str, Any], command: list[str]) -> Path:
    """Lay out an OCI bundle: the command, what it may do, and what it sees."""
    folder = Path(room["home"]) / "bundle"
    root = folder / "rootfs"
    binds = [(path, path) for path in room["image"]] + room["mounts"]
    for name in ("proc", "dev", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    for entry in Path("/").iterdir():
        if entry.is_symlink():  # /bin, /lib and the like, which lead into /usr
            (root / entry.name).symlink_to(entry.readlink())
    for source, target in binds:
        place = root / target.lstrip("/")
        if Path(source).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif not any(target.startswith(f"{other}/") for _, other in binds):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}]
    mounts += [{"destination": target, "type": "bind", "source": source, "options": ["rbind", "ro"]} for source, target in binds]
    process = {
        "user": {"uid": room["user"], "gid": room["group"]},
        "args": command,
        "env": [f"{name}={value}" for name, value in os.environ.items()],
        "cwd": room["working"],
        "capabilities": {kind: [f"CAP_{name}" for name in room["rights"]] for kind in _KINDS},
        "noNewPrivileges": room["no_new_rights"],
    }
    namespaces = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]
    config = {"ociVersion": "1.0.0", "hostname": room["name"], "process": process, "mounts": mounts, "linux": {"namespaces": namespaces}}
    (folder / "config.json").write_text(json.dumps(config | {"root": {"path": "rootfs", "readonly": room["read_only"]}}))
    return folder


def gvisor(room: dict[str, Any], command: list[str]) -> int:
    """Run the command in gVisor, pass SIGTERM on, and return its exit code."""
    folder = bundle(room, command)
    runsc = [*room["runsc"], f"--root={folder / 'state'}"]
    child = subprocess.Popen([*runsc, "run", "--bundle", str(folder), room["name"]])

    def end(*_: Any) -> None:
        told = subprocess.run([*runsc, "kill", room["name"], "TERM"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if told.returncode:
            child.terminate()  # it has not begun

    signal.signal(signal.SIGTERM, end)
    return child.wait()


def main() -> int:
    """Return the command's exit code, unless this process became the command."""
    room = json.loads(Path(sys.argv[1]).read_text())
    if not room["runsc"]:
        plain(room, sys.argv[2:])
    code = gvisor(room, sys.argv[2:])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
