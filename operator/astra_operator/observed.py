"""Objects → facts. Everything that is decided is decided from these; nothing is remembered between two passes.

A launch is one start of one stage's workload. Its request ConfigMap is made right before the workload and outlives it, so a request
without a workload means that the workload vanished, which is another fact than one that failed.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import Model
from astra_jobs.api.request import StageRequest
from astra_jobs.api.result import JobResult
from astra_operator.clusters.base import WORKLOADS, Object, parse_time
from astra_operator.desired import naming
from astra_operator.frozen import Frozen

Cause = Literal["Suspended", "Vanished", "Lost", "Preempted", "Failed", "BadInput", "OutOfMemory", "Stuck", "Deadline"]
PodPhase = Literal["Pending", "Running", "Succeeded", "Failed"]
_INDEX = "batch.kubernetes.io/job-completion-index"
_DISRUPTED = ("Evicted", "Preempted", "NodeLost", "NodeShutdown", "Terminated", "DisruptionTarget", "Shutdown")
_IMAGE = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError")


class End(Model):
    """Why a launch was ended, kept on its request: the decision is durable before anything is deleted."""

    cause: Cause
    reason: str
    message: str = ""
    counted: bool = Field(default=False, description="uses up one of limits.maxRestarts")
    checkpoint: int | None = None
    seconds: float = Field(default=0.0, description="time that the launch's pods ran")
    time: str


@dataclass(frozen=True)
class PodFact:
    """One pod. ``result`` is None when the pod has not ended or left none; ``lost`` means that no exit code will ever be known."""

    name: str
    index: int
    phase: PodPhase
    ending: bool = False
    exit_code: int | None = None
    out_of_memory: bool = False
    lost: bool = False
    result: JobResult | None = None
    waiting: str = ""
    message: str = ""
    started: datetime | None = None
    finished: datetime | None = None

    @property
    def alive(self) -> bool:
        """Tell if the pod holds, or may still get, a process."""
        return self.phase in ("Pending", "Running")


@dataclass(frozen=True)
class Launch:
    """One start of a stage. ``workload`` is False when the object is gone; ``failed`` when the cluster gave it up.

    ``objects`` are the workload and the pods themselves, ``config`` the request's ConfigMap, for whoever has to ask or change them.
    """

    name: str
    stage: str
    restart: int
    request: StageRequest
    end: End | None
    workload: bool
    failed: bool
    complete: bool
    pods: tuple[PodFact, ...]
    objects: tuple[Object, ...]
    config: Object

    @property
    def artifacts(self) -> tuple[Artifact, ...] | None:
        """Return one artifact a shard when every shard has succeeded, else None."""
        found = {pod.index: pod.result.artifact for pod in self.pods if succeeded(pod) and pod.result}
        listed = [found.get(shard) for shard in range(self.request.shards)]
        return tuple(item for item in listed if item) if all(listed) else None

    @property
    def made(self) -> datetime:
        """Return when the launch's request was made."""
        return parse_time(self.config["metadata"]["creationTimestamp"])

    @property
    def leftovers(self) -> bool:
        """Tell if anything of the launch but its request still exists."""
        return self.workload or bool(self.pods)

    def seconds(self, now: datetime) -> float:
        """Return how long its pods have run: from the first start to the last end, or to now while one is alive."""
        if self.end is not None:
            return self.end.seconds
        starts = [pod.started for pod in self.pods if pod.started]
        if not starts:
            return 0.0
        ends = [now if pod.alive else pod.finished or pod.started or now for pod in self.pods]
        return max(0.0, (max(ends) - min(starts)).total_seconds())


@dataclass(frozen=True)
class Observation:
    """What exists of a run. ``stale`` are objects of earlier attempts and of ended launches' workloads, to be removed."""

    frozen: Frozen | None
    launches: tuple[Launch, ...]
    stale: tuple[Object, ...]
    newest_attempt: int = 0

    def of_stage(self, stage: str) -> list[Launch]:
        """Return a stage's launches, oldest first."""
        return [launch for launch in self.launches if launch.stage == stage]


def observe(children: Iterable[Object]) -> Observation:
    """Read the children of one run."""
    children = sorted(children, key=lambda item: (item["kind"], item["metadata"]["name"]))
    attempts = {
        number_of(item, naming.LABEL_ATTEMPT): item for item in children if item["kind"] == "ConfigMap" and "attempt.json" in item["data"]
    }
    if not attempts:
        return Observation(None, (), tuple(children))
    newest = max(attempts)
    frozen = Frozen.model_validate_json(attempts[newest]["data"]["attempt.json"])
    current = [item for item in children if number_of(item, naming.LABEL_ATTEMPT) == newest and item is not attempts[newest]]
    requests = [item for item in current if item["kind"] == "ConfigMap"]
    launches = tuple(sorted((_launch(item, current) for item in requests), key=lambda launch: (launch.stage, launch.restart)))
    last = {launch.stage: launch.restart for launch in launches}
    stale = [item for item in children if number_of(item, naming.LABEL_ATTEMPT) != newest]
    stale += [
        item
        for item in current
        if item["kind"] != "ConfigMap" and last.get(_label(item, naming.LABEL_STAGE), -1) != number_of(item, naming.LABEL_RESTART)
    ]
    return Observation(frozen, launches, tuple(stale), newest)


def number_of(item: Object, label: str) -> int:
    """Return a numeric label, -1 when it is not there."""
    text = _label(item, label)
    return int(text) if text.isdigit() else -1


def succeeded(pod: PodFact) -> bool:
    """Tell if a pod ended well and left an artifact."""
    return pod.phase == "Succeeded" and pod.result is not None and pod.result.outcome == "Succeeded" and pod.result.artifact is not None


def read_pod(pod: Object) -> PodFact:
    """Read one pod's status."""
    metadata, status = pod["metadata"], pod.get("status", {})
    containers: list[dict[str, Any]] = status.get("containerStatuses") or [{}]
    state: dict[str, Any] = containers[0].get("state") or {}
    ended: dict[str, Any] | None = state.get("terminated")
    waiting: dict[str, Any] = state.get("waiting") or {}
    phase: PodPhase = status.get("phase", "Pending")
    disrupted = status.get("reason") in _DISRUPTED or _has_condition(status, "DisruptionTarget", "True")
    started = (
        (ended or {}).get("startedAt")
        or state.get("running", {}).get("startedAt")
        or (status.get("startTime") if phase != "Pending" else None)
    )
    result = _result((ended or {}).get("message", ""))
    return PodFact(
        name=metadata["name"],
        index=_pod_index(pod),
        phase=phase,
        ending="deletionTimestamp" in metadata,
        exit_code=ended["exitCode"] if ended else None,
        out_of_memory=(ended or {}).get("reason") == "OOMKilled",
        lost=phase == "Failed" and (disrupted or ended is None),
        result=result,
        waiting=_waiting(status, waiting) if phase == "Pending" else "",
        message=_last_line(
            metadata.get("annotations", {}).get(naming.LOG_ANNOTATION, "") or ("" if result else (ended or {}).get("message", ""))
        ),
        started=parse_time(started) if started else None,
        finished=parse_time(ended["finishedAt"]) if ended and ended.get("finishedAt") else None,
    )


def _launch(request: Object, current: list[Object]) -> Launch:
    stage, restart = _label(request, naming.LABEL_STAGE), number_of(request, naming.LABEL_RESTART)
    own = [item for item in current if _label(item, naming.LABEL_STAGE) == stage and number_of(item, naming.LABEL_RESTART) == restart]
    workload = next((item for item in own if item["kind"] in WORKLOADS), None)
    end = request["metadata"].get("annotations", {}).get(naming.END_ANNOTATION)
    return Launch(
        name=request["metadata"]["name"],
        stage=stage,
        restart=restart,
        request=StageRequest.model_validate_json(request["data"]["request.json"]),
        end=End.model_validate_json(end) if end else None,
        workload=workload is not None,
        failed=workload is not None and _has_condition(workload.get("status", {}), "Failed", "True"),
        complete=workload is not None
        and any(_has_condition(workload.get("status", {}), kind, "True") for kind in ("Complete", "Succeeded")),
        pods=tuple(read_pod(item) for item in own if item["kind"] == "Pod"),
        objects=tuple(item for item in own if item["kind"] != "ConfigMap"),
        config=request,
    )


def _label(item: Object, label: str) -> str:
    return str(item["metadata"].get("labels", {}).get(label, ""))


def _pod_index(pod: Object) -> int:
    """Return the completion index of a Job's pod, or the rank of a PyTorchJob's (the master is rank 0)."""
    labels = pod["metadata"].get("labels", {}) | pod["metadata"].get("annotations", {})
    if labels.get("training.kubeflow.org/replica-type") == "worker":
        return int(labels["training.kubeflow.org/replica-index"]) + 1
    return int(labels.get(_INDEX, 0))


def _has_condition(status: dict[str, Any], kind: str, value: str) -> bool:
    return any(item.get("type") == kind and item.get("status") == value for item in status.get("conditions", []))


def _result(text: str) -> JobResult | None:
    try:
        return JobResult.model_validate_json(text) if text.startswith("{") else None
    except ValidationError:
        return None


def _waiting(status: dict[str, Any], waiting: dict[str, Any]) -> str:
    """Return 'Reason: message' of what keeps a pending pod from starting, with ImageUnavailable for everything about images."""
    if waiting.get("reason") in _IMAGE:
        return f"ImageUnavailable: {waiting['reason']} {waiting.get('message', '')}".strip()
    for item in status.get("conditions", []):
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            return f"WaitingForCapacity: {item.get('message') or item.get('reason', '')}"
    return ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def encode_end(end: End) -> str:
    """Write an end for the annotation."""
    return json.dumps(end.to_dict(), sort_keys=True)
