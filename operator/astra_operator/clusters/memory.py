"""A cluster in memory, for tests of the reconcile: a clock moved by hand, pods that end as told, a fault at any call.

It plays what a real cluster does around the operator: makes the pods of workloads and tries shards again (with the controllers of
the local cluster), removes dependants after their owner, removes deleted pods only when ``settle`` is called, holds workloads of a
queue until it is told to let them in, and bumps ``generation`` when a spec changes. It runs no process.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from pydantic_core import from_json, to_json

from astra_jobs.api.artifact import Kind
from astra_jobs.api.base import API_VERSION
from astra_jobs.api.result import JobResult, ProgressReport
from astra_operator.causes import Warned
from astra_operator.clusters import memory_pools, memory_queues
from astra_operator.clusters.base import UNREAD, WORKLOADS, Event, Gone, Object, Refused, RunKey, format_time, key_of
from astra_operator.clusters.local_controllers import ended, missing_pods, surplus_pods, workload_status
from astra_operator.clusters.taken import require_own
from astra_operator.desired.naming import LABEL_POOL, LABEL_QUEUE
from astra_operator.pods import read_pod

Fault = Callable[[str, str], None]
T = TypeVar("T")
AT_ONCE = ("ConfigMap", "Secret", "Service", "NetworkPolicy", "PodDisruptionBudget")


class MemoryCluster:
    """Objects in dictionaries. ``fault(moment, call)`` is asked before and after every call of the protocol and may raise.

    ``served`` are the kinds of workload that can be made (Workload means Kueue); ``refusal``, when it is not empty, is why nothing may
    be made; ``runtimes`` are the RuntimeClasses; ``pool_refusal`` is why no pod of a pool may be made, and ``pools_start`` tells that those
    made run at once. ``dumps`` are the stacks of pods by name, ``reports`` their progress, and ``warned`` the Warning events of objects.
    ``ending`` are namespaces that are being deleted; ``dead`` names pods on dead nodes, which never go.
    ``log`` holds every call, ``launched`` every workload ever made, ``overlaps`` each time two launches of a run had pods at once,
    ``unserved`` each workload that was made without the sandbox pool whose key it mounts, ``unguarded`` each pod of a pool without policy,
    ``changes`` counts what the operator and the controllers did.
    """

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault: Fault = fault or (lambda moment, call: None)
        self.clock = datetime(2030, 1, 1, tzinfo=UTC)
        self.runs: dict[RunKey, Object] = {}
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.reports: dict[str, ProgressReport] = {}
        self.dumps: dict[str, str] = {}
        self.served = {"Job", "PyTorchJob"}
        self.refusal = ""
        self.runtimes = {"gvisor"}
        self.warned: dict[str, list[Warned]] = {}
        self.ending: set[str] = set()
        self.dead: set[str] = set()
        self.pool_refusal = ""
        self.pools_start = True
        self.unserved: list[str] = []
        self.unguarded: list[str] = []
        self.teams: dict[str, dict[str, str]] = {}
        self.log: list[tuple[str, str]] = []
        self.launched: list[str] = []
        self.overlaps: list[str] = []
        self.changes = 0
        self.events: dict[tuple[str, str], Event] = {}
        self._uids = 0

    # ---- the protocol

    def get_run(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._call("get_run", f"{kind}/{name}", lambda: _copy(self.runs.get(RunKey(kind, namespace, name))))

    def list_runs(self) -> list[Object]:
        return self._call("list_runs", "", lambda: _copy(list(self.runs.values())))

    def children(self, uid: str) -> list[Object]:
        items = self.objects.values()
        return self._call("children", uid, lambda: _copy([*memory_pools.children(items, uid), *memory_pools.orphans(items, uid)]))

    def apply(self, objects: list[Object], owner: Object) -> list[str]:
        created = []
        for item in objects:
            name = item["metadata"]["name"]
            if self._call("apply", f"{item['kind']}/{name}", partial(self._apply_one, item, owner)):
                created.append(name)
        return created

    def delete(self, item: Object) -> None:
        self._call("delete", f"{item['kind']}/{item['metadata']['name']}", lambda: self._delete(item))

    def write_status(self, run: Object, status: dict[str, Any]) -> None:
        self._call("write_status", run["metadata"]["name"], lambda: self._write_status(run, status))

    def event(self, run: Object, event: Event) -> None:
        self.events.setdefault((run["metadata"]["uid"], event.name), event)

    def progress(self, pod: Object) -> ProgressReport | None:
        return self._call("progress", pod["metadata"]["name"], lambda: self.reports.get(pod["metadata"]["name"]))

    def admit(self, objects: list[Object], owner: Object) -> None:
        self._call("admit", objects[0]["metadata"]["name"], lambda: self._admit(objects, owner))

    def serves(self, api_version: str, kind: str) -> bool:
        return self._call("serves", kind, lambda: kind in self.served)

    def has_runtime(self, name: str) -> bool:
        return self._call("has_runtime", name, lambda: name in self.runtimes)

    def warnings(self, item: Object) -> list[Warned]:
        return self._call("warnings", item["metadata"]["name"], lambda: list(self.warned.get(item["metadata"]["name"], ())))

    def terminating(self, namespace: str) -> bool:
        return self._call("terminating", namespace, lambda: namespace in self.ending)

    def stacks(self, pod: Object) -> str:
        return self._call("stacks", pod["metadata"]["name"], lambda: self.dumps.get(pod["metadata"]["name"], ""))

    def refresh_pods(self, run: Object) -> bool:
        return self._call("refresh_pods", run["metadata"]["uid"], lambda: False)

    def team(self, namespace: str) -> dict[str, str]:
        return self._call("team", namespace, lambda: dict(self.teams.get(namespace, {})))

    def now(self) -> datetime:
        return self.clock

    # ---- what users and nodes do

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self.clock += timedelta(seconds=seconds)

    def put_run(self, manifest: Object) -> Object:
        """Create a run, or replace its spec, as ``kubectl apply`` does."""
        run = _copy(manifest)
        run.setdefault("apiVersion", API_VERSION)
        run["metadata"].setdefault("namespace", "default")
        old = self.runs.get(key_of(run))
        if old is None:
            run["metadata"] |= {"uid": self._uid(), "generation": 1, "creationTimestamp": format_time(self.clock)}
            run["status"] = {}
            self.runs[key_of(run)] = run
            return run
        if old["spec"] != run["spec"]:
            old["spec"] = run["spec"]
            old["metadata"]["generation"] += 1
        return old

    def remove_run(self, key: RunKey) -> None:
        """Delete a run; what it owns goes with the next ``settle``."""
        self.runs.pop(key, None)

    def pods(self, contains: str = "") -> list[Object]:
        """Return the pods of workloads whose names hold a text, in the order of their names."""
        return self._pods(contains, pools=False)

    def pool_pods(self, contains: str = "") -> list[Object]:
        """Return the pods of sandbox pools whose names hold a text, in the order of their names."""
        return self._pods(contains, pools=True)

    def _pods(self, contains: str, pools: bool) -> list[Object]:
        found = [item for (kind, _, name), item in self.objects.items() if kind == "Pod" and contains in name]
        return sorted((pod for pod in found if bool(_pool(pod)) is pools), key=lambda pod: pod["metadata"]["name"])

    def start(self, pod: Object) -> None:
        """Let a pending pod run."""
        now = format_time(self.clock)
        pod["status"] |= {
            "phase": "Running",
            "startTime": now,
            "containerStatuses": [{"name": "job", "state": {"running": {"startedAt": now}}}],
        }

    def finish(self, pod: Object, result: JobResult | None, exit_code: int = 0, **state: Any) -> None:
        """Let a pod end with a result and an exit code; ``state`` overrides fields of the terminated state."""
        if pod["status"]["phase"] == "Pending":
            self.start(pod)
        started = pod["status"]["startTime"]
        ended = {"exitCode": exit_code, "reason": "Completed" if exit_code == 0 else "Error", "startedAt": started}
        ended |= {"finishedAt": format_time(self.clock), "message": result.encode().decode() if result else ""} | state
        pod["status"]["phase"] = "Succeeded" if exit_code == 0 else "Failed"
        pod["status"]["containerStatuses"] = [{"name": "job", "state": {"terminated": ended}}]

    def lose(self, pod: Object, reason: str = "NodeLost") -> None:
        """Let a pod end the way it does when its node goes: failed, with no exit code, marked as disrupted."""
        conditions = [{"type": "DisruptionTarget", "status": "True", "reason": reason}]
        started = pod["status"].get("startTime", format_time(self.clock))
        pod["status"] = {"phase": "Failed", "reason": reason, "startTime": started, "conditions": conditions}

    def vanish(self, item: Object) -> None:
        """Remove an object at once, and its dependants with the next ``settle``. A Job takes the loss of its one pod for a failure."""
        self._drop(item)
        for owner in item["metadata"].get("ownerReferences", []):
            job = self.objects.get(("Job", item["metadata"]["namespace"], owner["name"]))
            if job is not None and "backoffLimit" in job["spec"] and not ended(job) and "deletionTimestamp" not in job["metadata"]:
                failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
                job["status"] = job.get("status", {}) | {"conditions": [failed]}

    def let_in(self, contains: str = "") -> int:
        """Let a queue admit the held workloads whose names hold a text; return how many."""
        return self._hold(contains, False, {"type": "QuotaReserved", "status": "True", "reason": "QuotaReserved", "message": ""})

    def preempt(self, contains: str = "", message: str = "preempted to accommodate a workload") -> int:
        """Let a queue take back the quota of workloads whose names hold a text; return how many."""
        self._hold(contains, True, {"type": "Evicted", "status": "True", "reason": "Preempted", "message": message})
        return self._hold(contains, True, {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": message})

    def settle(self) -> None:
        """Do what controllers do in time: make and end the pods of workloads, remove what was deleted or lost its owner."""
        # Pods of new workloads come first, so that a workload made before its predecessor is gone is seen in ``overlaps``.
        for item in [item for item in self.objects.values() if "ownerReferences" in item["metadata"]]:  # others are no run's
            if item["kind"] in WORKLOADS and "deletionTimestamp" not in item["metadata"]:
                self._control(item)
            elif item["kind"] == "Deployment":
                self._deploy(item)
        for item in list(self.objects.values()):
            if "deletionTimestamp" in item["metadata"] and item["metadata"]["name"] not in self.dead:
                self._drop(item)
        while orphans := [
            item for item in self.objects.values() if not self._has_owner(item) and item["metadata"]["name"] not in self.dead
        ]:
            for item in orphans:
                self._drop(item)

    # ---- inside

    def _call(self, call: str, what: str, work: Callable[[], T]) -> T:
        self.fault("before", call)
        self.log.append((call, what))
        result = work()
        self.fault("after", call)
        return result

    def _uid(self) -> str:
        self._uids += 1
        return f"uid-{self._uids:06d}"

    @staticmethod
    def _slot(item: Object) -> tuple[str, str, str]:
        return item["kind"], item["metadata"].get("namespace", "default"), item["metadata"]["name"]

    def _owners(self) -> set[str]:
        return {run["metadata"]["uid"] for run in self.runs.values()} | {item["metadata"]["uid"] for item in self.objects.values()}

    def _has_owner(self, item: Object) -> bool:
        owners = item["metadata"].get("ownerReferences")  # what never had one is not collected
        return owners is None or bool({owner["uid"] for owner in owners} & self._owners())

    def _owned(self, uid: str) -> list[Object]:
        direct = [
            item for item in self.objects.values() if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences", []))
        ]
        return direct + [below for item in direct for below in self._owned(item["metadata"]["uid"])]

    def _apply_one(self, item: Object, owner: Object) -> bool:
        item = _copy(item)
        item["metadata"]["namespace"] = owner["metadata"]["namespace"]
        uid = owner["metadata"]["uid"]
        old = self.objects.get(self._slot(item))
        if old is not None:
            require_own(old, owner)
            marks = {key: item["metadata"].get(key, {}) for key in ("labels", "annotations")}
            resized = item["kind"] == "Deployment" and old["metadata"].get("annotations") != marks["annotations"]
            if item["kind"] == "ConfigMap" or resized:
                self.changes += 1
                old["metadata"] |= marks
            if resized:
                old["spec"] = item["spec"]
            return bool(resized)
        self._admit([item], owner)
        reference = {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": uid,
            "controller": True,
        }
        item["metadata"] |= {"uid": self._uid(), "ownerReferences": [reference], "creationTimestamp": format_time(self.clock)}
        if item["kind"] in UNREAD:
            item["data"] = {"key": base64.b64encode(item["metadata"]["uid"].rjust(32, "0").encode()).decode()}
        self.changes += 1
        self.objects[self._slot(item)] = item
        if item["kind"] in WORKLOADS:
            self._check_pool(item)
            self.launched.append(f"{uid}/{item['metadata']['name']}")
        return True

    def _delete(self, item: Object) -> None:
        found = self.objects.get(self._slot(item))
        if found is None or (item["kind"] not in UNREAD and found["metadata"]["uid"] != item["metadata"]["uid"]):
            return
        if found["kind"] in AT_ONCE:
            if found["kind"] == "NetworkPolicy":
                self.unguarded += [pod["metadata"]["name"] for pod in self.pool_pods() if _pool(pod) == _pool(found)]
            self._drop(found)
            return
        self.changes += 1
        for below in [found, *self._owned(found["metadata"]["uid"])]:
            below["metadata"].setdefault("deletionTimestamp", format_time(self.clock))

    def _write_status(self, run: Object, status: dict[str, Any]) -> None:
        found = self.runs.get(key_of(run))
        if found is None or found["metadata"]["uid"] != run["metadata"]["uid"]:
            raise Gone(f"{run['kind']} {run['metadata']['name']} is gone")
        self.changes += 1
        found["status"] = _copy(status)

    def _drop(self, item: Object) -> None:
        self.changes += 1
        self.objects.pop(self._slot(item), None)

    def _admit(self, objects: list[Object], owner: Object) -> None:
        for item in objects:
            require_own(self.objects.get((item["kind"], owner["metadata"]["namespace"], item["metadata"]["name"])), owner)
        if self.refusal:
            raise Refused(f"{objects[-1]['kind']} {objects[-1]['metadata']['name']}: {self.refusal}")

    def _control(self, workload: Object) -> None:
        """Do what the controllers of workloads do, Kueue's included."""
        pods = [item for item in self._owned(workload["metadata"]["uid"]) if item["kind"] == "Pod"]
        before = workload.get("status")
        if before is None and LABEL_QUEUE in workload["metadata"]["labels"]:
            self._enqueue(workload)
        fresh = missing_pods(workload, pods, self.clock)
        if fresh:
            self._note_overlaps(workload)
        for pod in fresh:
            pod["metadata"] |= {"uid": self._uid(), "creationTimestamp": format_time(self.clock)}
            self.objects[self._slot(pod)] = pod
        for pod in surplus_pods(workload, pods):
            pod["metadata"]["deletionTimestamp"] = format_time(self.clock)
        workload["status"] = workload_status(workload, pods + fresh, self.clock)
        self.changes += bool(fresh) or (before is not None and before != workload["status"])

    def _deploy(self, deployment: Object) -> None:
        """Do what the controllers of Deployments do, and a node that has room."""
        before, pods = deployment.get("status"), [item for item in self._owned(deployment["metadata"]["uid"]) if item["kind"] == "Pod"]
        for pod in memory_pools.surplus(deployment, pods):
            pod["metadata"].setdefault("deletionTimestamp", format_time(self.clock))
        while not self.pool_refusal and (fresh := memory_pools.missing(deployment, pods, uid := self._uid())):
            fresh["metadata"] |= {"uid": uid, "creationTimestamp": format_time(self.clock)}
            self.objects[self._slot(fresh)] = fresh
            pods.append(fresh)
            if ("NetworkPolicy", fresh["metadata"]["namespace"], _pool(fresh)) not in self.objects:
                self.unguarded.append(fresh["metadata"]["name"])
        for pod in pods:
            if self.pools_start and pod["status"] == {"phase": "Pending"}:
                memory_pools.run(pod, self.clock)
        deployment["status"] = memory_pools.status(deployment, pods, self.clock, self.pool_refusal)
        self.changes += before != deployment["status"]

    def _check_pool(self, workload: Object) -> None:
        """Note a workload whose tools would have nowhere to run. In a queue, its pool has all but pods."""
        template = workload["spec"]["template"] if "template" in workload["spec"] else next(iter(_replicas(workload)))["template"]
        queued = LABEL_QUEUE in workload["metadata"]["labels"]
        if memory_pools.lacks(template, workload["metadata"]["namespace"], self.objects, queued):
            self.unserved.append(workload["metadata"]["name"])

    def _note_overlaps(self, workload: Object) -> None:
        name, uid = workload["metadata"]["name"], workload["metadata"]["uid"]
        for pod in self._owned(workload["metadata"]["ownerReferences"][0]["uid"]):
            other = pod["kind"] == "Pod" and not _pool(pod) and pod["metadata"]["ownerReferences"][0]["uid"] != uid
            if other and read_pod(pod).alive:  # a container beside a job that has ended is nobody's rival
                self.overlaps.append(f"{name} was made while {pod['metadata']['name']} was there")

    def _enqueue(self, workload: Object) -> None:
        queued = memory_queues.entry(workload, self._uid())
        self.objects[self._slot(queued)] = queued

    def _hold(self, contains: str, held: bool, condition: Object) -> int:
        found = [item for item in self.objects.values() if item["kind"] == "Workload" and contains in item["metadata"]["name"]]
        for item in found:
            owner = item["metadata"]["ownerReferences"][0]
            memory_queues.hold(item, self.objects[owner["kind"], item["metadata"]["namespace"], owner["name"]], held, condition)
        self.changes += len(found)
        return len(found)


def _pool(item: Object) -> str:
    return str(item["metadata"].get("labels", {}).get(LABEL_POOL, ""))


def _replicas(workload: Object) -> list[Object]:
    return list(workload["spec"]["pytorchReplicaSpecs"].values())


def _copy(value: T) -> T:
    """Copy JSON data; several times faster than a deep copy, and objects are nothing else."""
    copied: T = from_json(to_json(value))
    return copied
