"""From a frozen attempt to Kubernetes objects: the attempt's ConfigMap, and for each launch a request and a workload.

Pure: the same attempt, stage and restart give the same bytes on every pass and every machine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.request import Input, StageRequest
from astra_operator.desired import launchers, naming, secrets
from astra_operator.desired.pod import PodNeeds
from astra_operator.desired.sandbox import PoolPlan, pool_objects, sandbox_service
from astra_operator.frozen import Frozen, common_of, stage_digest
from astra_operator.stages import PlannedStage

Object = dict[str, Any]


@dataclass(frozen=True)
class RunName:
    """Who the objects are for."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class LaunchPlan:
    """One launch to be made; ``spec`` is the frozen spec with today's operational fields."""

    stage: PlannedStage
    restart: int
    spec: dict[str, Any]
    results: Mapping[str, tuple[Artifact, ...]]


def attempt_config(run: RunName, frozen: Frozen) -> Object:
    """Return the ConfigMap that holds an attempt."""
    name = naming.attempt_name(frozen.kind, run.name, frozen.number)
    return _config(name, _labels(run, frozen), {"attempt.json": _text(frozen.to_dict())})


def pool_plan(run: RunName, frozen: Frozen, stage: PlannedStage, spec: dict[str, Any]) -> PoolPlan | None:
    """Return the pool that a stage's tool code runs in, None where it runs in the job's own process or there is none."""
    if not stage.tools or frozen.isolation == "Process":
        return None
    name = naming.pool_name(frozen.kind, run.name, frozen.number, stage.name)
    return PoolPlan(name, run.namespace, run.uid, stage.name, _labels(run, frozen), frozen, spec)


def service_objects(run: RunName, frozen: Frozen, stage: PlannedStage, spec: dict[str, Any]) -> list[Object]:
    """Return what has to be there and ready before a stage's workload, in the order in which it has to be made."""
    plan = pool_plan(run, frozen, stage, spec)
    return pool_objects(plan) if plan else []


def launch_objects(run: RunName, frozen: Frozen, launch: LaunchPlan) -> tuple[Object, Object]:
    """Return a launch's request ConfigMap and its workload, in the order in which they have to be made."""
    stage = launch.stage
    name = naming.workload_name(frozen.kind, run.name, frozen.number, stage.name, launch.restart)
    labels = _labels(run, frozen) | {naming.LABEL_STAGE: stage.name, naming.LABEL_RESTART: str(launch.restart)}
    common = common_of(launch.spec)
    pool = pool_plan(run, frozen, stage, launch.spec)
    needs = PodNeeds(
        name,
        frozen.image,
        labels,
        pod=common.pod.of_stage(stage.name),
        store_secret=frozen.store_secret,
        priority_class=common.priority_class_name or "",
        user=frozen.pod_user or "",
        group=frozen.pod_group or "",
        sandbox_key=naming.key_name(pool.name, run.uid) if pool else "",
        secrets=secrets.named(frozen.kind, stage.name, launch.spec),
    )
    told = _request(run, frozen, launch).model_copy(update={"sandbox": sandbox_service(pool)} if pool else {})
    request = _config(name, labels, {"request.json": _text(told.to_dict())})
    workload = _workload(name, needs, stage, common.limits.max_restarts)
    return request, launchers.queued(workload, common.queue) if common.queue else workload


def _workload(name: str, needs: PodNeeds, stage: PlannedStage, retries: int) -> Object:
    if stage.workload == "PyTorchJob":
        return launchers.pytorch_job(name, replace(needs, container="pytorch"), stage.width)
    if stage.workload == "IndexedJob":
        return launchers.indexed_job(name, needs, stage.width, retries)
    return launchers.job(name, needs)


def with_end(request: Object, end: str, stacks: str = "") -> Object:
    """Return a request ConfigMap as it is applied again to keep why its launch ends, and what the threads of a stuck one did."""
    metadata = request["metadata"]
    annotations = {naming.END_ANNOTATION: end} | ({naming.STACKS_ANNOTATION: stacks} if stacks else {})
    kept = {"name": metadata["name"], "labels": metadata["labels"], "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": kept, "data": request["data"], "immutable": True}


def _request(run: RunName, frozen: Frozen, launch: LaunchPlan) -> StageRequest:
    previous = [
        Input(role=f"{stage}/{shard}", kind=frozen.kind, name=run.name, artifact=artifact)
        for stage, artifacts in launch.results.items()
        for shard, artifact in enumerate(artifacts)
    ]
    return StageRequest(
        kind=frozen.kind,
        name=run.name,
        namespace=run.namespace,
        uid=run.uid,
        attempt=frozen.number,
        restart=launch.restart,
        digest=stage_digest(frozen, launch.stage.unread),
        stage=launch.stage.name,
        shards=launch.stage.shards,
        spec=launch.spec,
        inputs=frozen.inputs,
        previous=previous,
        store=frozen.store,
        isolation=frozen.isolation,
    )


def _config(name: str, labels: dict[str, str], data: dict[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data, "immutable": True}


def _labels(run: RunName, frozen: Frozen) -> dict[str, str]:
    return {
        naming.LABEL_MANAGED: naming.MANAGER,
        naming.LABEL_KIND: frozen.kind,
        naming.LABEL_RUN: run.name,
        naming.LABEL_UID: run.uid,
        naming.LABEL_ATTEMPT: str(frozen.number),
    }


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
