"""The one pod that every workload is made of: the same command, the same paths, the least rights."""

from dataclasses import dataclass, field
from typing import Any

from astra_jobs.api.v1alpha1.pod import ROOT, Pod
from astra_operator.desired import secrets as named
from astra_operator.desired.sandbox import KEY_FOLDER
from astra_operator.desired.security import pod_security
from astra_operator.desired.sizes import scratch_limit, sized

PROGRESS_PORT = 9464
GRACE_SECONDS = 60


@dataclass(frozen=True)
class PodNeeds:
    """What differs between pods. ``container`` is fixed by the workload: a PyTorchJob demands the name pytorch.

    ``pod`` is what the run says about the stage's pods; ``image`` is the team's, which the run may replace. ``sandbox_key`` names the
    Secret with which the stage's sandbox pool is asked, ``secrets`` the keys of those that the spec names for single processes;
    ``user`` and ``group`` are numbers as text, empty where the cluster assigns them.
    """

    request: str
    image: str
    labels: dict[str, str]
    pod: Pod = field(default_factory=Pod)
    container: str = "job"
    store_secret: str = ""
    priority_class: str = ""
    sandbox_key: str = ""
    user: str = ""
    group: str = ""
    secrets: named.Keys = field(default_factory=dict)


def pod_template(needs: PodNeeds) -> dict[str, Any]:
    """Return the pod template of a workload."""
    pod = needs.pod
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": pod_security(needs.user, needs.group),
        "containers": [_container(needs)],
        "volumes": _volumes(needs),
    }
    chosen = {
        "priorityClassName": needs.priority_class,
        "serviceAccountName": pod.service_account_name,
        "imagePullSecrets": [item.to_dict() for item in pod.image_pull_secrets],
        "nodeSelector": pod.node_selector,
        "tolerations": [item.to_dict() for item in pod.tolerations],
    }
    return {"metadata": {"labels": needs.labels}, "spec": spec | {name: value for name, value in chosen.items() if value}}


def _volumes(needs: PodNeeds) -> list[dict[str, Any]]:
    own = [
        {"name": "in", "configMap": {"name": needs.request}},
        {"name": "out", "emptyDir": {"sizeLimit": scratch_limit(needs.pod.resources)}},
    ]
    claims = [
        {"name": _claim(item.name), "persistentVolumeClaim": {"claimName": item.claim_name, "readOnly": item.read_only}}
        for item in needs.pod.volumes
    ]
    key = [{"name": "sandbox", "secret": {"secretName": needs.sandbox_key}}] if needs.sandbox_key else []
    return own + claims + key + named.volumes(needs.secrets)


def _claim(name: str) -> str:
    """Return the name of a claim's volume, which may not meet the names of the pod's own."""
    return f"claim-{name}"


def _container(needs: PodNeeds) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": needs.container,
        "image": needs.pod.image or needs.image,
        "command": ["astra-job", "in/request.json"],
        "workingDir": ROOT,
        "terminationMessagePath": f"{ROOT}/result.json",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": [
            {"name": "ASTRA_POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "ASTRA_PROGRESS_PORT", "value": str(PROGRESS_PORT)},
            *({"name": item.name, "valueFrom": {"secretKeyRef": {"name": item.secret, "key": item.key}}} for item in needs.pod.secret_env),
        ],
        "ports": [{"name": "progress", "containerPort": PROGRESS_PORT}],
        "resources": sized(needs.pod.resources),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "in", "mountPath": f"{ROOT}/in", "readOnly": True},
            {"name": "out", "mountPath": f"{ROOT}/out"},
            *({"name": _claim(item.name), "mountPath": item.mount_path, "readOnly": item.read_only} for item in needs.pod.volumes),
            *named.mounts(needs.secrets),
        ],
    }
    if needs.sandbox_key:
        container["volumeMounts"].append({"name": "sandbox", "mountPath": KEY_FOLDER, "readOnly": True})
    if needs.store_secret:
        container["envFrom"] = [{"secretRef": {"name": needs.store_secret}}]
    return container
