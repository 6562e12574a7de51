"""Plays nodes on a control plane that has none: writes the status of the operator's pods through the API, as a script says.

Pods are not scheduled, so a deleted one is gone at once. The Job controller and the training operator are real and go by the status.
"""

import contextlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import urllib3

from astra_jobs.api.request import StageRequest
from astra_jobs.api.result import JobResult
from tests.cluster.plane.plane import ControlPlane

Object = dict[str, Any]
Script = Callable[[Object], Callable[[StageRequest, int], tuple[JobResult | None, int]] | None]
"""Says for a pod how it ends (a result and an exit code from its request and shard), or None to let it run."""
POOL = "astra.dev/pool"
MANAGED = "astra.dev/run-uid"
INDEX = "batch.kubernetes.io/job-completion-index"


class Plain:
    """The API server with dicts in and out, as administrator; cheaper than a kubectl for each look. Thread-safe."""

    def __init__(self, plane: ControlPlane) -> None:
        self._api = plane.api()

    def ask(self, method: str, path: str, body: Object | None = None) -> Object:
        """Make one call and return the answer, a Status too; PATCH is a merge patch."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Accept": "application/json", "Content-Type": kind}
        data = json.dumps(body).encode() if body is not None else None
        url = self._api.configuration.host + path
        answer = self._api.rest_client.pool_manager.request(method, url, body=data, headers=headers, timeout=20, retries=False)
        return json.loads(answer.data)

    def items(self, path: str) -> list[Object]:
        """Return the items of a list, however long it is."""
        found: list[Object] = []
        token = ""
        while True:
            page = self.ask("GET", f"{path}{'&' if '?' in path else '?'}limit=1000" + (f"&continue={token}" if token else ""))
            found += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return found

    def close(self) -> None:
        """Drop all connections."""
        self._api.rest_client.pool_manager.clear()
        self._api.close()


class PodPlayer:
    """A thread that looks for the operator's pods again and again and ends those that the script ends. ``ended`` lists their names."""

    def __init__(self, plane: ControlPlane, script: Script, every: float = 0.3) -> None:
        self._plain = Plain(plane)
        self._script = script
        self._every = every
        self._done: set[str] = set()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._playing: Future[None] | None = None
        self.ended: list[str] = []

    def __enter__(self) -> "PodPlayer":
        self._playing = self._pool.submit(self._play)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown()
        self._plain.close()
        assert self._playing is not None
        self._playing.result()

    def _play(self) -> None:
        while not self._stopped.wait(self._every):
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                for pod in self._plain.items(f"/api/v1/pods?labelSelector={MANAGED}"):
                    self._look(pod)

    def _look(self, pod: Object) -> None:
        metadata = pod["metadata"]
        if pod["status"]["phase"] in ("Succeeded", "Failed") or metadata["uid"] in self._done or "deletionTimestamp" in metadata:
            return
        end = self._script(pod)
        if end is None:
            self._run(pod)
            return
        name = next((volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if "configMap" in volume), None)
        if name is None:  # no pod of a job
            return
        config = self._plain.ask("GET", f"/api/v1/namespaces/{metadata['namespace']}/configmaps/{name}")
        if "data" not in config:
            return  # of an attempt that was removed
        request = StageRequest.model_validate_json(config["data"]["request.json"])
        shard = int((metadata.get("annotations", {}) | metadata["labels"]).get(INDEX, 0))
        self._end(pod, *end(request, shard))

    def _run(self, pod: Object) -> None:
        metadata = pod["metadata"]
        if pod["status"]["phase"] != "Running":
            now = _now()
            # Only who is behind a Service is asked if it is ready: the pods of sandbox pools.
            ready = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]} if POOL in metadata["labels"] else {}
            body = {"metadata": {"uid": metadata["uid"]}, "status": {"phase": "Running", "startTime": now} | ready}
            self._plain.ask("PATCH", f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status", body)

    def _end(self, pod: Object, result: JobResult | None, code: int) -> None:
        metadata = pod["metadata"]
        now = _now()
        state = {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": now, "finishedAt": now}
        state |= {"message": result.encode().decode() if result else ""}
        name = pod["spec"]["containers"][0]["name"]
        container = {"name": name, "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": state}}
        status = {"phase": "Failed" if code else "Succeeded", "startTime": now, "containerStatuses": [container]}
        body = {"metadata": {"uid": metadata["uid"]}, "status": status}
        answer = self._plain.ask("PATCH", f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status", body)
        if answer["kind"] == "Pod":
            self._done.add(metadata["uid"])
            self.ended.append(f"{metadata['namespace']}/{metadata['name']}")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
