"""The three workloads: Job, Indexed Job, PyTorchJob.

None of them retries by itself: one dead rank or shard ends the launch, and the reconcile decides what follows.
"""

from typing import Any

from astra_operator.desired.pod import PodNeeds, pod_template


def job(name: str, needs: PodNeeds) -> dict[str, Any]:
    """Return a Job of one pod."""
    spec = {"completions": 1, "parallelism": 1, "backoffLimit": 0, "template": pod_template(needs)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": needs.labels}, "spec": spec}


def indexed_job(name: str, needs: PodNeeds, shards: int) -> dict[str, Any]:
    """Return a Job of one pod a shard; the Job controller tells each its JOB_COMPLETION_INDEX."""
    workload = job(name, needs)
    workload["spec"] |= {"completions": shards, "parallelism": shards, "completionMode": "Indexed"}
    return workload


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
