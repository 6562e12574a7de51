"""What a cluster lacks for a workload, told before anything is made: a Job in a queue that nobody serves would wait for ever."""

from collections.abc import Callable
from dataclasses import dataclass

from astra_operator.clusters.base import Object
from astra_operator.desired.naming import LABEL_QUEUE

KUEUE = ("kueue.x-k8s.io/v1beta2", "Workload")


@dataclass(frozen=True)
class Obstacle:
    """Why the cluster lets no step be taken: a reason of status, and a line for people."""

    reason: str
    message: str


def missing_runtime(runtime_class: str, exists: Callable[[str], bool]) -> Obstacle | None:
    """Return what a sandbox pool lacks before anything of it can be made; it never runs under another class, nor under none."""
    if exists(runtime_class):
        return None
    message = (
        f"there is no RuntimeClass {runtime_class}; install gVisor and make it, or name another as runtimeClass in ConfigMap astra-team"
    )
    return Obstacle("SandboxRuntimeMissing", message)


def missing_software(workload: Object, serves: Callable[[str, str], bool]) -> Obstacle | None:
    """Return what has to be installed before a workload can be made; ``serves`` tells which kinds there are."""
    version, kind = workload["apiVersion"], workload["kind"]
    if kind == "PyTorchJob" and not serves(version, kind):
        message = f"the cluster does not serve {version} {kind}; install the Kubeflow training operator, or set spec.launcher: Job"
        return Obstacle("LauncherMissing", message)
    queue = workload["metadata"]["labels"].get(LABEL_QUEUE, "")
    if queue and not serves(*KUEUE):
        return Obstacle(
            "QueueMissing", f"spec.queue: {queue}: the cluster does not serve {' '.join(KUEUE)}; install Kueue, or leave it out"
        )
    return None
