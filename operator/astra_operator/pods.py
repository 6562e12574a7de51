"""Pods as a cluster shows them → facts: how one ended, what its end was about, what keeps it from starting. Pure.

It knows nothing of launches and decides nothing; what a pod's end is worth is for ``restarts`` to say.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from astra_jobs.api.result import JobResult
from astra_operator import causes, containers
from astra_operator.clusters.base import Object, parse_time
from astra_operator.desired import naming

PodPhase = Literal["Pending", "Running", "Succeeded", "Failed"]
INDEX = "batch.kubernetes.io/job-completion-index"
REPLICA_TYPE, REPLICA_INDEX = "training.kubeflow.org/replica-type", "training.kubeflow.org/replica-index"
_DISRUPTED = ("Evicted", "Preempted", "NodeLost", "NodeShutdown", "Terminated", "DisruptionTarget", "Shutdown")
_OWN_STORAGE = re.compile(r"ephemeral local storage usage exceeds|exceeded its local ephemeral storage limit|Usage of EmptyDir volume")
_LINES, _LENGTH = 3, 300
SHOWN_AFTER = 5.0
"""Seconds after which waiting for a queue or a node is worth a write of its own: mostly there is room at once, or as soon as another
stage's pods have gone."""
SLOW_START = 30.0
"""Seconds after which it is said that no pod was made, or that a pod has no sandbox; both take a moment in every life."""
SLOW_PULL = 90.0
"""Seconds after which it is said that a node has not made a pod's container: an image is pulled in that time, mostly."""


@dataclass(frozen=True)
class PodFact:
    """One pod. ``result`` is None when the pod has not ended or left none; ``lost`` means that the node ended it, not the job.

    The job's own container decides: a pod whose job has ended has ended, and ``held_by`` names a container that goes on beside it. Of
    an init container that failed ``culprit`` is the name; its exit code means nothing to the job. ``waiting`` is 'Reason: message' of
    what keeps it from starting, ``first`` what has to end or be ready before; ``trouble`` is what is wrong beside a job that runs.
    ``placed`` is since when it has a node, ``unready`` since when that has not made its sandbox. ``goes_by`` is when a pod that was told
    to go has to be gone; ``silent`` tells that its node does not answer.
    """

    name: str
    index: int
    phase: PodPhase
    ending: bool = False
    exit_code: int | None = None
    out_of_memory: bool = False
    out_of_storage: bool = False
    lost: bool = False
    result: JobResult | None = None
    waiting: str = ""
    message: str = ""
    made: datetime | None = None
    placed: datetime | None = None
    unready: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    node: str = ""
    silent: bool = False
    goes_by: datetime | None = None
    held_by: str = ""
    culprit: str = ""
    first: str = ""
    trouble: str = ""

    @property
    def alive(self) -> bool:
        """Tell if the pod's job holds, or may still get, a process."""
        return self.phase in ("Pending", "Running")

    @property
    def own_exit(self) -> int | None:
        """Return the exit code of the job itself, None while it has not ended and when it never began."""
        return None if self.culprit else self.exit_code

    @property
    def where(self) -> str:
        """Name the pod and its node."""
        return f"pod {self.name} on node {self.node}" if self.node else f"pod {self.name}"


def why_pending(pod: PodFact, made: datetime | None, now: datetime) -> tuple[str, str] | None:
    """Return reason and message of what keeps a pod from starting, once it is worth telling; ``made`` is since when it waits."""
    reason, _, message = pod.waiting.partition(": ")
    if reason and not (reason == "WaitingForCapacity" and not _older(made, SHOWN_AFTER, now)):
        return reason, f"pod {pod.name}: {message}"
    if pod.phase != "Pending":
        return None
    if _older(pod.unready, SLOW_START, now):
        return "WaitingForNode", f"{pod.where}: the node has not made its volumes and its sandbox; see kubectl describe pod {pod.name}"
    if pod.first and _older(pod.placed, SLOW_START, now):
        return "Initialising", f"{pod.where}: {pod.first}"
    if _older(pod.placed, SLOW_PULL, now):
        return "WaitingForNode", f"{pod.where}: the node has not started its container; see kubectl describe pod {pod.name}"
    return None


def _older(moment: datetime | None, seconds: float, now: datetime) -> bool:
    return moment is not None and (now - moment).total_seconds() > seconds


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
    end = containers.ended_of(pod)
    ended: dict[str, Any] = end.state if end else {}
    result = _result(ended.get("message", "")) if end and end.own else None
    phase = _phase(pod, result)
    disrupted = _disrupted(status)
    storage = phase == "Failed" and status.get("reason") == "Evicted" and bool(_OWN_STORAGE.search(status.get("message", "")))
    started = (
        ended.get("startedAt")
        or containers.own_state(status).get("running", {}).get("startedAt")
        or (status.get("startTime") if phase != "Pending" else None)
    )
    pending = phase == "Pending"
    return PodFact(
        name=metadata["name"],
        index=index_of(pod),
        phase=phase,
        ending="deletionTimestamp" in metadata,
        exit_code=ended["exitCode"] if end else None,
        out_of_memory=ended.get("reason") == "OOMKilled" and bool(end and end.own),
        out_of_storage=storage,
        lost=phase == "Failed" and not storage and (disrupted or end is None),
        result=result,
        waiting=_waiting(pod) if pending else "",
        message="" if pending else _last_lines(_words(pod, result, ended)),
        made=_time(metadata.get("creationTimestamp")),
        placed=_time(status.get("startTime")) if pending else None,
        unready=_unready(status) if pending else None,
        started=_time(started),
        finished=_time(ended.get("finishedAt")),
        node=pod.get("spec", {}).get("nodeName", ""),
        silent=node_is_silent(status),
        goes_by=_time(metadata.get("deletionTimestamp")),
        held_by=containers.beside(status) if end and end.own and status.get("phase") in ("Pending", "Running") else "",
        culprit=end.name if end and not end.own else "",
        first=containers.first(pod) if pending else "",
        trouble=containers.hindrance(pod).partition(": ")[2] if phase == "Running" else "",
    )


def node_is_silent(status: Object) -> bool:
    """Tell if a pod's node does not answer: then its controller takes the pod's readiness back, and nothing of its containers'."""
    if status.get("phase") == "Unknown":
        return True
    ready: Object = next((item for item in status.get("conditions", []) if item.get("type") == "Ready"), {})
    taken = ready.get("status") == "False" and ready.get("reason") != "ReadinessGatesNotReady"
    return status.get("phase") == "Running" and taken and has_condition(status, "ContainersReady", "True")


def _phase(pod: Object, result: JobResult | None) -> PodPhase:
    """Return how far the job in a pod is. A pool's pod has no end of its own: its container is started again."""
    status = pod.get("status", {})
    shown: str = status.get("phase", "Pending")
    phase: PodPhase = "Running" if shown == "Unknown" else shown  # type: ignore[assignment]
    if naming.LABEL_POOL in pod["metadata"].get("labels", {}):
        return phase
    state = containers.own_state(status)
    if "terminated" in state:
        good = state["terminated"].get("exitCode") == 0
        interrupted = shown == "Failed" and _disrupted(status) and (result is None or result.outcome != "Succeeded")
        return "Succeeded" if good and not interrupted else "Failed"
    return "Pending" if phase == "Running" and "waiting" in state else phase


def _disrupted(status: Object) -> bool:
    return status.get("reason") in _DISRUPTED or has_condition(status, "DisruptionTarget", "True")


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


def _result(text: str) -> JobResult | None:
    try:
        return JobResult.model_validate_json(text) if text.startswith("{") else None
    except ValidationError:
        return None


def _waiting(pod: Object) -> str:
    """Return 'Reason: message' of what keeps a pending pod from starting."""
    told = containers.hindrance(pod)
    if told:
        return told
    for item in pod.get("status", {}).get("conditions", []):
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            message = item.get("message") or item.get("reason", "")
            return f"{causes.reason_of(message, 'WaitingForCapacity')}: {message}"
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
