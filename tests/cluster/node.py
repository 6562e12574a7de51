"""A node of a real control plane that runs its pods as processes of this machine.

    python -m tests.cluster.node --kubeconfig FILE --name NAME --folder FOLDER [--cpu 8] [--memory 16Gi] [--pods 110]

Everything it must not forget is in files (see ``astra_operator.clusters.processes``) or in the API server: after ``kill -9`` the same
command finds its pods running, or their exit codes. Probes, restarts, init containers, the wait before SIGTERM, gVisor and the rule for
containers that may not be root are a kubelet's; see ``node_rooms`` for which pods see more than this machine, ``node_inits`` and
``node_images`` for what stands in for images. What it does not do: enforce limits or network policies, pull images, run a process as the
pod's user outside of gVisor, answer exec or attach, post events.
"""

import argparse
import fcntl
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from astra_operator.clusters.base import Object, format_time, parse_time
from tests.cluster import node_dns, node_inits, node_logs, node_pods, node_probes, node_rooms, node_security, node_status
from tests.cluster.node_api import LOST_CONNECTION, NodeApi, Pods
from tests.cluster.node_inits import Inits
from tests.cluster.node_probes import Probes
from tests.cluster.node_restarts import Restarts, comes_back
from tests.cluster.node_rooms import RoomKubelet
from tests.cluster.node_status import Health

TICK, BEAT, RETRY = 0.1, 5.0, 1.0
# What a pod gets from this machine: an image would bring these, and nothing of the user's.
PASSED_ON = ("PATH", "PYTHONPATH", "LANG", "TMPDIR", "VIRTUAL_ENV")


class NotYet(Exception):
    """A pod cannot start now; ``reason`` and ``message`` go into its status, into that of an init container where ``init`` is its place."""

    def __init__(self, reason: str, message: str = "", init: int | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.init = reason, message, init


class ProcessNode:
    """Runs the pods that the scheduler bound to it."""

    def __init__(self, api: NodeApi, name: str, folder: Path, capacity: dict[str, str]) -> None:
        self.api, self.name, self.folder, self.capacity = api, name, folder, capacity
        environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        self.kubelet = RoomKubelet(folder / "pods", environment | {"OMP_NUM_THREADS": "1", "HOME": str(folder)})
        self.inits = Inits(folder / "inits", environment)
        self.restarts = Restarts(folder / "restarts")
        self.wake = threading.Event()
        self.pods = Pods(api, name, self.wake.set)
        self._written: dict[str, dict[str, Any]] = {}
        self._removed: set[str] = set()
        self._retry: dict[str, float] = {}
        self._probes: dict[str, Probes] = {}

    def run(self) -> None:
        """Work until the process is told to end; its pods go on."""
        port = node_logs.serve(self.folder, self.kubelet, self.pods.named)
        address, asked_at = node_dns.serve(self.api, str(self.folder))
        self.inits.server = f"{address}:{asked_at}"
        self.kubelet.dns = address if asked_at == node_dns.PORT else ""
        registered, beaten = False, 0.0
        while True:
            self.wake.wait(TICK)
            self.wake.clear()
            try:
                if time.monotonic() - beaten > BEAT:
                    self.api.beat(self.name)
                    beaten = time.monotonic()
                if not registered:
                    self.api.register(self.described(port))
                    registered = True
                self.step()
            except LOST_CONNECTION as error:
                print(f"API server: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)

    def step(self) -> None:
        """Bring every pod one step on."""
        self.kubelet.tick()
        self.inits.tick()
        pods = self.pods.now()
        if pods is None:
            return
        for uid in self.kubelet.known():
            if uid not in pods:
                self._forget(uid)
        for uid in self.inits.known() - pods.keys():
            self.inits.kill(uid)
        for pod in pods.values():
            self._sync(pod)

    def _sync(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid in self._removed:
            return
        if "deletionTimestamp" in pod["metadata"]:
            self._end(pod)
        elif self.kubelet.started(uid):
            self._again(pod) if comes_back(pod) and not self.kubelet.running(uid) else self._tell(pod)
        elif pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            self._start(pod)

    def _start(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if time.monotonic() < self._retry.get(uid, 0.0):
            return
        try:
            if self.restarts.waits(uid):
                raise NotYet("CrashLoopBackOff", "back-off restarting failed container")
            if self._initialised(pod):
                self._launch(pod)
        except NotYet as error:
            self._retry[uid] = time.monotonic() + RETRY
            if error.init is None:
                told = node_status.waiting(pod, error.reason, error.message, self._health(uid))
                self._write(pod, told | node_status.init_states(pod, self.inits.states(pod)))
            else:
                states = self.inits.states(pod)
                states[error.init] = {"waiting": {"reason": error.reason, "message": error.message}}
                self._write(pod, node_status.initialising(pod, states, _now()))
        else:
            if self.kubelet.started(uid):
                self._tell(pod)

    def _initialised(self, pod: Object) -> bool:
        """Bring a pod's init containers one step on; tell if all have ended well."""
        if wrong := node_inits.unknown(pod):
            raise NotYet("CreateContainerError", wrong)
        if (next_one := self.inits.next(pod)) is not None:
            place, box = next_one
            self._admit(pod, box, place)
            self.inits.start(pod, place, node_pods.address(pod["metadata"]["uid"]))
        if self.inits.done(pod):
            return True
        self._write(pod, node_status.initialising(pod, self.inits.states(pod), _now(), self.inits.failed(pod)))
        return False

    def _admit(self, pod: Object, box: dict[str, Any], init: int | None = None) -> None:
        """Raise ``NotYet`` for a container that a kubelet would not make."""
        if box["image"].endswith(node_pods.MISSING_TAG):
            raise NotYet("ImagePullBackOff", f'Back-off pulling image "{box["image"]}"', init)
        if why := node_security.refused(pod, box):
            raise NotYet("CreateContainerConfigError", why, init)

    def _launch(self, pod: Object) -> None:
        namespace = pod["metadata"]["namespace"]
        self._admit(pod, node_pods.box_of(pod))
        if wrong := node_probes.unknown(pod):
            raise NotYet("CreateContainerError", wrong)
        found, files = {}, {}
        for need in node_pods.references(pod):
            item = self.api.get(need.kind, namespace, need.name)
            if item is None and not need.optional:
                reason = "ContainerCreating" if need.files else "CreateContainerConfigError"
                raise NotYet(reason, f'{need.kind.lower()} "{need.name}" not found')
            texts = {} if item is None else node_pods.texts_of(item)
            found[need.kind, need.name] = texts
            if need.files:
                files[node_pods.files_of(need)] = texts
        address, plain = node_pods.address(pod["metadata"]["uid"]), node_pods.runnable(pod, found, self._master(pod))
        if node_rooms.needs_room(pod):
            self.kubelet.start_in(plain, address, files, self._handler(pod))
        else:
            self.kubelet.start(plain, address, files)

    def _handler(self, pod: Object) -> str:
        """Return what a pod is run by; who asks for something that the process node cannot do waits for ever, as on a real node."""
        runtime = pod["spec"].get("runtimeClassName")
        handler = self.api.handler(runtime) if runtime else "runc"
        if handler not in node_rooms.HANDLERS:
            raise NotYet("CreatePodSandboxError", f"no runtime for {handler!r} is configured")
        if not self.kubelet.dns:
            raise NotYet("CreatePodSandboxError", "rooms and the cluster's DNS need root: run the tests as root")
        return handler

    def _master(self, pod: Object) -> str | None:
        """Return the UID of the master that a rank has to find: its name, which only the cluster's DNS knows, becomes an address."""
        name = node_pods.master_of(pod)
        if name is None or name == pod["metadata"]["name"]:
            return None if name is None else str(pod["metadata"]["uid"])
        master = self.api.get("Pod", pod["metadata"]["namespace"], name)
        if master is None or "deletionTimestamp" in master["metadata"]:
            raise NotYet("PodInitializing", f"waiting for pod {name}")
        return str(master["metadata"]["uid"])

    def _tell(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        found = self.kubelet.status(uid)
        before = self._written.get(uid, {}).get("phase")
        if found["phase"] == "Running":
            self._watch(pod, found["podIP"])
        else:
            self._unwatch(uid)
        told = node_status.ran(pod, found, self.kubelet.last_lines(uid), _now(), self._health(uid))
        self._write(pod, told | node_status.init_states(pod, self.inits.states(pod)))
        if found["phase"] == "Succeeded" and before != "Succeeded":
            self.kubelet.tidy(uid)

    def _watch(self, pod: Object, address: str) -> None:
        """Probe a container for as long as it runs; one that failed a probe for good is told to end."""
        uid = pod["metadata"]["uid"]
        if uid not in self._probes:
            self._probes[uid] = Probes(pod, address, self.wake.set)
        if self._probes[uid].dead:
            self.kubelet.stop(uid)

    def _unwatch(self, uid: str) -> None:
        probes = self._probes.pop(uid, None)
        if probes is not None:
            probes.stop()

    def _health(self, uid: str) -> Health:
        known, probes = self.restarts.of(uid), self._probes.get(uid)
        return Health(probes is not None and probes.started, probes is not None and probes.ready, known["count"], known["last"])

    def _again(self, pod: Object) -> None:
        """Take down how a container ended that is started again, and clear its folder for the next."""
        uid = pod["metadata"]["uid"]
        if not self.kubelet.gone(uid):
            return
        ended = node_status.state_of(pod, self.kubelet.status(uid), self.kubelet.last_lines(uid), _now())["terminated"]
        self.restarts.note(uid, (self.kubelet.home(uid) / "record.json").stat().st_mtime_ns, ended)
        self._unwatch(uid)
        self.kubelet.forget(uid, self._log_of(pod))
        self._retry.pop(uid, None)
        self._start(pod)

    def _write(self, pod: Object, status: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        if self._written.get(uid) is None and node_status.covers(pod, status):
            self._written[uid] = status
        if not _alike(self._written.get(uid), status):
            self.api.write_status(pod, status)
            self._written[uid] = status

    def _end(self, pod: Object) -> None:
        """Stop a deleted pod; its object goes when nothing of it runs any more."""
        uid = pod["metadata"]["uid"]
        if self.kubelet.running(uid):
            until = parse_time(pod["metadata"]["deletionTimestamp"])
            told = until - timedelta(seconds=pod["metadata"].get("deletionGracePeriodSeconds", 0))
            if datetime.now(UTC) >= told + timedelta(seconds=node_probes.pre_stop(pod)):
                self.kubelet.stop(uid)
            if datetime.now(UTC) >= until:
                self.kubelet.kill(uid)
            else:
                self._tell(pod)
            return
        if self.kubelet.started(uid):
            if not self.kubelet.gone(uid):
                return
            self._tell(pod)
        self.api.remove(pod)
        self._removed.add(uid)
        self._let_go(uid)
        self.kubelet.forget(uid, self._log_of(pod))

    def _forget(self, uid: str) -> None:
        """End what the API server knows nothing of any more."""
        self._written.pop(uid, None)
        self._let_go(uid)
        self.kubelet.kill(uid)
        if self.kubelet.gone(uid):
            self.kubelet.forget(uid, self.folder / "logs" / f"{uid}.log")

    def _let_go(self, uid: str) -> None:
        self._unwatch(uid)
        self.inits.kill(uid)
        self.restarts.forget(uid)

    def _log_of(self, pod: Object) -> Path:
        """Return where a removed pod's log is kept, for whoever looks into a failed test."""
        metadata, count = pod["metadata"], self.restarts.of(pod["metadata"]["uid"])["count"]
        name = f"{metadata['name']}.{metadata['uid'][:8]}"
        return self.folder / "logs" / metadata["namespace"] / (f"{name}.{count}.log" if count else f"{name}.log")

    def described(self, port: int) -> Object:
        """Return this node's object."""
        info = {"kubeletVersion": "v1.37.1-process", "operatingSystem": "linux", "architecture": "amd64", "osImage": "processes"}
        info |= dict.fromkeys(("bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "machineID", "systemUUID"), "")
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "pods are processes", "lastHeartbeatTime": _now()}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}},
            "spec": {"taints": [node_status.TAINT]},
            "status": {
                "capacity": self.capacity,
                "allocatable": self.capacity,
                "conditions": [ready | {"lastTransitionTime": _now()}],
                "addresses": [
                    {"type": "InternalIP", "address": node_status.NODE_ADDRESS},
                    {"type": "Hostname", "address": self.name},
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
                "nodeInfo": info,
            },
        }


def _alike(one: dict[str, Any] | None, other: dict[str, Any]) -> bool:
    """Tell if two statuses say the same, the times of their conditions aside."""

    def told(status: dict[str, Any]) -> dict[str, Any]:
        return status | {"conditions": [(item["type"], item["status"]) for item in status.get("conditions", [])]}

    return one is not None and told(one) == told(other)


def _now() -> str:
    return format_time(datetime.now(UTC))


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.node", description=__doc__.splitlines()[0])
    for name in ("--kubeconfig", "--name", "--folder"):
        parser.add_argument(name, required=True)
    for name, value in (("--cpu", "8"), ("--memory", "16Gi"), ("--pods", "110")):
        parser.add_argument(name, default=value)
    given = parser.parse_args()
    folder = Path(given.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "node.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"--folder: {folder} belongs to a node that runs; give each node a folder of its own")
        (folder / "node.pid").write_text(str(os.getpid()))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        capacity = {"cpu": given.cpu, "memory": given.memory, "pods": given.pods, "ephemeral-storage": "1Ti"}
        ProcessNode(NodeApi(Path(given.kubeconfig)), given.name, folder, capacity).run()


if __name__ == "__main__":
    main()
