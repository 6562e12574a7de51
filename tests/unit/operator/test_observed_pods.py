"""Pods as Kubernetes shows them → facts."""

from typing import Any

import pytest

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import digest_of
from astra_jobs.api.result import JobResult
from astra_operator.observed import Observation, observe
from astra_operator.pods import PodFact, read_pod, succeeded

Object = dict[str, Any]
RESULT = JobResult(outcome="Succeeded", artifact=Artifact(uri="file:///a", digest=digest_of(1)))


PROXY: Object = {"name": "istio-proxy", "state": {"running": {"startedAt": "2030-01-01T00:00:00Z"}}}


def pod(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **status: Any) -> Object:
    return {"kind": "Pod", "metadata": {"name": "p", "labels": labels or {}, "annotations": annotations or {}}, "status": status}


def ended(code: int, message: str = "", **more: Any) -> list[Object]:
    return [
        {
            "name": "job",
            "state": {
                "terminated": {
                    "exitCode": code,
                    "message": message,
                    "startedAt": "2030-01-01T00:00:00Z",
                    "finishedAt": "2030-01-01T00:01:00Z",
                }
                | more
            },
        }
    ]


def pulling(reason: str) -> list[Object]:
    return [{"name": "job", "state": {"waiting": {"reason": reason, "message": "no"}}}]


def unscheduled(message: str) -> list[Object]:
    return [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]


CASES: list[tuple[str, Object, dict[str, Any]]] = [
    ("new", pod(), {"phase": "Pending", "alive": True, "waiting": "", "started": None}),
    ("unschedulable", pod(phase="Pending", conditions=unscheduled("0/3 nodes")), {"waiting": "WaitingForCapacity: 0/3 nodes"}),
    ("image", pod(phase="Pending", containerStatuses=pulling("ErrImagePull")), {"waiting": "ImageUnavailable: ErrImagePull no"}),
    ("creating", pod(phase="Pending", containerStatuses=pulling("ContainerCreating")), {"waiting": ""}),
    (
        "memory",
        pod(phase="Failed", containerStatuses=ended(137, reason="OOMKilled")),
        {"out_of_memory": True, "lost": False, "exit_code": 137},
    ),
    ("signal", pod(phase="Failed", containerStatuses=ended(139)), {"exit_code": 139, "lost": False, "out_of_memory": False}),
    ("evicted", pod(phase="Failed", reason="Evicted"), {"lost": True, "exit_code": None, "alive": False}),
    ("node lost", pod(phase="Failed", reason="NodeLost"), {"lost": True}),
    (
        "disrupted",
        pod(phase="Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}], containerStatuses=ended(143)),
        {"lost": True},
    ),
    (
        "text, no result",
        pod(phase="Failed", containerStatuses=ended(1, "Traceback\nKeyError: 'x'\n")),
        {"result": None, "message": "Traceback | KeyError: 'x'"},
    ),
    ("torn result", pod(phase="Failed", containerStatuses=ended(1, '{"outcome": "Fai')), {"result": None}),
    (
        "good",
        pod(phase="Succeeded", containerStatuses=ended(0, RESULT.encode().decode())),
        {"result": RESULT, "exit_code": 0, "alive": False},
    ),
    (
        "log",
        pod(annotations={"astra.dev/last-lines": "a\nlast words\n\n"}, phase="Failed", containerStatuses=ended(1)),
        {"message": "a | last words"},
    ),
    (
        "proxy before it",
        pod(phase="Running", containerStatuses=[PROXY, *ended(0, RESULT.encode().decode())]),
        {"phase": "Succeeded", "result": RESULT, "held_by": "istio-proxy", "alive": False},
    ),
    (
        "proxy after it, failed",
        pod(phase="Failed", containerStatuses=[*ended(0, RESULT.encode().decode()), PROXY | {"state": {"terminated": {"exitCode": 1}}}]),
        {"phase": "Succeeded", "result": RESULT, "held_by": "", "lost": False},
    ),
    ("proxy alone is shown", pod(phase="Running", containerStatuses=[PROXY]), {"phase": "Running", "exit_code": None}),
    (
        "proxy runs, its own is pulled",
        pod(phase="Running", containerStatuses=[PROXY, *pulling("ErrImagePull")]),
        {"phase": "Pending", "waiting": "ImageUnavailable: ErrImagePull no"},
    ),
    (
        "proxy of a training",
        pod(phase="Running", containerStatuses=[PROXY, ended(1)[0] | {"name": "pytorch"}]),
        {"phase": "Failed", "exit_code": 1, "own_exit": 1},
    ),
    (
        "init container failed",
        pod(phase="Failed", initContainerStatuses=[ended(78)[0] | {"name": "init"}]),
        {"exit_code": 78, "own_exit": None, "culprit": "init", "lost": False, "result": None},
    ),
    (
        "node silent",
        pod(phase="Running", conditions=[{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "True"}]),
        {"silent": True, "alive": True},
    ),
    (
        "a readiness gate of somebody's load balancer",
        pod(
            phase="Running",
            conditions=[
                {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady"},
                {"type": "ContainersReady", "status": "True"},
            ],
        ),
        {"silent": False},
    ),
    ("phase unknown", pod(phase="Unknown"), {"phase": "Running", "silent": True}),
    ("shard", pod({"batch.kubernetes.io/job-completion-index": "7"}), {"index": 7}),
    ("shard by annotation", pod(annotations={"batch.kubernetes.io/job-completion-index": "7"}), {"index": 7}),
    ("master", pod({"training.kubeflow.org/replica-type": "master", "training.kubeflow.org/replica-index": "0"}), {"index": 0}),
    ("worker", pod({"training.kubeflow.org/replica-type": "worker", "training.kubeflow.org/replica-index": "2"}), {"index": 3}),
]


@pytest.mark.parametrize(("item", "facts"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_pod_is_read(item: Object, facts: dict[str, Any]) -> None:
    fact = read_pod(item)
    assert {name: getattr(fact, name) for name in facts} == facts


def test_only_a_committed_artifact_is_success() -> None:
    good = read_pod(pod(phase="Succeeded", containerStatuses=ended(0, RESULT.encode().decode())))
    without = JobResult(outcome="Succeeded")
    empty = read_pod(pod(phase="Succeeded", containerStatuses=ended(0, without.encode().decode())))
    assert succeeded(good)
    assert not succeeded(empty)
    assert not succeeded(PodFact("p", 0, "Succeeded"))


def test_nothing_is_no_attempt_and_what_has_no_attempt_is_stale() -> None:
    assert observe([]) == Observation(None, (), ())
    left = pod({"astra.dev/attempt": "1"})
    assert observe([left]).stale == (left,)
