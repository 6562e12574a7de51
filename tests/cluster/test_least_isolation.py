"""The platform's least isolation of tool code on a real API server: what is weaker is refused, and the same passes without the label."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.charts.helm import RELEASE, render, text_of
from tests.cluster.operator_pools import Pools
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ControlPlane

Object = dict[str, Any]
SHOWN = ("--set", "leastIsolation.enabled=true", "--show-only", "templates/least-isolation.yaml")
LABEL = "astra.dev/least-isolation"


@pytest.fixture(scope="module")
def policies(plane: ControlPlane, runtime: None) -> Iterator[None]:
    """The shipped policies, and a second RuntimeClass that is weaker by their word."""
    plane.kubectl("create", "namespace", "astra-system", check=False)
    plane.apply({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "weaker"}, "handler": "runc"})
    probe = plane.namespace("probe")  # before the policies, which would refuse its settings
    plane.apply(*render(RELEASE, *SHOWN))
    plane.kubectl("label", "namespace", probe, f"{LABEL}=")
    wait_in_force(plane, probe)
    yield
    plane.kubectl("delete", "-f", "-", stdin=text_of(RELEASE, *SHOWN))


def wait_in_force(plane: ControlPlane, namespace: str) -> None:
    """Policies take effect some moments after they are made."""
    wait_for("pods are judged", lambda: refusal(plane, namespace, pod()) != "", 60, every=0.5)
    wait_for("settings are judged", lambda: refusal(plane, namespace, config({"isolation": "Process"})) != "", 60, every=0.5)


def pod(runtime_class: str | None = "weaker", **spec: Any) -> Object:
    """A pod of somebody's own making that says that it is a pool's."""
    chosen = {"runtimeClassName": runtime_class} if runtime_class else {}
    box = {"name": "sandbox", "image": "none"}
    metadata = {"name": "some", "labels": {"astra.dev/pool": "some"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [box], **chosen, **spec}}


def config(data: dict[str, str], name: str = "astra-team") -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"storeUrl": "memory://x"} | data}


def request(isolation: str) -> Object:
    text = json.dumps({"kind": "RLRun", "isolation": isolation}, indent=2, sort_keys=True)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rl-rl-1-train-0"}, "data": {"request.json": text}}


def refusal(plane: ControlPlane, namespace: str, item: Object) -> str:
    """Ask for an object by a dry run; return why it is refused, empty when it is not."""
    words = ["-n", namespace, "apply", "--server-side", "--force-conflicts", "--field-manager=asker", "--dry-run=server", "-f", "-"]
    done = plane.kubectl(*words, stdin=json.dumps(item), check=False)
    return "" if done.returncode == 0 else done.stderr.strip()


PRIVILEGED = [{"name": "sandbox", "image": "none", "securityContext": {"privileged": True}}]
WEAK = {
    "another class": (pod(), "its RuntimeClass is weaker, allowed is gvisor"),
    "no class": (pod(None), "its RuntimeClass is none, allowed is gvisor"),
    "the node's network": (pod("gvisor", hostNetwork=True), "may share no namespace with its node"),
    "privileged": (pod("gvisor", containers=PRIVILEGED), "may not be privileged"),
    "privileged at the start": (pod("gvisor", initContainers=[PRIVILEGED[0] | {"name": "init"}]), "may not be privileged"),
    "settings of a process": (config({"isolation": "Process"}), "set isolation: gVisor"),
    "settings that say nothing": (config({}), "isolation Process is less than this namespace may have"),
    "settings of another class": (config({"isolation": "gVisor", "runtimeClass": "weaker"}), "runtimeClass weaker is not one of those"),
    "settings without a policy": (config({"isolation": "gVisor", "networkPolicy": "Unenforced"}), "set networkPolicy: Enforced"),
    "a request of an older attempt": (request("Process"), "this attempt began with isolation Process"),
}
STRONG = {
    "the class": pod("gvisor"),
    "another pod": pod() | {"metadata": {"name": "some", "labels": {}}},
    "settings": config({"isolation": "gVisor", "runtimeClass": "gvisor", "networkPolicy": "Enforced"}),
    "settings by default": config({"isolation": "gVisor"}),
    "another ConfigMap": config({"isolation": "Process"}, "other"),
    "a request": request("gVisor"),
}


@pytest.fixture(scope="module")
def namespaces(plane: ControlPlane, policies: None) -> tuple[str, str]:
    """One namespace with the label and one without; the team's settings are left to the tests."""
    found = plane.namespace("least"), plane.namespace("free")
    for name in found:
        plane.kubectl("-n", name, "delete", "configmap", "astra-team")
    plane.kubectl("label", "namespace", found[0], f"{LABEL}=")
    return found


@pytest.mark.parametrize("name", WEAK)
def test_what_is_weaker_is_refused_and_passes_where_there_is_no_label(plane: ControlPlane, namespaces: tuple[str, str], name: str) -> None:
    labelled, free = namespaces
    item, words = WEAK[name]
    assert words in refusal(plane, labelled, item)
    assert refusal(plane, free, item) == ""


@pytest.mark.parametrize("name", STRONG)
def test_what_is_strong_enough_passes(plane: ControlPlane, namespaces: tuple[str, str], name: str) -> None:
    assert refusal(plane, namespaces[0], STRONG[name]) == ""


def test_whoever_edits_settings_that_are_there_may_not_weaken_them(plane: ControlPlane, policies: None) -> None:
    namespace = plane.namespace("edits", {})
    plane.kubectl("-n", namespace, "patch", "configmap", "astra-team", "--type=merge", "-p", '{"data":{"isolation":"gVisor"}}')
    plane.kubectl("label", "namespace", namespace, f"{LABEL}=")
    patch = ["-n", namespace, "patch", "configmap", "astra-team", "--type=merge", "-p", '{"data":{"isolation":"Process"}}']
    assert "set isolation: gVisor" in plane.kubectl(*patch, check=False).stderr
    plane.kubectl("label", "namespace", namespace, f"{LABEL}-")
    plane.kubectl(*patch)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"isolation": "gVisor", "runtimeClass": "weaker"}, "its RuntimeClass is weaker, allowed is gvisor"),
        ({"isolation": "Process"}, "this attempt began with isolation Process"),
    ],
    ids=["a weaker class", "a process"],
)
def test_a_run_that_asks_for_less_is_refused_in_one_line(
    plane: ControlPlane, policies: None, tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    team = Pools(plane, **settings)  # before the label, as a team that was there first
    plane.kubectl("label", "namespace", team.namespace, f"{LABEL}=")
    team.put("EnvSynthesis", "envs")
    with OperatorProcess(team.identity(), [team.namespace], tmp_path):
        line = team.until("Stalled", "True", "Refused")
        assert words in line
        assert "\n" not in line
        assert team.objects("pods") == []
        assert team.jobs() == []
        if settings["isolation"] == "gVisor":
            assert team.condition("ServicesReady")[:2] == ("False", "Refused")
