"""The sandbox pools that exist of a run → facts: what there is of each, if it answers, and what keeps it from that. Pure.

A pool belongs to an attempt and a stage, and outlives the stage's restarts. Its Secret cannot be seen, because the operator may read
none; it is removed with whatever else there is, also a second time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from astra_jobs.api.errors import EXIT_BAD_INPUT
from astra_operator.causes import reason_of
from astra_operator.clusters.base import Object, parse_time
from astra_operator.containers import CONTAINERS
from astra_operator.desired import naming
from astra_operator.desired.sandbox import KINDS
from astra_operator.pods import PodFact, read_pod, why_pending

LATE_SECONDS = 60.0
"""So long a stage waits for the rest of its pool once one pod answers: one that no node has room for must not hold up the others."""
_FAILING = ("CrashLoopBackOff",)
SHARED = "set sandboxUsers: Shared in ConfigMap astra-team, and spec.rerun"
"""Mend for a namespace that admits no pod that starts as root."""
NOT_GVISOR = "sandbox wall gvisor does not hold"


@dataclass(frozen=True)
class Trouble:
    """What keeps a pool from answering. ``blocked`` tells that somebody has to change something."""

    reason: str
    message: str
    blocked: bool = False


@dataclass(frozen=True)
class Pool:
    """What is seen of one pool. ``objects`` are its own, ``members`` its pods; ``size`` is the mark of the size that it has.

    ``unavailable`` and ``answering`` are since when no pod of it answers, and one does.
    """

    name: str
    attempt: int
    stage: str
    uid: str
    objects: tuple[Object, ...]
    pods: tuple[PodFact, ...]
    members: tuple[Object, ...] = ()
    size: str = ""
    replicas: int = 0
    available: int = 0
    made: datetime | None = None
    unavailable: datetime | None = None
    answering: datetime | None = None
    refusal: str = ""
    failing: Trouble | None = None

    @property
    def complete(self) -> bool:
        """Tell if nothing is missing, nor on its way out."""
        return {item["kind"] for item in self.objects if "deletionTimestamp" not in item["metadata"]} == set(KINDS)

    def ready(self, now: datetime) -> bool:
        """Tell if a workload may start: all pods answer, or at least one and the others have had their time."""
        late = self.made is not None and (now - self.made).total_seconds() > LATE_SECONDS
        return self.complete and self.available >= (1 if late else max(1, self.replicas))

    @property
    def asleep(self) -> bool:
        """Tell if it is to have no pods: its stage waits in a queue."""
        return self.replicas == 0

    def down(self, now: datetime) -> float:
        """Return for how many seconds no pod has answered."""
        since = max((moment for moment in (self.made, self.unavailable) if moment), default=now)
        return 0.0 if self.available else (now - since).total_seconds()

    def trouble(self, now: datetime) -> Trouble | None:
        """Return what has to be told, None while it is on its way."""
        if self.refusal:
            mend = f"; {SHARED}" if "PodSecurity" in self.refusal and "runAsUser=0" in self.refusal else ""
            return Trouble(reason_of(self.refusal, "Refused"), self.refusal + mend, blocked=True)
        waits = self.waiting(now)
        return Trouble(*waits[1]) if waits else self.failing

    def waiting(self, now: datetime) -> tuple[PodFact, tuple[str, str]] | None:
        """Return the first pod that something keeps from starting, and reason and message of that."""
        for pod in self.pods:
            why = why_pending(replace(pod, waiting="") if pod.ending else pod, pod.made, now)
            if why is not None:
                return pod, why
        return None

    def goes(self) -> list[Object]:
        """Return what can be removed of it now. The NetworkPolicy stays until no pod is left that it holds back."""
        present = {item["kind"]: item for item in self.objects if "deletionTimestamp" not in item["metadata"]}
        if set(present) == {"NetworkPolicy"} and self.pods:
            return []
        if len(present) > 1:
            present.pop("NetworkPolicy", None)
        named = [present[kind] for kind in reversed(KINDS) if kind in present]
        place = {item["metadata"]["namespace"] for item in named}
        keys = [_key(namespace, naming.key_name(self.name, self.uid)) for namespace in place]
        return [*keys, *named]


def _key(namespace: str, name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name}}


def pool_of(item: Object) -> str:
    """Return the name of the pool that an object or a pod belongs to, empty when to none."""
    return str(item["metadata"].get("labels", {}).get(naming.LABEL_POOL, ""))


def read_pools(items: Iterable[Object]) -> tuple[Pool, ...]:
    """Read the objects and pods of all pools of a run."""
    grouped: dict[str, list[Object]] = {}
    for item in items:
        grouped.setdefault(pool_of(item), []).append(item)
    return tuple(_read(name, grouped[name]) for name in sorted(grouped))


def _read(name: str, items: list[Object]) -> Pool:
    labels = items[0]["metadata"]["labels"]
    pods = [item for item in items if item["kind"] == "Pod"]
    made = next((item for item in items if item["kind"] == "Deployment" and "deletionTimestamp" not in item["metadata"]), None)
    number = labels.get(naming.LABEL_ATTEMPT, "")
    return Pool(
        name=name,
        attempt=int(number) if number.isdigit() else -1,
        stage=labels.get(naming.LABEL_STAGE, ""),
        uid=labels.get(naming.LABEL_UID, ""),
        objects=tuple(item for item in items if item["kind"] in KINDS),
        pods=tuple(read_pod(pod) for pod in pods),
        members=tuple(pods),
        failing=next((found for pod in pods if (found := _failing(pod))), None),
        **(_deployment(made) if made else {}),
    )


def _deployment(item: Object) -> dict[str, Any]:
    status = item.get("status", {})
    conditions: Mapping[str, Object] = {entry["type"]: entry for entry in status.get("conditions", ())}
    failure, available = conditions.get("ReplicaFailure", {}), conditions.get("Available", {})
    return {
        "size": item["metadata"].get("annotations", {}).get(naming.SIZE_ANNOTATION, ""),
        "replicas": item.get("spec", {}).get("replicas", 1),
        "available": status.get("availableReplicas", 0),
        "made": _time(item["metadata"].get("creationTimestamp")),
        "unavailable": _time(available.get("lastTransitionTime")) if available.get("status") == "False" else None,
        "answering": _time(available.get("lastTransitionTime")) if available.get("status") == "True" else None,
        "refusal": failure.get("message", "") if failure.get("status") == "True" else "",
    }


def _failing(pod: Object) -> Trouble | None:
    """Return why a pod of a pool ends again and again: the server's own line, or what the node says.

    A server that does not find itself in gVisor says so and ends for good: the RuntimeClass is there, and its handler is another.
    """
    for entry in pod.get("status", {}).get("containerStatuses", ()):
        if entry.get("name") in CONTAINERS and ((entry.get("state") or {}).get("waiting") or {}).get("reason") in _FAILING:
            ended = (entry.get("lastState") or {}).get("terminated") or {}
            lines = [line.strip() for line in ended.get("message", "").splitlines() if line.strip()]
            said = lines[-1][:300] if lines else f"exit code {ended.get('exitCode', 'unknown')}"
            refuses = ended.get("exitCode") == EXIT_BAD_INPUT
            reason = "SandboxRuntimeMissing" if refuses and NOT_GVISOR in said else "ServiceFailing"
            return Trouble(reason, f"pod {pod['metadata']['name']} ends again and again: {said}", blocked=refuses)
    return None


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None
