"""Plain Jobs on the process node: what the end-to-end tests take for granted of a kubelet."""

import json
import signal
from typing import Any

import pytest

from tests.cluster.node_process import NodeProcess
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ControlPlane
from tests.patience import patience


class Box:
    """A namespace of the node, and Jobs of one shell command in it."""

    def __init__(self, plane: ControlPlane, node: NodeProcess) -> None:
        self.plane, self.node, self.namespace = plane, node, node.namespace("box")

    def run(self, name: str, command: str, *, pod: dict[str, Any] | None = None, **container: Any) -> None:
        """Make a Job."""
        box = {"name": "box", "image": "any", "workingDir": "/astra", "command": ["sh", "-c", command], **container}
        template = {"spec": {"restartPolicy": "Never", "containers": [box], **(pod or {})}}
        spec = {"backoffLimit": 0, "template": template}
        self.plane.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": self.namespace}, "spec": spec})

    def kubectl(self, *words: str, **options: Any) -> str:
        """Run kubectl in the namespace."""
        return self.plane.kubectl("-n", self.namespace, *words, **options).stdout

    def pod(self, name: str) -> dict[str, Any]:
        """Return the pod of a Job once it is there."""
        found = wait_for(
            f"a pod of {name}", lambda: json.loads(self.kubectl("get", "pods", "-l", f"job-name={name}", "-o", "json"))["items"]
        )
        return found[0]

    def state(self, name: str, wanted: str) -> dict[str, Any]:
        """Return the container's state of that kind (waiting, running, terminated) once it has it."""

        def look() -> dict[str, Any] | None:
            boxes = self.pod(name)["status"].get("containerStatuses", [])
            return boxes[0]["state"].get(wanted) if boxes else None

        return wait_for(f"{name} is {wanted}", look)

    def ended(self, name: str, condition: str) -> None:
        """Wait for a Job's end."""
        self.kubectl("wait", f"--for=condition={condition}", f"job/{name}", f"--timeout={patience():.0f}s")

    def gone(self, name: str) -> bool:
        """Tell if no pod of a Job is left."""
        return not json.loads(self.kubectl("get", "pods", "-l", f"job-name={name}", "-o", "json"))["items"]


@pytest.fixture(scope="module")
def box(plane: ControlPlane, node: NodeProcess) -> Box:
    return Box(plane, node)


def test_a_pod_reads_config_and_secrets_and_leaves_its_result(box: Box) -> None:
    marks = {"metadata": {"name": "c", "namespace": box.namespace}}
    box.plane.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", **marks, "data": {"x": "hello"}},
        {"apiVersion": "v1", "kind": "Secret", **marks, "stringData": {"WORD": "whisper"}},
    )
    box.run(
        "good",
        'echo "$(cat in/x) $WORD $ONE $ADDRESS"; echo result > result.json',
        pod={"volumes": [{"name": "in", "configMap": {"name": "c"}}]},
        volumeMounts=[{"name": "in", "mountPath": "/astra/in"}],
        envFrom=[{"secretRef": {"name": "c"}}],
        env=[
            {"name": "ONE", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "x"}}},
            {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        terminationMessagePath="/astra/result.json",
    )
    box.ended("good", "Complete")
    pod = box.pod("good")
    assert box.kubectl("logs", "job/good") == f"hello whisper hello {pod['status']['podIP']}\n"
    assert box.state("good", "terminated")["message"] == "result\n"


def test_a_failure_has_its_exit_code_and_last_words(box: Box) -> None:
    box.run("bad", "echo first; echo last words >&2; exit 7", terminationMessagePolicy="FallbackToLogsOnError")
    box.ended("bad", "Failed")
    ended = box.state("bad", "terminated")
    assert (ended["exitCode"], ended["reason"], ended["message"].splitlines()) == (7, "Error", ["first", "last words"])
    assert box.kubectl("logs", "job/bad", "--tail=1") == "last words\n"


def test_a_missing_secret_or_image_is_waited_for(box: Box) -> None:
    box.run("keyless", "true", envFrom=[{"secretRef": {"name": "later"}}])
    box.run("imageless", "true", image="astra-jobs:missing")
    assert box.state("keyless", "waiting") == {"reason": "CreateContainerConfigError", "message": 'secret "later" not found'}
    assert box.state("imageless", "waiting")["reason"] == "ImagePullBackOff"
    box.plane.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "later", "namespace": box.namespace}})
    box.ended("keyless", "Complete")


def test_a_deleted_pod_gets_sigterm_and_its_object_goes_when_the_process_has(box: Box) -> None:
    box.run("polite", "trap 'cat hold; exit 85' TERM; mkfifo hold; echo ready; while :; do sleep 0.1; done")
    box.state("polite", "running")
    pod = box.pod("polite")
    wait_for("it is ready", lambda: "ready" in box.kubectl("logs", "job/polite"))
    box.kubectl("delete", "job", "polite", "--wait=false")
    wait_for("the pod is told", lambda: "deletionTimestamp" in box.pod("polite")["metadata"])
    assert box.node.kubelet.running(pod["metadata"]["uid"])
    (box.node.root(pod) / "hold").write_text("bye\n")
    wait_for("the pod is gone", lambda: box.gone("polite"))
    assert not box.node.kubelet.running(pod["metadata"]["uid"])


def test_a_pod_that_does_not_listen_is_killed_after_its_grace(box: Box) -> None:
    box.run("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.1; done", pod={"terminationGracePeriodSeconds": 2})
    box.state("stubborn", "running")
    wait_for("it is ready", lambda: "ready" in box.kubectl("logs", "job/stubborn"))
    pid = box.node.job_process(box.pod("stubborn"))
    box.kubectl("delete", "job", "stubborn", "--cascade=foreground", f"--timeout={patience():.0f}s")
    assert pid not in box.node.processes()


def test_a_node_killed_and_started_again_finds_pods_and_exit_codes(box: Box) -> None:
    box.run("running", "mkfifo go; cat go; exit 3")
    box.run("ending", "mkfifo go; cat go; exit 4")
    for name in ("running", "ending"):
        box.state(name, "running")
    pods = {name: box.pod(name) for name in ("running", "ending")}
    for pod in pods.values():
        wait_for("it waits for a word", lambda pod=pod: (box.node.root(pod) / "go").exists())
    box.node.kill()
    (box.node.root(pods["ending"]) / "go").write_text("")
    wait_for("it ended without a node", lambda: not box.node.kubelet.running(pods["ending"]["metadata"]["uid"]))
    box.node.start()
    assert box.state("ending", "terminated")["exitCode"] == 4
    assert "running" in box.pod("running")["status"]["containerStatuses"][0]["state"]
    (box.node.root(pods["running"]) / "go").write_text("")
    assert box.state("running", "terminated")["exitCode"] == 3


def test_a_process_killed_shows_the_signal_and_one_that_vanished_with_its_node_is_lost(box: Box) -> None:
    for name in ("shot", "vanished"):
        box.run(name, "exec sleep 1000")
        box.state(name, "running")
    box.node.signal(box.pod("shot"), signal.SIGKILL)
    assert box.state("shot", "terminated")["exitCode"] == 137
    box.node.kill()
    box.node.lose(box.pod("vanished"))
    box.node.start()
    assert box.state("vanished", "terminated")["reason"] == "ContainerStatusUnknown"
    assert box.pod("vanished")["status"]["reason"] == "NodeLost"


def test_following_a_log_ends_with_the_pod(box: Box) -> None:
    box.run("talker", "for i in 1 2 3 4 5; do echo line $i; sleep 1; done")
    box.state("talker", "running")
    assert box.kubectl("logs", "-f", "job/talker").splitlines() == [f"line {i}" for i in range(1, 6)]
