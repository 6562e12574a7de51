"""A process node as tests hold it: started, killed and started again. Its pods end with it, however the test process ends."""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from astra_operator.clusters.processes import Kubelet, marked_processes
from tests.cluster.node_status import TAINT
from tests.cluster.plane.plane import ControlPlane
from tests.cluster.plane.supervise import Program, Supervisor

ROOT = Path(__file__).parents[2]


class NodeProcess:
    """``python -m tests.cluster.node`` under a supervisor of its own, which is the last parent of every pod's processes."""

    def __init__(self, plane: ControlPlane, folder: Path, name: str = "process-node", **capacity: str) -> None:
        plane.require_own()  # the API server has to reach this machine's loopback
        self.plane, self.name, self.folder = plane, name, folder
        self._command: list[str | Path] = [sys.executable, "-m", "tests.cluster.node", "--kubeconfig", plane.kubeconfig]
        self._command += ["--name", name, "--folder", folder]
        for key, value in capacity.items():
            self._command += [f"--{key}", value]
        self._supervisor = Supervisor(folder / "log")
        self._program: Program | None = None
        self.kubelet = Kubelet(folder / "pods", {})  # to look at; the node alone starts pods

    def start(self) -> "NodeProcess":
        """Start the node; one that was killed goes on."""
        path = os.pathsep.join([str(ROOT), str(ROOT / "operator")])
        self._program = self._supervisor.start("node", self._command, os.environ | {"PYTHONPATH": path}, ROOT)
        return self

    def namespace(self, prefix: str = "t") -> str:
        """Make a namespace whose pods run here, and nowhere else."""
        name = self.plane.namespace(prefix)
        scheduler = "scheduler.alpha.kubernetes.io"
        tolerations = json.dumps([{"key": TAINT["key"], "operator": "Exists", "effect": TAINT["effect"]}])
        self.plane.kubectl(
            "annotate", "namespace", name, f"{scheduler}/defaultTolerations={tolerations}",
            f"{scheduler}/node-selector=kubernetes.io/hostname={self.name}",
        )  # fmt: skip
        return name

    def kill(self) -> None:
        """Kill the node with -9; its pods run on."""
        assert self._program is not None
        self._program.signal(signal.SIGKILL)
        self._program.wait(10)

    def stop(self) -> None:
        """End node and pods."""
        self._supervisor.stop()

    def log(self) -> str:
        """Return what the node has printed."""
        path = self.folder / "log" / "node.log"
        return path.read_text() if path.exists() else ""

    def root(self, pod: dict[str, Any]) -> Path:
        """Return the working folder of a pod."""
        return self.kubelet.home(pod["metadata"]["uid"]) / "root"

    def job_process(self, pod: dict[str, Any]) -> int:
        """Return the process that is the pod's container: the child of its shim."""
        shim = int((self.kubelet.home(pod["metadata"]["uid"]) / "pid").read_text())
        return next(pid for pid, parent in _parents() if parent == shim)

    def signal(self, pod: dict[str, Any], number: int) -> None:
        """Send a signal to a pod's job, as an accident would, and to the process over it that keeps its log."""
        first = self.job_process(pod)
        for pid in [first, *(pid for pid, parent in _parents() if parent == first)]:
            with contextlib.suppress(ProcessLookupError):  # the job goes with the process over it
                os.kill(pid, number)

    def lose(self, pod: dict[str, Any]) -> None:
        """Kill all of a pod at once, so that nobody notes an exit code."""
        os.killpg(int((self.kubelet.home(pod["metadata"]["uid"]) / "pid").read_text()), signal.SIGKILL)

    def alive(self, pods: list[dict[str, Any]]) -> list[str]:
        """Return the names of those pods of which a process lives."""
        return [pod["metadata"]["name"] for pod in pods if any(True for _ in marked_processes(pod["metadata"]["uid"]))]

    def processes(self) -> set[int]:
        """Return every process of this machine."""
        return {pid for pid, _ in _parents()}


def _parents() -> list[tuple[int, int]]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            found.append((int(entry.parent.name), int(entry.read_text().rpartition(")")[2].split()[1])))
        except OSError:
            continue  # it ended meanwhile
    return found
