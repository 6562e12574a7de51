"""What a container asks for and what it may take: the same for jobs and sandbox pools."""

from typing import Any

from astra_jobs.api.v1alpha1.pod import Resources
from astra_jobs.api.v1alpha1.quantities import parse

SCRATCH = "20Gi"
"""Most that a pod's scratch folder may hold where the spec bounds no local storage."""
RESERVED_STORAGE = "1Gi"
"""Local storage that a pod asks for at the scheduler; most pods use less, and a node's disk is mostly larger than their limits' sum."""


def sized(resources: Resources) -> dict[str, Any]:
    """Return a container's requests and limits. CPU has no limit; of local storage little is reserved and no more than the limit taken.

    A pod that goes beyond it is evicted alone, before its node runs short and evicts others. Where the spec names none, none is
    asked for: Kueue admits nothing that asks for a resource which its ClusterQueue does not cover, and most cover no disk.
    """
    requests, limits = {"cpu": resources.cpu, "memory": resources.memory}, {"memory": resources.memory}
    if disk := resources.ephemeral_storage:
        requests["ephemeral-storage"] = min(disk, RESERVED_STORAGE, key=parse)
        limits["ephemeral-storage"] = disk
    return {"requests": requests, "limits": limits}


def scratch_limit(resources: Resources) -> str:
    """Return the most that a pod's scratch folder may hold; a volume's limit counts for no quota."""
    return resources.ephemeral_storage or SCRATCH
