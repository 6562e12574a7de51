"""Objects → facts. Everything that is decided is decided from these; nothing is remembered between two passes.

A launch is one start of one stage's workload. Its request ConfigMap is made right before the workload and outlives it, so a request
without a workload means that the workload vanished, which is another fact than one that failed.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

from pydantic import Field

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import Model
from astra_jobs.api.errors import EXIT_PREEMPTED
from astra_jobs.api.request import StageRequest
from astra_operator.clusters.base import WORKLOADS, Object, parse_time
from astra_operator.desired import naming
from astra_operator.frozen import Frozen
from astra_operator.pods import PodFact, newest, read_pod, succeeded
from astra_operator.pools import Pool, pool_of, read_pools
from astra_operator.stages import PlannedStage, plan
from astra_operator.workloads import WorkloadFact, read_workload

Cause = Literal[
    "Suspended",
    "Vanished",
    "Unread",
    "Lost",
    "Preempted",
    "Failed",
    "BadInput",
    "OutOfMemory",
    "OutOfStorage",
    "Stuck",
    "PendingDeadline",
    "Deadline",
]


class End(Model):
    """Why a launch was ended, kept on its request: the decision is durable before anything is deleted."""

    cause: Cause
    reason: str
    message: str = ""
    counted: bool = Field(default=False, description="uses up one of limits.maxRestarts")
    retries: int = Field(default=0, description="how many more were used up, by shards that the Job controller tried again")
    checkpoint: int | None = None
    seconds: float = Field(default=0.0, description="time that the launch's pods ran")
    waited: float = Field(default=0.0, description="of a launch that did not start: how long a pod was pending, in seconds")
    earlier_restarts: int = Field(default=0, description="what the stage's launches before this one have used up")
    earlier_seconds: float = Field(default=0.0, description="time that the pods of the stage's launches before this one ran")
    time: str


@dataclass(frozen=True)
class Launch:
    """One start of a stage. ``job`` is what its workload says, None when that object is gone.

    ``pods`` holds the newest pod of each index, ``replaced`` those before it; ``width`` is how many indexes there are. ``itself`` tells
    that the workload's controller tries shards again by itself. ``objects`` are the workload and the pods themselves, ``config`` the
    request's ConfigMap, for whoever has to ask or change them.
    """

    name: str
    stage: str
    restart: int
    request: StageRequest
    end: End | None
    job: WorkloadFact | None
    pods: tuple[PodFact, ...]
    replaced: tuple[PodFact, ...]
    width: int
    itself: bool
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
        return self.job is not None or bool(self.pods)

    @property
    def alive(self) -> bool:
        """Tell if any pod holds, or may still get, a process."""
        return any(pod.alive for pod in (*self.pods, *self.replaced))

    @property
    def missing(self) -> int:
        """Return how many of its pods are not there, nor were, while its workload asks for them."""
        if self.job is None or self.job.complete or self.job.failure is not None or self.job.held is not None:
            return 0
        return max(0, self.width - len({pod.index for pod in (*self.pods, *self.replaced)}))

    @property
    def held_open(self) -> bool:
        """Tell if a pod goes on for the sake of a container beside the job that has ended."""
        return any(pod.held_by for pod in (*self.pods, *self.replaced))

    @property
    def deserted(self) -> bool:
        """Tell if pods are told to go that nobody here told to: it has not ended, nor has its workload, which no queue holds either."""
        job = self.job
        if self.end is not None or (job is not None and (job.complete or job.failure is not None or job.held is not None)):
            return False
        return any(pod.ending for pod in (*self.pods, *self.replaced))

    @property
    def goes_on(self) -> bool:
        """Tell if it still has, or may get, processes, once it was given up; one that has stopped is kept for the logs of its pods."""
        if self.job is not None and (self.job.failure is not None or self.job.complete) and self.itself:
            return False  # the Job controller ends the other shards itself, and leaves the pod that failed
        return self.alive or self.held_open or (self.job is not None and not self.pods)

    @property
    def retries(self) -> int:
        """Return how often the shard that failed most was tried again; evictions and stops after a checkpoint do not count."""
        if self.end is not None:
            return self.end.retries
        failed = Counter(pod.index for pod in self.replaced if _counts(pod))
        return max(failed.values(), default=0) if self.itself else 0

    def seconds(self, now: datetime) -> float:
        """Return how long its pods have run: from the first start to the last end, or to now while one is alive."""
        if self.end is not None:
            return self.end.seconds
        pods = (*self.pods, *self.replaced)
        starts = [pod.started for pod in pods if pod.started]
        if not starts:
            return 0.0
        ends = [now if pod.alive else pod.finished or pod.started or now for pod in pods]
        return max(0.0, (max(ends) - min(starts)).total_seconds())


@dataclass(frozen=True)
class Observation:
    """What exists of a run. ``stale`` are objects of earlier attempts and of ended launches' workloads, to be removed.

    ``pools`` are the sandbox pools of all attempts; which of them are still wanted is not known here.
    """

    frozen: Frozen | None
    launches: tuple[Launch, ...]
    stale: tuple[Object, ...]
    newest_attempt: int = 0
    pools: tuple[Pool, ...] = ()

    def of_stage(self, stage: str) -> list[Launch]:
        """Return a stage's launches, oldest first."""
        return [launch for launch in self.launches if launch.stage == stage]


def observe(children: Iterable[Object]) -> Observation:
    """Read the children of one run."""
    listed = sorted(children, key=lambda item: (item["kind"], item["metadata"]["name"]))
    queued = {ref["uid"]: item for item in listed if item["kind"] == "Workload" for ref in item["metadata"].get("ownerReferences", [])}
    pools = read_pools(item for item in listed if pool_of(item))
    owned = [item for item in listed if item["kind"] != "Workload" and not pool_of(item)]  # Kueue removes its own with the workload
    attempts = {
        number_of(item, naming.LABEL_ATTEMPT): item for item in owned if item["kind"] == "ConfigMap" and "attempt.json" in item["data"]
    }
    if not attempts:
        return Observation(None, (), tuple(owned), pools=pools)
    number = max(attempts)
    frozen = _read_frozen(attempts[number]["data"]["attempt.json"])
    current = [item for item in owned if number_of(item, naming.LABEL_ATTEMPT) == number and item is not attempts[number]]
    launches = _launches(frozen, current, queued)
    last = {launch.stage: launch.restart for launch in launches}
    stale = [item for item in owned if number_of(item, naming.LABEL_ATTEMPT) != number]
    stale += [
        item
        for item in current
        if item["kind"] != "ConfigMap" and last.get(_label(item, naming.LABEL_STAGE), -1) != number_of(item, naming.LABEL_RESTART)
    ]
    return Observation(frozen, launches, tuple(stale), number, pools)


def number_of(item: Object, label: str) -> int:
    """Return a numeric label, -1 when it is not there."""
    text = _label(item, label)
    return int(text) if text.isdigit() else -1


def encode_end(end: End) -> str:
    """Write an end for the annotation."""
    return json.dumps(end.to_dict(), sort_keys=True)


def _launches(frozen: Frozen, current: list[Object], queued: Mapping[str, Object]) -> tuple[Launch, ...]:
    stages = {stage.name: stage for stage in plan(frozen.kind, frozen.spec)}
    requests = [item for item in current if item["kind"] == "ConfigMap"]
    found = [_launch(item, current, queued, stages) for item in requests]
    return tuple(sorted(found, key=lambda launch: (launch.stage, launch.restart)))


def _launch(request: Object, current: list[Object], queued: Mapping[str, Object], stages: Mapping[str, PlannedStage]) -> Launch:
    stage, restart = _label(request, naming.LABEL_STAGE), number_of(request, naming.LABEL_RESTART)
    own = [
        item
        for item in current
        if item["kind"] != "ConfigMap" and _label(item, naming.LABEL_STAGE) == stage and number_of(item, naming.LABEL_RESTART) == restart
    ]
    workload = next((item for item in own if item["kind"] in WORKLOADS), None)
    end = request["metadata"].get("annotations", {}).get(naming.END_ANNOTATION)
    pods = [read_pod(item) for item in own if item["kind"] == "Pod"]
    latest = newest(pods)
    planned = stages.get(stage)
    return Launch(
        name=request["metadata"]["name"],
        stage=stage,
        restart=restart,
        request=_read_request(request["data"]["request.json"]),
        end=_read_end(end) if end else None,
        job=read_workload(workload, queued.get(workload["metadata"]["uid"])) if workload else None,
        pods=latest,
        replaced=tuple(pod for pod in pods if pod not in latest),
        width=planned.pods if planned else 1,
        itself=planned is not None and planned.workload == "IndexedJob",
        objects=tuple(own),
        config=request,
    )


def _counts(pod: PodFact) -> bool:
    return pod.phase == "Failed" and not pod.lost and not pod.ending and pod.own_exit != EXIT_PREEMPTED


def _label(item: Object, label: str) -> str:
    return str(item["metadata"].get("labels", {}).get(label, ""))


# A text is read anew only when it was seen long ago: most passes look at what the last one saw. Bounded, because memory is too.


@lru_cache(maxsize=512)
def _read_frozen(text: str) -> Frozen:
    return Frozen.model_validate_json(text)


@lru_cache(maxsize=1024)
def _read_request(text: str) -> StageRequest:
    return StageRequest.model_validate_json(text)


@lru_cache(maxsize=1024)
def _read_end(text: str) -> End:
    return End.model_validate_json(text)
