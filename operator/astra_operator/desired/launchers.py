"""The three workloads: Job, Indexed Job, PyTorchJob.

A Job and a PyTorchJob never retry by themselves: one dead rank ends the launch, and the reconcile decides what follows. Shards do not
know each other, so an Indexed Job tries each of them again by itself, and ends when one of them has failed too often or for good.
"""

from typing import Any

from astra_jobs.api.errors import EXIT_BAD_INPUT, EXIT_PREEMPTED
from astra_operator.desired.naming import LABEL_QUEUE
from astra_operator.desired.pod import PodNeeds, pod_template


def job(name: str, needs: PodNeeds) -> dict[str, Any]:
    """Return a Job of one pod. A queue that gives quota back gets no second pod of it before the first has saved and ended."""
    spec = {"completions": 1, "parallelism": 1, "backoffLimit": 0, "podReplacementPolicy": "Failed", "template": pod_template(needs)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": needs.labels}, "spec": spec}


def indexed_job(name: str, needs: PodNeeds, shards: int, retries: int) -> dict[str, Any]:
    """Return a Job of one pod a shard, each tried again ``retries`` times; the Job controller tells each its JOB_COMPLETION_INDEX.

    A pod that was evicted, or that stopped after a checkpoint, is replaced without being counted. One that refused its input ends all.
    """
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [EXIT_PREEMPTED]}},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [EXIT_BAD_INPUT]}},
    ]
    workload = job(name, needs)
    del workload["spec"]["backoffLimit"]
    workload["spec"] |= {
        "completions": shards,
        "parallelism": shards,
        "completionMode": "Indexed",
        "backoffLimitPerIndex": retries,
        "maxFailedIndexes": 0,
        "podFailurePolicy": {"rules": rules},
    }
    return workload


def queued(workload: dict[str, Any], queue: str) -> dict[str, Any]:
    """Return a workload that waits until Kueue admits it through a queue; from then on its ``suspend`` is Kueue's."""
    metadata, spec = workload["metadata"], workload["spec"]
    held = {"runPolicy": spec["runPolicy"] | {"suspend": True}} if "runPolicy" in spec else {"suspend": True}
    return workload | {"metadata": metadata | {"labels": metadata["labels"] | {LABEL_QUEUE: queue}}, "spec": spec | held}


def pytorch_job(name: str, needs: PodNeeds, ranks: int) -> dict[str, Any]:
    """Return a PyTorchJob of one rank a pod: a master and workers. Pods of a dead rank's peers are removed, ended ones kept."""
    # Imported late: the package takes 1.6 s to load and most commands never build a PyTorchJob.
    from kubeflow.training import models
    from kubeflow.training.api_client import ApiClient

    def replica(count: int) -> Any:
        return models.KubeflowOrgV1ReplicaSpec(replicas=count, restart_policy="Never", template=pod_template(needs))

    replicas = {"Master": replica(1)} | ({"Worker": replica(ranks - 1)} if ranks > 1 else {})
    workload = models.KubeflowOrgV1PyTorchJob(
        api_version="kubeflow.org/v1",
        kind="PyTorchJob",
        metadata={"name": name, "labels": needs.labels},
        spec=models.KubeflowOrgV1PyTorchJobSpec(
            nproc_per_node="1",
            pytorch_replica_specs=replicas,
            run_policy=models.KubeflowOrgV1RunPolicy(clean_pod_policy="Running", backoff_limit=0),
        ),
    )
    built: dict[str, Any] = ApiClient().sanitize_for_serialization(workload)
    return built
