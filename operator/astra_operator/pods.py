"""Pods as a cluster shows them → facts: how one ended, what its end was about, what keeps it from starting. Pure.

It knows nothing of launches and decides nothing; what a pod's end is worth is for ``restarts`` to say.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from astra_jobs.api.result import JobResult
from astra_operator.clusters.base import Object, parse_time
from astra_operator.desired import naming

PodPhase = Literal["Pending", "Running", "Succeeded", "Failed"]
INDEX = "batch.kubernetes.io/job-completion-index"
REPLICA_TYPE, REPLICA_INDEX = "training.kubeflow.org/replica-type", "training.kubeflow.org/replica-index"
CONTAINERS = ("job", "pytorch")
"""Names of a pod's own container; others were put in by somebody's admission webhook."""
_DISRUPTED = ("Evicted", "Preempted", "NodeLost", "NodeShutdown", "Terminated", "DisruptionTarget", "Shutdown")
_IMAGE = (
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
_SANDBOX = ("FailedCreatePodSandBox", "CreatePodSandboxError", "RuntimeClassNotFound")
_LINES, _LENGTH = 3, 300
SHOWN_AFTER = 5.0
"""Seconds after which waiting for a queue or a node is worth a write of its own: mostly there is room at once, or as soon as another
stage's pods have gone."""
SLOW_START = 30.0
"""Seconds after which it is said that no pod was made, or that a pod has no sandbox; both take a moment in every life."""


@dataclass(frozen=True)
class PodFact:
    """One pod. ``result`` is None when the pod has not ended or left none; ``lost`` means that the node ended it, not the job.

    ``waiting`` is 'Reason: message' of what keeps it from starting; ``unready`` since when its node has not made its sandbox.
    """

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
    made: datetime | None = None
    unready: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None

    @property
    def alive(self) -> bool:
        """Tell if the pod holds, or may still get, a process."""
        return self.phase in ("Pending", "Running")


def why_pending(pod: PodFact, made: datetime | None, now: datetime) -> tuple[str, str] | None:
    """Return reason and message of what keeps a pod from starting, once it is worth telling; ``made`` is since when it waits."""
    reason, _, message = pod.waiting.partition(": ")
    fresh = made is not None and (now - made).total_seconds() < SHOWN_AFTER
    if reason and not (reason == "WaitingForCapacity" and fresh):
        return reason, f"pod {pod.name}: {message}"
    if pod.unready is not None and (now - pod.unready).total_seconds() > SLOW_START:
        told = f"pod {pod.name}: its node has not made its sandbox and volumes; see kubectl describe pod {pod.name}"
        return "SandboxRuntimeMissing", told
    return None


def succeeded(pod: PodFact) -> bool:
    """Tell if a pod ended well and left an artifact."""
    return pod.phase == "Succeeded" and pod.result is not None and pod.result.outcome == "Succeeded" and pod.result.artifact is not None


def newest(pods: Iterable[PodFact]) -> tuple[PodFact, ...]:
    """Return one pod for each index: the one that has made its artifact, else the one that was made last."""
    best: dict[int, PodFact] = {}
    for pod in sorted(pods, key=lambda pod: pod.name):
        rival = best.get(pod.index)
        if rival is None or _rank(pod) > _rank(rival):
            best[pod.index] = pod
    return tuple(sorted(best.values(), key=lambda pod: pod.name))


def read_pod(pod: Object) -> PodFact:
    """Read one pod's status."""
    metadata, status = pod["metadata"], pod.get("status", {})
    phase: PodPhase = status.get("phase", "Pending")
    state = _state(status)
    ended: dict[str, Any] | None = state.get("terminated")
    if ended is None and phase == "Failed":
        ended = next(_failed_before(status), None)
    started = (
        (ended or {}).get("startedAt")
        or state.get("running", {}).get("startedAt")
        or (status.get("startTime") if phase != "Pending" else None)
    )
    result = _result((ended or {}).get("message", ""))
    disrupted = status.get("reason") in _DISRUPTED or has_condition(status, "DisruptionTarget", "True")
    return PodFact(
        name=metadata["name"],
        index=index_of(pod),
        phase=phase,
        ending="deletionTimestamp" in metadata,
        exit_code=ended["exitCode"] if ended else None,
        out_of_memory=(ended or {}).get("reason") == "OOMKilled",
        lost=phase == "Failed" and (disrupted or ended is None),
        result=result,
        waiting=_waiting(status) if phase == "Pending" else "",
        message="" if phase == "Pending" else _last_lines(_words(pod, result, ended or {})),
        made=_time(metadata.get("creationTimestamp")),
        unready=_unready(status) if phase == "Pending" else None,
        started=_time(started),
        finished=_time((ended or {}).get("finishedAt")),
    )


def index_of(pod: Object) -> int:
    """Return the completion index of a Job's pod, or the rank of a PyTorchJob's (the master is rank 0)."""
    labels = pod["metadata"].get("labels", {}) | pod["metadata"].get("annotations", {})
    if labels.get(REPLICA_TYPE) == "worker":
        return int(labels[REPLICA_INDEX]) + 1
    return int(labels.get(INDEX, 0))


def has_condition(status: dict[str, Any], kind: str, value: str) -> bool:
    """Tell if a status has a condition of a type with a value."""
    return any(item.get("type") == kind and item.get("status") == value for item in status.get("conditions", []))


def _rank(pod: PodFact) -> tuple[bool, float, bool]:
    """Order pods of one index; times are whole seconds, and of two made in one second the failed one was first."""
    return succeeded(pod), pod.made.timestamp() if pod.made else 0.0, pod.phase != "Failed"


def _state(status: dict[str, Any]) -> dict[str, Any]:
    """Return the state of the pod's own container."""
    listed: list[dict[str, Any]] = sorted(status.get("containerStatuses") or [], key=lambda item: item.get("name") not in CONTAINERS)
    return listed[0].get("state") or {} if listed else {}


def _failed_before(status: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the ends of init containers that failed: the pod's own container then never runs."""
    for item in status.get("initContainerStatuses") or []:
        ended = (item.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode"):
            yield ended


def _result(text: str) -> JobResult | None:
    try:
        return JobResult.model_validate_json(text) if text.startswith("{") else None
    except ValidationError:
        return None


def _waiting(status: dict[str, Any]) -> str:
    """Return 'Reason: message' of what keeps a pending pod from starting, with ImageUnavailable for everything about images."""
    for item in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (item.get("state") or {}).get("waiting") or {}
        told = f"{waiting.get('reason', '')} {waiting.get('message', '')}".strip()
        if waiting.get("reason") in _IMAGE:
            return f"ImageUnavailable: {told}"
        if waiting.get("reason") in _SANDBOX:
            return f"SandboxRuntimeMissing: {told}"
    for item in status.get("conditions", []):
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            return f"WaitingForCapacity: {item.get('message') or item.get('reason', '')}"
    return ""


def _unready(status: dict[str, Any]) -> datetime | None:
    """Return since when a pod has had a node but no sandbox on it. Why, only the pod's events tell."""
    for item in status.get("conditions", []):
        if item.get("type") == "PodReadyToStartContainers" and item.get("status") == "False" and status.get("startTime"):
            return _time(item.get("lastTransitionTime"))
    return None


def _words(pod: Object, result: JobResult | None, ended: dict[str, Any]) -> str:
    """Return what is known of a pod's last words: the end of its log, or what the node says."""
    kept: str = pod["metadata"].get("annotations", {}).get(naming.LOG_ANNOTATION, "")
    return kept or ("" if result else ended.get("message", "")) or pod.get("status", {}).get("message", "")


def _last_lines(text: str) -> str:
    """Return the last lines of a text as one line, of which the end counts most."""
    lines = [line.strip() for line in text[-4 * _LENGTH :].splitlines() if line.strip()]
    joined = " | ".join(lines[-_LINES:])
    return joined if len(joined) <= _LENGTH else "…" + joined[1 - _LENGTH :]


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None
