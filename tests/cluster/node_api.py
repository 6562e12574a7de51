"""The node's calls to the API server, plain JSON both ways. Errors are kubernetes' ApiException or urllib3's HTTPError."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from astra_operator.clusters.base import Object

LOST_CONNECTION = (ApiException, urllib3.exceptions.HTTPError, ConnectionError)
_MERGE, _STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
_WATCH_SECONDS = 300
_RESOURCES = {"ConfigMap": "configmaps", "Secret": "secrets", "Pod": "pods", "Service": "services"}


class NodeApi:
    """What a kubelet asks of an API server."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = config.new_client_from_config(str(kubeconfig))
        self._client.user_agent = "astra-process-node"

    def call(self, verb: str, path: str, *, body: Any = None, kind: str = "application/json", query: Any = (), seconds: float = 10) -> Any:
        """Send one request and return the open response."""
        headers = {"Accept": "application/json", "Content-Type": kind, "User-Agent": "astra-process-node"}
        return self._client.call_api(
            path, verb, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"],
            _preload_content=False, _return_http_data_only=True, _request_timeout=(5, seconds),
        )  # fmt: skip

    def send(self, verb: str, path: str, *, body: Any = None, kind: str = "application/json", query: Any = ()) -> Any:
        """Send one request and return the answer, read to its end: a connection that was not is of no use to the next request."""
        return json.loads(self.call(verb, path, body=body, kind=kind, query=query).data)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return a ConfigMap, Secret, Pod or Service, or None."""
        try:
            return self.send("GET", f"/api/v1/namespaces/{namespace}/{_RESOURCES[kind]}/{name}")
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def handler(self, runtime: str) -> str | None:
        """Return the handler of a RuntimeClass, None when there is no such class."""
        try:
            return str(self.send("GET", f"/apis/node.k8s.io/v1/runtimeclasses/{runtime}")["handler"])
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def endpoint_slices(self, namespace: str, service: str) -> list[Object]:
        """Return what a Service's name stands for."""
        query = [("labelSelector", f"kubernetes.io/service-name={service}")]
        found: list[Object] = self.send("GET", f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", query=query)["items"]
        return found

    def selected(self, namespace: str, labels: dict[str, str]) -> list[Object]:
        """Return the pods that bear all of some labels; none when there are no labels."""
        query = [("labelSelector", ",".join(f"{key}={value}" for key, value in labels.items()))]
        found: list[Object] = self.send("GET", f"/api/v1/namespaces/{namespace}/pods", query=query)["items"] if labels else []
        return found

    def write_status(self, pod: Object, status: dict[str, Any]) -> None:
        """Merge into a pod's status; a pod that is gone, or another by now, is no error."""
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        self._unless_gone("PATCH", f"{_path(pod)}/status", body, _STRATEGIC)

    def remove(self, pod: Object) -> None:
        """Say that nothing of a deleted pod runs any more: the object goes as soon as its finalizers allow."""
        body = client.V1DeleteOptions(grace_period_seconds=0, preconditions=client.V1Preconditions(uid=pod["metadata"]["uid"]))
        self._unless_gone("DELETE", _path(pod), self._client.sanitize_for_serialization(body), "application/json")

    def _unless_gone(self, verb: str, path: str, body: Any, kind: str) -> None:
        try:
            self.send(verb, path, body=body, kind=kind)
        except ApiException as error:
            if error.status not in (404, 409):
                raise

    def register(self, node: Object) -> None:
        """Make the Node exist with this status."""
        name = node["metadata"]["name"]
        try:
            self.send("POST", "/api/v1/nodes", body=node)
        except ApiException as error:
            if error.status != 409:
                raise
        self.send("PATCH", f"/api/v1/nodes/{name}/status", body={"status": node["status"]}, kind=_STRATEGIC)

    def beat(self, name: str) -> None:
        """Renew the node's Lease, by which the node controller knows that it lives."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lease = {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now},
        }  # fmt: skip
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        try:
            self.send("PATCH", f"{path}/{name}", body=lease, kind=_MERGE)
        except ApiException as error:
            if error.status != 404:
                raise
            self.send("POST", path, body=lease)

    def pods(self, node: str) -> tuple[list[Object], str]:
        """Return the pods that are bound to a node, and the version of the list."""
        found = self.send("GET", "/api/v1/pods", query=[("fieldSelector", f"spec.nodeName={node}")])
        return found["items"], found["metadata"]["resourceVersion"]

    def changes(self, node: str, version: str) -> Iterator[tuple[str, Object]]:
        """Yield what happens to the node's pods after ``version``, until the API server ends the watch."""
        query = [("fieldSelector", f"spec.nodeName={node}"), ("watch", "true"), ("resourceVersion", version)]
        query += [("timeoutSeconds", str(_WATCH_SECONDS))]
        response = self.call("GET", "/api/v1/pods", query=query, seconds=_WATCH_SECONDS + 10)
        rest = b""
        try:
            for piece in response.stream(65536, decode_content=True):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]
        finally:
            response.close()
            response.release_conn()


class Pods:
    """The pods of one node as the API server last told them, kept fresh by a thread of its own."""

    def __init__(self, api: NodeApi, node: str, changed: Callable[[], None]) -> None:
        self._api, self._node, self._changed = api, node, changed
        self._lock = threading.Lock()
        self._items: dict[str, Object] | None = None
        threading.Thread(target=self._follow, name="pods", daemon=True).start()

    def now(self) -> dict[str, Object] | None:
        """Return the pods by UID, or None before the first list has come."""
        with self._lock:
            return None if self._items is None else dict(self._items)

    def named(self, namespace: str, name: str) -> Object | None:
        """Return the pod of that name."""
        wanted = (namespace, name)
        return next((pod for pod in (self.now() or {}).values() if (pod["metadata"]["namespace"], pod["metadata"]["name"]) == wanted), None)

    def _follow(self) -> None:
        pause = threading.Event()
        while True:
            try:
                items, version = self._api.pods(self._node)
                with self._lock:
                    self._items = {pod["metadata"]["uid"]: pod | {"kind": "Pod"} for pod in items}
                self._changed()
                for what, pod in self._api.changes(self._node, version):
                    if what == "ERROR":
                        break
                    self._take(what, pod)
                    self._changed()
            except LOST_CONNECTION as error:
                print(f"watch: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
            pause.wait(0.5)

    def _take(self, what: str, pod: Object) -> None:
        with self._lock:
            assert self._items is not None
            if what == "DELETED":
                self._items.pop(pod["metadata"]["uid"], None)
            else:
                self._items[pod["metadata"]["uid"]] = pod


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
