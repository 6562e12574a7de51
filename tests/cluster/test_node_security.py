"""The kubelet's rule for containers that may not be root, on the process node: a table, and a pod of a real API server under it."""

import json
from typing import Any

import pytest

from tests.cluster.node_images import user_of
from tests.cluster.node_process import NodeProcess
from tests.cluster.node_security import refused
from tests.cluster.plane.access import wait_for

ROOT = "container has runAsNonRoot and image will run as root"
ZERO = "container's runAsUser breaks non-root policy"
NAMED = "container has runAsNonRoot and image has non-numeric user (worker), cannot verify user is non-root"
SAFE = {"runAsNonRoot": True}
MINE, ALPINE, NAME = "registry.example:5000/team/astra-jobs:1", "docker.io/library/alpine@sha256:1", "by-name"


@pytest.mark.parametrize(
    ("pod", "box", "image", "said"),
    [
        ({}, {}, ALPINE, ""),
        (SAFE, {}, ALPINE, ROOT),
        (SAFE, {}, "unknown:1", ROOT),
        (SAFE, {}, MINE, ""),
        (SAFE, {}, NAME, NAMED),
        (SAFE | {"runAsUser": 65532}, {}, ALPINE, ""),
        (SAFE | {"runAsUser": 65532}, {}, NAME, ""),
        (SAFE | {"runAsUser": 0}, {}, MINE, ZERO),
        (SAFE | {"runAsUser": 65532}, {"runAsUser": 0}, MINE, ZERO),
        (SAFE | {"runAsUser": 0}, {"runAsUser": 1}, ALPINE, ""),
        (SAFE, {"runAsNonRoot": False}, ALPINE, ""),
        ({"runAsNonRoot": False}, SAFE, ALPINE, ROOT),
    ],
)
def test_the_rule(pod: dict[str, Any], box: dict[str, Any], image: str, said: str) -> None:
    whole = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"securityContext": pod}}
    where = ' (pod: "p_n(u)", container: init)'
    assert refused(whole, {"name": "init", "image": image, "securityContext": box}) == (said and said + where)


def test_an_images_user_is_found_by_its_last_name() -> None:
    assert [user_of(image).number for image in (MINE, ALPINE, "astra-sandbox", "alpine-other:1")] == [65532, 0, 65532, 0]


def pod(node: NodeProcess, namespace: str, name: str, context: dict[str, Any], *inits: dict[str, Any]) -> None:
    main = {"name": "job", "image": "astra-jobs:test", "workingDir": "/astra", "command": ["sh", "-c", "echo main"]}
    spec = {"restartPolicy": "Never", "securityContext": context, "initContainers": list(inits), "containers": [main]}
    node.plane.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec})


def status(node: NodeProcess, namespace: str, name: str) -> dict[str, Any]:
    return json.loads(node.plane.kubectl("-n", namespace, "get", "pod", name, "-o", "json").stdout)["status"]


def ended(node: NodeProcess, namespace: str, name: str, phase: str) -> None:
    try:
        wait_for(f"{name} has {phase}", lambda: status(node, namespace, name)["phase"] == phase, 90)
    except AssertionError as error:
        raise AssertionError(f"{error}: {json.dumps(status(node, namespace, name))}\n{node.log()[-2000:]}") from None


def init(script: str, name: str = "init") -> dict[str, Any]:
    return {"name": name, "image": "alpine:3.10", "command": ["sh", "-c", script]}


def test_init_containers_run_in_order_under_the_rule(node: NodeProcess) -> None:
    space = node.namespace("inits")
    user = SAFE | {"runAsUser": 65532}
    pod(node, space, "good", user, init("true", "one"), init("nslookup nowhere || exit 0; exit 9", "two"))
    pod(node, space, "bad", user, init("echo why; exit 3"))
    pod(node, space, "root", SAFE, init("true"))
    for name, phase in (("good", "Succeeded"), ("bad", "Failed")):
        ended(node, space, name, phase)
    good, bad = status(node, space, "good"), status(node, space, "bad")
    assert [item["state"]["terminated"]["exitCode"] for item in good["initContainerStatuses"]] == [0, 0]
    (last,) = bad["initContainerStatuses"]
    assert (last["state"]["terminated"]["exitCode"], last["state"]["terminated"]["message"]) == (3, "why")
    assert "waiting" in bad["containerStatuses"][0]["state"], "its own container never began"

    def refusal() -> str:
        (found,) = status(node, space, "root").get("initContainerStatuses", [{}])
        return found.get("state", {}).get("waiting", {}).get("message", "")

    assert wait_for("the refusal", refusal, 90).startswith(ROOT)
    assert status(node, space, "root")["phase"] == "Pending"
    node.plane.kubectl("-n", space, "delete", "pod", "--all", "--timeout=90s")
