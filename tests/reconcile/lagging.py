"""A cluster as an operator with watches sees it: one stream for each kind, each late by as much as it likes.

Reads answer from what the streams have brought; an own write is seen at once, as the client does with the server's response. A status
write on a run that changed meanwhile is a conflict. A new operator process starts with a full list. Calls fail as ``fault`` says, after
they took effect too: the answer is lost then, and nobody has seen it.
"""

import contextlib
from datetime import timedelta
from typing import Any

from astra_jobs.api.artifact import Kind
from astra_operator.clusters import memory_pools
from astra_operator.clusters.base import WORKLOADS, ClusterError, Object, RunKey, format_time, key_of, parse_time
from astra_operator.clusters.memory import _copy
from astra_operator.desired import naming
from tests.reconcile.lives import Stocked

Slot = tuple[str, str, str]
PATIENCE = timedelta(seconds=5)
"""How late a stream may be without a success being taken for a loss; what is later than that only costs a look-up in the store."""
STREAMS = ("Run", "ConfigMap", "Job", "PyTorchJob", "Pod", "Deployment", "NetworkPolicy", "Service", "PodDisruptionBudget")


class Lagging(Stocked):
    """``wrong`` holds each launch that was said to have lost its pods while all of them had in truth just succeeded."""

    def __init__(self) -> None:
        super().__init__()
        self.seen_runs: dict[RunKey, Object] = {}
        self.seen: dict[Slot, Object] = {}
        self.wrong: list[str] = []
        self.lossy = False

    # ---- the streams

    def deliver(self, stream: str) -> None:
        """Bring everything that one stream has to tell."""
        if stream == "Run":
            self.seen_runs = _copy_all(self.runs)
            return
        self.seen = {slot: item for slot, item in self.seen.items() if slot[0] != stream}
        self.seen |= _copy_all({slot: item for slot, item in self.objects.items() if slot[0] == stream})

    def deliver_all(self) -> None:
        """Do what a full list does."""
        for stream in STREAMS:
            self.deliver(stream)

    # ---- the protocol, from what was seen

    def get_run(self, kind: Kind, namespace: str, name: str) -> Object | None:
        key = RunKey(kind, namespace, name)
        return self._call("get_run", f"{kind}/{name}", lambda: _copy(self.seen_runs.get(key) or self.stock.get(key)))

    def list_runs(self) -> list[Object]:
        return self._call("list_runs", "", lambda: list(_copy_all(self.seen_runs).values()))

    def children(self, uid: str) -> list[Object]:
        return self._call("children", uid, lambda: _copy(memory_pools.children(self.seen.values(), uid)))

    def refresh_pods(self, run: Object) -> bool:
        return self._call("refresh_pods", run["metadata"]["uid"], self._bring_pods)

    def _bring_pods(self) -> bool:
        before = dict(self.seen)
        self.deliver("Pod")
        return self.seen != before

    def _apply_one(self, item: Object, owner: Object) -> bool:
        self._judge(item)
        created = super()._apply_one(item, owner)
        self._see(self._slot(item | {"metadata": item["metadata"] | {"namespace": owner["metadata"]["namespace"]}}))
        return created

    def _delete(self, item: Object) -> None:
        super()._delete(item)
        self._see(self._slot(item))

    def _write_status(self, run: Object, status: dict[str, Any]) -> None:
        key = key_of(run)
        current = self.runs.get(key)
        if current is not None and (current["metadata"], current["status"]) != (run["metadata"], run["status"]):
            self._see_run(key)
            raise ClusterError("the object has been modified")
        with contextlib.ExitStack() as stack:
            stack.callback(self._see_run, key)  # a run that is not found there is dropped as well
            super()._write_status(run, status)

    def _see(self, slot: Slot) -> None:
        if self.lossy:
            return
        item = self.objects.get(slot)
        if item is None:
            self.seen.pop(slot, None)
        else:
            self.seen[slot] = _copy(item)

    def _see_run(self, key: RunKey) -> None:
        if self.lossy:
            return
        run = self.runs.get(key)
        if run is None:
            self.seen_runs.pop(key, None)
        else:
            self.seen_runs[key] = _copy(run)

    # ---- what really goes on

    def settle(self) -> None:
        """Also let the controllers say that a workload is complete, which their stream may bring before the pods' does."""
        super().settle()
        for item in self.objects.values():
            if item["kind"] in WORKLOADS and self._all_succeeded(item) and "conditions" not in item["status"]:
                self.changes += 1
                item["status"]["conditions"] = [self._ended(item)]

    def _ended(self, workload: Object) -> Object:
        kind = "Complete" if workload["kind"] == "Job" else "Succeeded"
        return {"type": kind, "status": "True", "lastTransitionTime": format_time(self.clock)}

    def _all_succeeded(self, workload: Object) -> bool:
        pods = self._owned(workload["metadata"]["uid"])
        return len(pods) == workload.get("status", {}).get("pods") and all(pod["status"]["phase"] == "Succeeded" for pod in pods)

    def _judge(self, item: Object) -> None:
        end = item["metadata"].get("annotations", {}).get(naming.END_ANNOTATION, "")
        workloads = [found for kind in WORKLOADS if (found := self.objects.get((kind, "default", item["metadata"]["name"])))]
        given_up = workloads and ('"Vanished"' in end or '"Unread"' in end) and self._all_succeeded(workloads[0])
        told = workloads[0]["status"].get("conditions", []) if given_up else []
        if told and self.clock - parse_time(told[0]["lastTransitionTime"]) < PATIENCE:
            self.wrong.append(f"{item['metadata']['name']}: {end}")


def _copy_all(items: dict[Any, Object]) -> dict[Any, Object]:
    return {key: _copy(item) for key, item in items.items()}
