"""The one pod that every workload is made of: the same command, the same paths, the least rights."""

from dataclasses import dataclass
from typing import Any

from astra_jobs.api.v1alpha1.pod import Resources

PROGRESS_PORT = 9464
ROOT = "/astra"
GRACE_SECONDS = 60


@dataclass(frozen=True)
class PodNeeds:
    """What differs between pods. ``container`` is fixed by the workload: a PyTorchJob demands the name pytorch."""

    request: str
    image: str
    resources: Resources
    labels: dict[str, str]
    container: str = "job"
    store_secret: str = ""


def pod_template(needs: PodNeeds) -> dict[str, Any]:
    """Return the pod template of a workload."""
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(needs)],
        "volumes": [{"name": "in", "configMap": {"name": needs.request}}, {"name": "out", "emptyDir": {}}],
    }
    return {"metadata": {"labels": needs.labels}, "spec": spec}


def _container(needs: PodNeeds) -> dict[str, Any]:
    size = {"cpu": needs.resources.cpu, "memory": needs.resources.memory}
    container = {
        "name": needs.container,
        "image": needs.image,
        "command": ["astra-job", "in/request.json"],
        "workingDir": ROOT,
        "terminationMessagePath": f"{ROOT}/result.json",
        "terminationMessagePolicy": "File",
        "env": [
            {"name": "ASTRA_POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "ASTRA_PROGRESS_PORT", "value": str(PROGRESS_PORT)},
        ],
        "ports": [{"name": "progress", "containerPort": PROGRESS_PORT}],
        "resources": {"requests": size, "limits": {"memory": size["memory"]}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "in", "mountPath": f"{ROOT}/in", "readOnly": True}, {"name": "out", "mountPath": f"{ROOT}/out"}],
    }
    if needs.store_secret:
        container["envFrom"] = [{"secretRef": {"name": needs.store_secret}}]
    return container
