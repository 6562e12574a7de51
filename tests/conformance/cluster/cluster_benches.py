"""Every implementation of the Cluster protocol, with hands for what its users and nodes do; the suite speaks to nothing else."""

import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from kubernetes.client import ApiClient

from astra_operator.clusters.base import Cluster, key_of
from astra_operator.clusters.index import Index
from astra_operator.clusters.kubernetes import ClusterHooks, KubernetesCluster
from astra_operator.clusters.kubernetes_calls import Call, Calls
from astra_operator.clusters.kubernetes_resources import RESOURCE_OF
from astra_operator.clusters.local import LocalCluster
from astra_operator.clusters.local_capacity import Amount
from astra_operator.clusters.memory import MemoryCluster
from astra_operator.desired import naming
from tests.patience import patience

Object = dict[str, Any]
SPEC = {"sources": [{"name": "worlds", "procedural": {"servers": 3}}]}
# What a pod does where processes run; elsewhere the bench ends pods in the same way.
MESSAGE = "done"
SCRIPT = f"printf {MESSAGE} > result.json"
WAIT = "while :; do sleep 0.05; done"


def manifest(name: str, namespace: str, spec: Object | None = None) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "astra.dev/v1alpha1", "kind": "ToolCorpus", "metadata": metadata, "spec": spec or SPEC}


def labels(run: Object) -> dict[str, str]:
    marks = {naming.LABEL_KIND: run["kind"], naming.LABEL_RUN: run["metadata"]["name"]}
    return marks | {naming.LABEL_UID: run["metadata"]["uid"], naming.LABEL_ATTEMPT: "1"}


def config(run: Object, name: str, text: str = "{}", annotations: dict[str, str] | None = None) -> Object:
    metadata: Object = {"name": name, "labels": labels(run)}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"request.json": text}, "immutable": True}


def job(run: Object, name: str, script: str = SCRIPT, pods: int = 1, request: str = "") -> Object:
    """Return a Job with the fields that the builders use, small enough for a laptop; it mounts the ConfigMap of its name."""
    box = {
        "name": "job",
        "image": "none",
        "command": ["sh", "-c", script],
        "workingDir": "/astra",
        "terminationMessagePath": "/astra/result.json",
        "resources": {"requests": {"cpu": "100m", "memory": "1Mi"}},
        "volumeMounts": [{"name": "in", "mountPath": "/astra/in"}],
    }
    volumes = [{"name": "in", "configMap": {"name": request or name}}]
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [box], "volumes": volumes}
    size = {"completions": pods, "parallelism": pods, "backoffLimit": 0} | ({"completionMode": "Indexed"} if pods > 1 else {})
    template = {"metadata": {"labels": labels(run)}, "spec": spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels(run)},
        "spec": size | {"template": template},
    }


class Bench(Protocol):
    """``see`` lets everything around the operator move on, and its view catch up; ``finish`` ends a pod of ``SCRIPT`` well."""

    cluster: Cluster
    namespace: str

    def put_run(self, item: Object) -> Object: ...

    def remove_run(self, run: Object) -> None: ...

    def put_team(self, data: dict[str, str]) -> None: ...

    def see(self) -> None: ...

    def finish(self, pod: Object) -> None: ...

    def until(self, what: str, condition: Callable[[], Any], seconds: float = 30) -> Any: ...


class Waiting:
    """Waits on conditions; ``see`` is called before each look."""

    pause = 0.0

    def see(self) -> None:
        raise NotImplementedError

    def until(self, what: str, condition: Callable[[], Any], seconds: float = 30) -> Any:
        deadline = time.monotonic() + patience(seconds)
        while True:
            self.see()
            if found := condition():
                return found
            assert time.monotonic() < deadline, f"not within {patience(seconds):g} s: {what}"
            threading.Event().wait(self.pause)


class MemoryBench(Waiting):
    namespace = "default"

    def __init__(self) -> None:
        self.cluster = MemoryCluster()

    def put_run(self, item: Object) -> Object:
        return json.loads(json.dumps(self.cluster.put_run(item)))

    def remove_run(self, run: Object) -> None:
        self.cluster.remove_run(key_of(run))

    def put_team(self, data: dict[str, str]) -> None:
        self.cluster.teams[self.namespace] = data

    def see(self) -> None:
        self.cluster.settle()

    def finish(self, pod: Object) -> None:
        own = next(item for item in self.cluster.pods() if item["metadata"]["uid"] == pod["metadata"]["uid"])
        self.cluster.finish(own, None, message=MESSAGE)


class LocalBench(Waiting):
    namespace = "default"
    pause = 0.01

    def __init__(self, folder: Path) -> None:
        self.cluster = LocalCluster(folder, {"PATH": os.environ["PATH"]}, capacity=Amount(2000, 2**30))

    def put_run(self, item: Object) -> Object:
        return json.loads(json.dumps(self.cluster.put_run(item)))

    def remove_run(self, run: Object) -> None:
        # A laptop has no command that removes one run: `astra clean` removes the folder. The protocol's promise is tested all the same.
        self.cluster.runs._records.pop(key_of(run))

    def put_team(self, data: dict[str, str]) -> None:
        self.cluster.put_team(self.namespace, data)

    def see(self) -> None:
        self.cluster.tick()

    def finish(self, pod: Object) -> None:
        """Nothing to do: its process ends by itself."""

    def close(self) -> None:
        self.cluster.kill_all()
        self.until("all pods have ended", self.cluster.stop_all)
        self.cluster.close()


class KubernetesBench(Waiting):
    """The real API server and controllers; there is no node, so the bench writes the status of pods as a kubelet would."""

    pause = 0.1

    def __init__(self, api: ApiClient, namespace: str, hooks: ClusterHooks | None = None) -> None:
        self.namespace = namespace
        self.cluster = KubernetesCluster(api, Index(), hooks)
        self.calls = Calls(api, lambda *call: None)

    def path(self, item: Object, subresource: str = "") -> str:
        return RESOURCE_OF[item["kind"]].path(self.namespace, item["metadata"]["name"], subresource)

    def send(self, verb: str, item: Object, subresource: str = "", body: Any = None, merge: bool = False) -> Object:
        path = RESOURCE_OF[item["kind"]].path(self.namespace) if verb == "create" else self.path(item, subresource)
        content = "application/merge-patch+json" if merge else "application/json"
        answer = self.calls.send(Call(verb, "test", path, {}, body, content))
        assert answer.good, f"{verb} {path}: {answer}"
        return answer.body

    def put_run(self, item: Object) -> Object:
        new = self.cluster.get_run(*key_of(item)) is None
        made = self.send("create", item, body=item) if new else self.send("patch", item, body={"spec": item["spec"]}, merge=True)
        self.see()
        return made

    def remove_run(self, run: Object) -> None:
        self.send("delete", run)
        self.until("the run is gone", lambda: self.cluster.get_run(*key_of(run)) is None)

    def put_team(self, data: dict[str, str]) -> None:
        item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "astra-team", "namespace": self.namespace}}
        self.send("patch", item, body={"data": {"storeUrl": None, "image": None} | data}, merge=True)

    def see(self) -> None:
        self.cluster.resync([self.namespace])

    def finish(self, pod: Object) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {"exitCode": 0, "reason": "Completed", "message": MESSAGE, "startedAt": now, "finishedAt": now}
        container = {"name": "job", "image": "none", "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": ended}}
        self.send(
            "patch",
            pod,
            "status",
            {"status": {"phase": "Succeeded", "startTime": now, "containerStatuses": [container]}},
            merge=True,
        )
