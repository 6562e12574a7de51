"""What a container asks for and what it may take: the same for jobs and sandbox pools."""

from typing import Any

from astra_jobs.api.v1alpha1.pod import Resources
from astra_jobs.api.v1alpha1.quantities import parse

RESERVED_STORAGE = "1Gi"
"""Local storage that a pod asks for at the scheduler; most pods use less, and a node's disk is mostly larger than their limits' sum."""


def sized(resources: Resources) -> dict[str, Any]:
    """Return a container's requests and limits. CPU has no limit; of local storage little is reserved and no more than the limit taken.

    A pod that goes beyond it is evicted alone, before its node runs short and evicts others.
    """
    disk = resources.ephemeral_storage
    requests = {"cpu": resources.cpu, "memory": resources.memory}
    reserved = min(disk, RESERVED_STORAGE, key=parse)
    limits = {"memory": resources.memory, "ephemeral-storage": disk}
    return {"requests": requests | {"ephemeral-storage": reserved}, "limits": limits}
