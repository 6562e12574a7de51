"""A cluster on one machine: the protocol of ``base`` over files under ``.astra/`` (DESIGN section 5).

The caller drives it: ``tick`` does what controllers, scheduler, garbage collector and kubelet do in a real cluster and
says which runs to look at again. There are no threads. Whoever opens the cluster holds its lock, so two ``astra run`` cannot
act at once. After ``kill -9`` the next one finds everything in files and goes on: pods that still run are adopted,
pods that nobody owns any more are killed.
"""

import copy
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from astra_jobs.api.artifact import Kind
from astra_jobs.api.result import ProgressReport
from astra_operator.causes import Warned
from astra_operator.clusters.base import WORKLOADS, Event, Gone, Object, RunKey, format_time, key_of
from astra_operator.clusters.kubernetes_progress import fetch
from astra_operator.clusters.local_capacity import Amount, Group, admit, machine
from astra_operator.clusters.local_controllers import add_ranks, missing_pods, surplus_pods, workload_status
from astra_operator.clusters.local_files import take_lock, write_json
from astra_operator.clusters.local_jobs import phase_of
from astra_operator.clusters.local_objects import Objects, Runs, equal, owners_of, read_team, slot_of
from astra_operator.clusters.processes import Kubelet, address_of, free_port
from astra_operator.clusters.taken import require_own
from astra_operator.desired.naming import LOG_ANNOTATION

PROGRESS_PORT, PROGRESS_BYTES, PROGRESS_SECONDS = 9464, 16_384, 1.0


class LocalCluster:
    """Objects in files, pods as processes. ``say`` is told the few things a person should know (one line each).

    ``environment`` is what every pod inherits; ``capacity`` stands for the machine in tests.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        command: str = "astra run",
        say: Callable[[str], None] = lambda line: None,
        capacity: Amount | None = None,
    ) -> None:
        self.folder = folder.absolute()
        who = {"pid": os.getpid(), "since": format_time(datetime.now(UTC)), "command": command}
        self._lock = take_lock(self.folder / "lock", who)
        self.runs = Runs(self.folder)
        self.objects = Objects(self.folder)
        self.kubelet = Kubelet(self.folder / "pods", environment)
        self.capacity = capacity or machine()
        self._say = say
        self._said: set[str] = set()
        self._started: set[str] = set()
        self.waiting: dict[str, str] = {}
        self._adopt()

    def close(self) -> None:
        """Give the lock back; pods go on running."""
        self._lock.close()

    # ---- the protocol

    def get_run(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """See ``base.Cluster``."""
        return copy.deepcopy(self.runs.get(RunKey(kind, namespace, name)))

    def list_runs(self) -> list[Object]:
        """See ``base.Cluster``."""
        return copy.deepcopy(list(self.runs))

    def children(self, uid: str) -> list[Object]:
        """See ``base.Cluster``."""
        direct = self.objects.owned_by(uid)
        return copy.deepcopy(direct + [below for item in direct for below in self.objects.owned_by(item["metadata"]["uid"])])

    def apply(self, objects: list[Object], owner: Object) -> list[str]:
        """See ``base.Cluster``."""
        return [item["metadata"]["name"] for item in objects if self._apply_one(copy.deepcopy(item), owner)]

    def _apply_one(self, item: Object, owner: Object) -> bool:
        item["metadata"]["namespace"] = owner["metadata"]["namespace"]
        old = self.objects.get(slot_of(item))
        if old is None:
            head = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"]}
            item["metadata"]["ownerReferences"] = [head | {"uid": owner["metadata"]["uid"], "controller": True}]
            self.objects.create(item, self._stamp())
            return True
        require_own(old, owner)
        if item["kind"] == "ConfigMap":
            marks = {key: item["metadata"].get(key, {}) for key in ("labels", "annotations")}
            if not equal(marks, {key: old["metadata"].get(key, {}) for key in marks}):
                old["metadata"] |= marks
                self.objects.save(old)
        return False

    def delete(self, item: Object) -> None:
        """See ``base.Cluster``."""
        found = self.objects.get(slot_of(item))
        if found is None or found["metadata"]["uid"] != item["metadata"]["uid"]:
            return
        for below in [found, *self.objects.owned_by(found["metadata"]["uid"])]:
            if "deletionTimestamp" not in below["metadata"]:
                below["metadata"]["deletionTimestamp"] = self._stamp()
                self.objects.save(below)

    def write_status(self, run: Object, status: dict[str, Any]) -> None:
        """See ``base.Cluster``."""
        found = self.runs.get(key_of(run))
        if found is None or found["metadata"]["uid"] != run["metadata"]["uid"]:
            raise Gone(f"{run['kind']} {run['metadata']['name']} is gone")
        self.runs.set_status(key_of(run), status)

    def event(self, run: Object, event: Event) -> None:
        """See ``base.Cluster``; ``astra describe`` shows them."""
        self.runs.note(key_of(run), event.name, [self._stamp(), "Warning" if event.warning else "Normal", event.reason, event.note])

    def progress(self, pod: Object) -> ProgressReport | None:
        """See ``base.Cluster``; over HTTP, as in a real cluster."""
        try:
            return ProgressReport.model_validate_json(self._ask(pod, "/progress"))
        except ValidationError:
            return None

    def _ask(self, pod: Object, path: str) -> bytes:
        address = pod.get("status", {}).get("podIP")
        if not address or phase_of(pod) != "Running":
            return b""
        return fetch(address, PROGRESS_PORT, path, PROGRESS_BYTES, PROGRESS_SECONDS) or b""

    def report_of(self, pod: Object) -> ProgressReport | None:
        """Read a local pod's progress from its own file: cheaper than asking it, and it answers while the job is busy."""
        path = self.kubelet.home(pod["metadata"]["uid"]) / "root" / "progress.json"
        try:
            return ProgressReport.model_validate_json(path.read_bytes()[:PROGRESS_BYTES])
        except (OSError, ValidationError):
            return None

    def admit(self, objects: list[Object], owner: Object) -> None:
        """Let every object pass: nothing here refuses one; see ``Cluster.admit``."""

    def serves(self, api_version: str, kind: str) -> bool:
        """Serve everything but Kueue; see ``Cluster.serves``."""
        return kind != "Workload"

    def has_runtime(self, name: str) -> bool:
        """Have none: what runs here are processes of this machine, and a team that asks for more is told so."""
        return False

    def warnings(self, item: Object) -> list[Warned]:
        """Have none: what holds a pod up here is in its status."""
        return []

    def terminating(self, namespace: str) -> bool:
        """Have one namespace, which stays."""
        return False

    def stacks(self, pod: Object) -> str:
        """See ``base.Cluster``."""
        return self._ask(pod, "/stacks").decode(errors="replace")

    def refresh_pods(self, run: Object) -> bool:
        """See ``base.Cluster``; nothing is late here."""
        return False

    def team(self, namespace: str) -> dict[str, str]:
        """See ``base.Cluster``."""
        return read_team(self.folder, namespace)

    def now(self) -> datetime:
        """See ``base.Cluster``."""
        return datetime.now(UTC)

    def _stamp(self) -> str:
        return format_time(self.now())

    # ---- what users do

    def put_run(self, manifest: Object, folder: Path | None = None) -> Object:
        """Create a run or change its spec, as ``kubectl apply`` does; ``folder`` is where its commands are to start."""
        return self.runs.put(manifest, self._stamp(), folder)

    def put_team(self, namespace: str, data: Mapping[str, str]) -> None:
        """Keep a team's settings."""
        path = self.folder / "team" / f"{namespace}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, data)

    # ---- what controllers, scheduler, garbage collector and kubelet do

    def tick(self) -> set[RunKey]:
        """Move everything one step on; return the runs whose children have changed."""
        self.kubelet.tick()
        touched: set[str] = set()
        touched |= self._update_pods()
        touched |= self._control()
        touched |= self._collect()
        touched |= self._schedule()
        by_uid = {run["metadata"]["uid"]: key_of(run) for run in self.runs}
        return {by_uid[uid] for uid in touched if uid in by_uid} | set(self.runs.take_intents())

    def started_for(self, key: RunKey) -> bool:
        """Tell if this process started a pod for a run."""
        run = self.runs.get(key)
        return run is not None and run["metadata"]["uid"] in self._started

    def kill_all(self) -> None:
        """Kill every pod at once."""
        for pod in self.objects.of_kind("Pod"):
            if self.kubelet.running(pod["metadata"]["uid"]):
                self.kubelet.kill(pod["metadata"]["uid"])

    def stop_all(self) -> bool:
        """Tell every pod to end (SIGTERM); return whether none runs any more. Like a node that is drained: no restart is counted."""
        alive = [pod for pod in self.objects.of_kind("Pod") if self.kubelet.running(pod["metadata"]["uid"])]
        for pod in alive:
            self.kubelet.stop(pod["metadata"]["uid"], "Shutdown")
        self.kubelet.tick()
        self._update_pods()
        return not alive

    def _adopt(self) -> None:
        """Kill pods of which no object is left; all others go on."""
        owned = {pod["metadata"]["uid"] for pod in self.objects.of_kind("Pod")}
        for uid in self.kubelet.known():
            if uid not in owned:
                self.kubelet.kill(uid)
                self.kubelet.forget(uid)

    def _run_uid(self, item: Object) -> set[str]:
        """Return the UIDs of the owners of an object and of their owners."""
        found = owners_of(item)
        parents = [other for other in self.objects.of_kind(*WORKLOADS) if other["metadata"]["uid"] in found]
        return found | {uid for other in parents for uid in owners_of(other)}

    def _update_pods(self) -> set[str]:
        touched: set[str] = set()
        for pod in self.objects.of_kind("Pod"):
            if phase_of(pod) in ("Succeeded", "Failed") or not self.kubelet.started(pod["metadata"]["uid"]):
                continue
            status = self.kubelet.status(pod["metadata"]["uid"])
            if not equal(status, pod["status"]):
                pod["status"] = status
                if status["phase"] == "Failed":
                    pod["metadata"].setdefault("annotations", {})[LOG_ANNOTATION] = self.kubelet.last_lines(pod["metadata"]["uid"])
                self.objects.save(pod)
                if status["phase"] == "Succeeded":
                    self.kubelet.tidy(pod["metadata"]["uid"])
                touched |= self._run_uid(pod)
        return touched

    def _control(self) -> set[str]:
        touched: set[str] = set()
        for workload in self.objects.of_kind(*WORKLOADS):
            if "deletionTimestamp" in workload["metadata"]:
                continue
            pods = self.objects.owned_by(workload["metadata"]["uid"])
            fresh = missing_pods(workload, pods, self.now())
            for pod in fresh:
                self._make_pod(pod)
            for pod in surplus_pods(workload, pods):
                pod["metadata"]["deletionTimestamp"] = self._stamp()
                self.objects.save(pod)
            status = workload_status(workload, pods + fresh, self.now())
            if fresh or not equal(status, workload.get("status", {})):
                workload["status"] = status
                self.objects.save(workload)
                touched |= owners_of(workload)
        return touched

    def _make_pod(self, pod: Object) -> None:
        taken = {other["metadata"]["annotations"].get("astra.dev/address") for other in self.objects.of_kind("Pod")}
        name = f"{self.folder}/{self._stamp()}/{pod['metadata']['name']}/{pod['metadata']['ownerReferences'][0]['uid']}"
        pod["metadata"]["annotations"]["astra.dev/address"] = address_of(name, taken)
        self.objects.create(pod, self._stamp())

    def _collect(self) -> set[str]:
        """Remove what was deleted once its process is gone, and what lost its owner."""
        touched: set[str] = set()
        alive = {run["metadata"]["uid"] for run in self.runs} | self.objects.uids()
        for item in self.objects:
            if not owners_of(item) & alive:
                self.delete(item)
        for pod in self.objects.of_kind("Pod"):
            uid = pod["metadata"]["uid"]
            if "deletionTimestamp" not in pod["metadata"]:
                continue
            self.kubelet.stop(uid)
            if self.kubelet.gone(uid):
                touched |= self._run_uid(pod)
                log = self.log_file(pod)
                log.parent.mkdir(parents=True, exist_ok=True)
                self.kubelet.forget(uid, log)
                write_json(log.with_suffix(".json"), {"metadata": pod["metadata"]})
                self.objects.remove(pod)
        for item in self.objects:
            if item["kind"] != "Pod" and "deletionTimestamp" in item["metadata"] and not self.objects.owned_by(item["metadata"]["uid"]):
                touched |= owners_of(item)
                self.objects.remove(item)
        return touched

    def log_file(self, pod: Object) -> Path:
        """Return where a removed pod's log is kept."""
        namespace, name, uid = (str(pod["metadata"][key]) for key in ("namespace", "name", "uid"))
        return self.folder / "logs" / namespace / f"{name}.{uid[:8]}.log"

    def _schedule(self) -> set[str]:
        """Start the pods that fit, gangs together; tell the others what they wait for."""
        groups, running = [], []
        for workload in self.objects.of_kind(*WORKLOADS):
            pods = self.objects.owned_by(workload["metadata"]["uid"])
            running += [pod for pod in pods if phase_of(pod) == "Running"]
            ready = [pod for pod in pods if phase_of(pod) == "Pending" and "deletionTimestamp" not in pod["metadata"]]
            if workload["kind"] == "PyTorchJob":
                groups += [Group(workload["metadata"]["name"], tuple(ready))] if ready else []
            else:
                groups += [Group(pod["metadata"]["name"], (pod,)) for pod in ready]
        decision = admit(groups, running, self.capacity)
        for line in decision.capped:
            if line not in self._said:
                self._said.add(line)
                self._say(line)
        self.waiting = decision.waiting
        touched: set[str] = set()
        for group in groups:
            if group in decision.start:
                touched |= self._start(group)
            else:
                touched |= self._hold(group, decision.waiting[group.name])
        return touched

    def _start(self, group: Group) -> set[str]:
        workload = self._workload_of(group.pods[0])
        if workload is not None and workload["kind"] == "PyTorchJob":
            everyone = self.objects.owned_by(workload["metadata"]["uid"])
            master = next(pod for pod in everyone if pod["metadata"]["labels"]["training.kubeflow.org/replica-type"] == "master")
            add_ranks(workload, everyone, master["metadata"]["annotations"]["astra.dev/address"], free_port())
        config = {item["metadata"]["name"]: item["data"] for item in self.objects.of_kind("ConfigMap")}
        touched: set[str] = set()
        for pod in group.pods:
            address = pod["metadata"]["annotations"]["astra.dev/address"]
            self.kubelet.start(pod, address, config, self.runs.folder_of(self._run_uid(pod)))
            pod["status"] = self.kubelet.status(pod["metadata"]["uid"])
            self.objects.save(pod)
            touched |= self._run_uid(pod)
        self._started |= touched
        return touched

    def _hold(self, group: Group, why: str) -> set[str]:
        touched: set[str] = set()
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
        for pod in group.pods:
            if pod["status"].get("conditions") != [condition]:
                pod["status"] = {"phase": "Pending", "conditions": [condition]}
                self.objects.save(pod)
                touched |= self._run_uid(pod)
        return touched

    def _workload_of(self, pod: Object) -> Object | None:
        owners = owners_of(pod)
        return next((item for item in self.objects.of_kind(*WORKLOADS) if item["metadata"]["uid"] in owners), None)
