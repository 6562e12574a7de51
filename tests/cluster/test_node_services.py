"""Deployments and names on the process node: what the tests of sandbox pools take for granted of a kubelet and of a cluster's DNS."""

import json
import os
import socket
import struct
from typing import Any

import pytest

from tests.cluster import node_dns
from tests.cluster.node_process import NodeProcess
from tests.cluster.node_status import listening, published
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ControlPlane

Object = dict[str, Any]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces and the port of DNS need root")
SERVER = """
import http.server, os, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if pathlib.Path("out", self.path.strip("/")).exists() else 503)
        self.end_headers()
http.server.HTTPServer((os.environ["HOST"], 8081), Handler).serve_forever()
"""
LOOKUP = "import socket; print(sorted({found[4][0] for found in socket.getaddrinfo('web.NAMESPACE.svc', 80)}))"


class Yard:
    """A namespace of the node."""

    def __init__(self, plane: ControlPlane, node: NodeProcess) -> None:
        self.plane, self.node, self.namespace = plane, node, node.namespace("yard")

    def kubectl(self, *words: str) -> str:
        """Run kubectl in the namespace."""
        return self.plane.kubectl("-n", self.namespace, *words).stdout

    def put(self, version: str, kind: str, name: str, **content: Any) -> None:
        """Make an object."""
        self.plane.apply({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": self.namespace}, **content})

    def deploy(self, name: str, box: Object, **pod: Any) -> None:
        """Make a Deployment of one pod, and a headless Service for it."""
        labels = {"app": name}
        volumes = [{"name": "out", "emptyDir": {}}]
        full = {"name": "box", "image": "any", "workingDir": "/astra", "volumeMounts": [{"name": "out", "mountPath": "/astra/out"}], **box}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [full], "volumes": volumes, **pod}}
        self.put("apps/v1", "Deployment", name, spec={"selector": {"matchLabels": labels}, "template": template})
        self.put("v1", "Service", name, spec={"clusterIP": "None", "selector": labels, "ports": [{"port": 8081}]})

    def serve(self, name: str, **box: Any) -> None:
        """Deploy a server that answers with success where there is a file of the path's name."""
        env = [{"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
        self.deploy(name, {"command": ["python", "-c", SERVER], "env": env, "ports": [{"name": "http", "containerPort": 8081}], **box})

    def pod(self, name: str) -> Object:
        """Return a Deployment's pod once it is there."""
        return wait_for(f"a pod of {name}", lambda: json.loads(self.kubectl("get", "pods", "-l", f"app={name}", "-o", "json"))["items"])[0]

    def box(self, name: str) -> Object:
        """Return what the pod's status says of its container."""
        return next(iter(self.pod(name)["status"].get("containerStatuses", [])), {"restartCount": 0, "state": {}, "lastState": {}})

    def ready(self, name: str) -> list[str]:
        """Return the ready addresses of a Service."""
        found = json.loads(self.kubectl("get", "endpointslices", "-l", f"kubernetes.io/service-name={name}", "-o", "json"))["items"]
        return node_dns.ready_addresses(found)

    def lookup(self, name: str) -> str:
        """Return what a pod finds for the name of the Service ``web``: its log."""
        code = LOOKUP.replace("NAMESPACE", self.namespace)
        box = {"name": "box", "image": "any", "workingDir": "/astra", "command": ["python", "-c", code]}
        mounts = [{"name": "key", "mountPath": "/astra/key"}]
        spec = {
            "restartPolicy": "Never",
            "containers": [box | {"volumeMounts": mounts}],
            "volumes": [{"name": "key", "secret": {"secretName": "key"}}],
        }
        self.put("v1", "Pod", name, spec=spec)
        wait_for(f"{name} has ended", lambda: self.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}") in ("Succeeded", "Failed"))
        return self.kubectl("logs", name)


def probe(path: str, **times: int) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": 1, "failureThreshold": 1} | times


@pytest.fixture(scope="module")
def yard(plane: ControlPlane, node: NodeProcess) -> Yard:
    return Yard(plane, node)


@needs_root
def test_a_service_is_its_ready_pods_and_pods_find_them_by_its_name(yard: Yard) -> None:
    yard.put("v1", "Secret", "key", stringData={"key": "word"})
    yard.serve("web", readinessProbe=probe("/ready"))
    wait_for("it runs", lambda: "running" in yard.box("web")["state"])
    assert (yard.box("web")["ready"], yard.ready("web")) == (False, [])
    assert "gaierror" in yard.lookup("early")
    file = yard.node.root(yard.pod("web")) / "out" / "ready"
    file.touch()
    addresses = wait_for("it is found", lambda: yard.ready("web"))
    address = yard.pod("web")["status"]["podIP"]
    assert addresses == [listening(address)]
    assert yard.lookup("late").strip() == str(addresses)
    file.unlink()
    wait_for("it is not found any more", lambda: not yard.ready("web"))
    assert yard.box("web")["restartCount"] == 0


def test_a_container_that_fails_its_liveness_probe_or_ends_is_started_again_and_waits_longer_each_time(yard: Yard) -> None:
    yard.serve("brief", startupProbe=probe("/", failureThreshold=60), livenessProbe=probe("/alive"))
    wait_for("it is started again", lambda: yard.box("brief")["restartCount"] == 1)
    assert yard.box("brief")["lastState"]["terminated"]["exitCode"] == 143
    yard.deploy("failing", {"command": ["sh", "-c", "exit 3"]})
    wait_for("it waits", lambda: yard.box("failing")["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff")
    found = yard.box("failing")
    assert (found["restartCount"], found["lastState"]["terminated"]["exitCode"], found["ready"]) == (2, 3, False)


def test_a_pod_whose_runtime_is_not_here_does_not_start(yard: Yard) -> None:
    yard.plane.apply({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "kata"}, "handler": "kata"})
    yard.deploy("elsewhere", {"command": ["true"]}, runtimeClassName="kata")
    state = wait_for("it waits", lambda: yard.box("elsewhere")["state"].get("waiting"))
    assert state == {"reason": "CreatePodSandboxError", "message": "no runtime for 'kata' is configured"}


def test_what_a_pod_publishes_is_found_again() -> None:
    pod = {"spec": {"containers": [{"readinessProbe": {}}]}}
    assert published(pod, "127.20.3.4") == "10.20.3.4"
    assert listening("10.20.3.4") == listening("127.20.3.4") == "127.20.3.4"
    assert published({"spec": {"containers": [{}]}}, "127.20.3.4") == "127.20.3.4"


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


@pytest.mark.parametrize(
    ("name", "kind", "code", "addresses"),
    [
        ("web.yard.svc.cluster.local", 1, 0, ["127.1.2.3", "127.4.5.6"]),
        ("web.yard.svc.cluster.local", 28, 0, []),
        ("Web.Yard.SVC.cluster.local", 1, 0, ["127.1.2.3", "127.4.5.6"]),
        ("none.yard.svc.cluster.local", 1, 3, []),
        ("web.yard.svc", 1, 3, []),
        ("example.org", 1, 3, []),
    ],
)
def test_dns_answers_for_services_and_nothing_else(name: str, kind: int, code: int, addresses: list[str]) -> None:
    def look(namespace: str, service: str) -> list[str] | None:
        return ["127.1.2.3", "127.4.5.6"] if (namespace, service) == ("yard", "web") else None

    asked = question(name, kind)
    told = node_dns.answer(asked, look)
    number, flags, questions, answers, *_ = struct.unpack_from("!6H", told)
    assert (number, flags & 0x8000, flags & 0xF, questions) == (7, 0x8000, code, 1)
    records = told[len(asked) :]
    assert [socket.inet_ntoa(records[16 * place + 12 : 16 * place + 16]) for place in range(answers)] == addresses


@pytest.mark.parametrize("asked", [b"", b"x" * 11, question("a.b")[:-5], struct.pack("!6H", 7, 0x8100, 1, 0, 0, 0) + question("a.b")[12:]])
def test_dns_does_not_answer_what_is_no_question(asked: bytes) -> None:
    with pytest.raises(ValueError, match="not a question"):
        node_dns.answer(asked, lambda *_: [])
