"""What happened to the operator's workloads and pods, event by event, and what of that must never happen.

A list tells only what is there; a workload that was made twice and removed again is seen by a watch alone.
"""

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import urllib3

from tests.cluster.faults.player import INDEX, MANAGED, Plain
from tests.cluster.plane.plane import ControlPlane

Object = dict[str, Any]
Event = tuple[str, Object]
PATHS = {"Job": "/apis/batch/v1/jobs", "PyTorchJob": "/apis/kubeflow.org/v1/pytorchjobs", "Pod": "/api/v1/pods"}
SECONDS = 3
"""So long one watch lasts; the next goes on where it ended, so nothing is missed between them."""


class Recorder:
    """Watches the operator's workloads and pods in all namespaces. ``events`` holds what was told of each kind, in its order."""

    def __init__(self, plane: ControlPlane) -> None:
        self.events: dict[str, list[Event]] = {kind: [] for kind in PATHS}
        self._api = plane.api()
        self._plain = Plain(plane)
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(len(PATHS))
        self._watching: list[Future[None]] = []

    def __enter__(self) -> Self:
        for kind, path in PATHS.items():
            version = self._plain.ask("GET", f"{path}?limit=1&labelSelector={MANAGED}")["metadata"]["resourceVersion"]
            self._watching.append(self._pool.submit(self._watch, kind, version))
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown()
        self._plain.close()
        self._api.rest_client.pool_manager.clear()
        self._api.close()
        for each in self._watching:
            each.result()

    def of(self, kind: str, namespace: str) -> list[Event]:
        """Return what was told of a kind in a namespace so far."""
        return [event for event in list(self.events[kind]) if event[1]["metadata"]["namespace"] == namespace]

    def _watch(self, kind: str, version: str) -> None:
        host, pool = self._api.configuration.host, self._api.rest_client.pool_manager
        while not self._stopped.is_set():
            query = f"watch=true&allowWatchBookmarks=true&timeoutSeconds={SECONDS}&resourceVersion={version}&labelSelector={MANAGED}"
            answer = pool.request("GET", f"{host}{PATHS[kind]}?{query}", preload_content=False, timeout=urllib3.Timeout(10, read=60))
            with answer:
                for line in answer:
                    event = json.loads(line)
                    assert event["type"] != "ERROR", event
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self.events[kind].append((event["type"], event["object"]))


def made_twice(workloads: Iterable[Event]) -> list[str]:
    """Name each workload of one run that there was more than once, one after the other or at the same time."""
    uids: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for _, item in workloads:
        metadata = item["metadata"]
        uids[metadata["labels"]["astra.dev/run-uid"], item["kind"], metadata["name"]].add(metadata["uid"])
    return [f"{kind} {name} was made {len(found)} times" for (_, kind, name), found in uids.items() if len(found) > 1]


def played_twice(pods: Iterable[Event]) -> list[str]:
    """Name each shard or rank of a launch that had more than one pod; no story makes one fail that is tried again in its launch."""
    events = list(pods)
    places = {item["metadata"]["uid"]: _place(item) for _, item in events}
    return [f"{place} had {count} pods" for place, count in Counter(places.values()).items() if count > 1]


def overlaps(pods: Iterable[Event]) -> list[str]:
    """Name each pod that came while a pod of another launch of its run lived."""
    alive: dict[str, dict[str, Object]] = defaultdict(dict)
    found = []
    for event, item in pods:
        metadata = item["metadata"]
        run, owner = metadata["labels"]["astra.dev/run-uid"], metadata["ownerReferences"][0]["uid"]
        if event == "DELETED" or item["status"].get("phase") in ("Succeeded", "Failed"):
            alive[run].pop(metadata["uid"], None)
            continue
        if event == "ADDED":
            others = [name for name in alive[run].values() if name["metadata"]["ownerReferences"][0]["uid"] != owner]
            found += [f"{metadata['name']} came while {other['metadata']['name']} lived" for other in others]
        alive[run][metadata["uid"]] = item
    return found


def _place(pod: Object) -> tuple[str, ...]:
    labels = pod["metadata"]["labels"]
    role = f"{labels.get('training.kubeflow.org/replica-type', '')} {labels.get('training.kubeflow.org/replica-index', '')}"
    owner = pod["metadata"]["ownerReferences"][0]
    return owner["uid"], owner["name"], role, labels.get(INDEX, "0")
