"""Which room a pod needs, and the process kubelet that puts it there (``node_room`` is the program that makes the room).

A pod that mounts a Secret or asks for a RuntimeClass gets a room: it names paths that this machine has not, and asks the cluster's DNS.
All others run as on a laptop, on the machine itself. The handler of a RuntimeClass is ``runsc`` for gVisor or ``runc`` for none.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from astra_operator.clusters.base import Object
from astra_operator.clusters.local_files import write_json
from astra_operator.clusters.local_launch import Launch, below
from astra_operator.clusters.processes import Kubelet
from tests import gvisor
from tests.cluster.node_dns import resolv_conf
from tests.cluster.node_pods import box_of

HANDLERS = ("runsc", "runc")
_SWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
_PROGRAM = Path(__file__).with_name("node_room.py")


def needs_room(pod: Object) -> bool:
    """Tell if a pod cannot run on the machine itself."""
    return "runtimeClassName" in pod["spec"] or any("secret" in volume for volume in pod["spec"].get("volumes", []))


def image() -> list[str]:
    """Return the files of this machine that an image would bring: a Linux with this Python and what it is told to import."""
    wanted = {"/usr", "/etc", str(Path(sys.base_prefix).resolve()), sys.prefix, *filter(None, os.environ.get("PYTHONPATH", "").split(":"))}
    return sorted(path for path in wanted if not any(path.startswith(f"{other}/") for other in wanted))


def room_of(pod: Object, home: Path, handler: str) -> dict[str, Any]:
    """Return what the program is told; volumes lie under ``home/root``, as the process kubelet puts them."""
    box = box_of(pod)
    working = box["workingDir"]
    paths = [mount["mountPath"] for mount in box.get("volumeMounts", [])] if working == "/" else [working]
    files = [(str(home / "etc" / name), f"/etc/{name}") for name in ("resolv.conf", "nsswitch.conf")]
    context = pod["spec"].get("securityContext", {}) | box.get("securityContext", {})
    return {
        "home": str(home),
        "name": f"{pod['metadata']['name']}-{pod['metadata']['uid'][:8]}",
        "working": working,
        "mounts": [*((str(home / "root" / below(working, path)), path) for path in paths), *files],
        "runsc": [str(gvisor.runsc()), *gvisor.FLAGS, "--network=host"] if handler == "runsc" else [],
        "image": image(),
        "user": context.get("runAsUser", 0),
        "group": context.get("runAsGroup", 0),
        "rights": context.get("capabilities", {}).get("add", []),
        "no_new_rights": not context.get("allowPrivilegeEscalation", True),
        "read_only": context.get("readOnlyRootFilesystem", False),
    }


class RoomKubelet(Kubelet):
    """A process kubelet whose pods may have rooms. ``dns`` is the address of the cluster's DNS."""

    dns = ""
    _room: tuple[Object, str] | None = None

    def start_in(self, pod: Object, address: str, config: dict[str, dict[str, str]], handler: str) -> None:
        """Start a pod in a room of its own."""
        self._room = pod, handler
        try:
            self.start(pod, address, config)
        finally:
            self._room = None

    def _spawn(self, uid: str, home: Path, launch: Launch) -> None:
        if self._room is not None:
            pod, handler = self._room
            etc = home / "etc"
            etc.mkdir()
            (etc / "resolv.conf").write_text(resolv_conf(pod, self.dns))
            (etc / "nsswitch.conf").write_text(_SWITCH)
            write_json(home / "room.json", room_of(pod, home.absolute(), handler))
            launch = replace(launch, argv=(sys.executable, "-S", "-E", str(_PROGRAM), str(home.absolute() / "room.json"), *launch.argv))
        super()._spawn(uid, home, launch)
