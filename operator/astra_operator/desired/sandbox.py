"""The pool of pods in which a stage's tool code runs: five objects and a key, one pool for each stage of an attempt.

Pure. The NetworkPolicy is first in the order of creation and last to go, so that no pod of a pool is ever without it; the Secret has
no data here, its key is filled in by ``apply``. What walls hold inside the pod is the server's to prove (``--require``).
A pod has one of two forms, by the team's ``sandboxUsers``: Own starts as root to give each session a user of its own, and fits
the Pod Security level baseline; Shared has no right at all and fits restricted, at the price of that one wall.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from astra_jobs.api.base import GROUP
from astra_jobs.api.request import SandboxService
from astra_jobs.api.v1alpha1.envs import ToolLimits
from astra_jobs.api.v1alpha1.pod import ROOT
from astra_jobs.api.v1alpha1.quantities import parse
from astra_jobs.api.v1alpha1.rl import RlRollout
from astra_jobs.api.v1alpha1.sandbox import SandboxPool
from astra_operator.desired import naming
from astra_operator.desired.security import pod_security
from astra_operator.desired.sizes import sized
from astra_operator.frozen import Frozen, common_of

Object = dict[str, Any]

KINDS = ("NetworkPolicy", "Service", "PodDisruptionBudget", "Deployment")
"""What can be seen of a pool, in the order of creation; the Secret comes after the Service."""
PORT = 8080
GRACE_SECONDS, DRAIN_SECONDS = 60, 40
SESSION_MIB = 16
"""Memory of a live session, most of which it shares with its zygote; half of a pod's memory is for sessions, a quarter for zygotes,
an eighth for what calls leave to be replayed."""
VARIANTS = 2
"""Sandboxes that differ in what must not matter, in a pool of EnvSynthesis; they share its memory."""
KEY_FOLDER, KEY = f"{ROOT}/sandbox", "key"
METRICS_LABEL = f"{GROUP}/metrics"
"""Namespaces with this label, of any value, may read the metrics of pools; who may label a namespace is the platform's to say."""
_ROOT_RIGHTS = ("KILL", "SETGID", "SETUID")
"""The server gives each session a user id of its own, and ends it by force: nothing else of root's rights is left to it."""
USER = 65532
"""User and group of a pod whose sessions share its user."""


@dataclass(frozen=True)
class PoolPlan:
    """A pool to be made. ``labels`` are those of every object of the attempt; ``spec`` is the frozen one with today's sizes.

    One that is ``asleep`` has everything but pods: its stage's workload waits in a queue, and pods beside it would idle outside the quota.
    """

    name: str
    namespace: str
    uid: str
    stage: str
    labels: dict[str, str]
    frozen: Frozen
    spec: dict[str, Any]
    asleep: bool = False

    @property
    def size(self) -> SandboxPool:
        """Return how many pods, and how large."""
        size = SandboxPool.model_validate(self.spec.get("sandbox") or {})
        return size.model_copy(update={"replicas": 0}) if self.asleep else size

    @property
    def shared(self) -> bool:
        """Tell if the sessions of a pod share its one user."""
        return self.frozen.sandbox_users == "Shared"

    @property
    def marks(self) -> dict[str, str]:
        """Return the labels of the pool's objects and pods."""
        return self.labels | {naming.LABEL_STAGE: self.stage, naming.LABEL_POOL: self.name}


def pool_objects(plan: PoolPlan) -> list[Object]:
    """Return everything that a pool is made of, in the order of creation."""
    return [network_policy(plan), service(plan), secret(plan), disruption_budget(plan), deployment(plan)]


def sandbox_service(plan: PoolPlan) -> SandboxService:
    """Return what a job is told of its pool."""
    urls = [f"http://{plan.name}.{plan.namespace}.svc:{PORT}"]
    return SandboxService(urls=urls, key_file=f"{KEY_FOLDER}/{KEY}", isolation=plan.frozen.isolation)


def size_mark(size: SandboxPool) -> str:
    """Return what a Deployment is marked with, so that a changed size is seen and nothing else about it compared."""
    return hashlib.sha256(json.dumps(size.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


def network_policy(plan: PoolPlan) -> Object:
    """Return who may reach a pool: the run's own job pods of the stage, and namespaces that read metrics; it may reach nobody."""
    jobs = {
        "matchLabels": {naming.LABEL_UID: plan.uid, naming.LABEL_STAGE: plan.stage},
        "matchExpressions": [{"key": naming.LABEL_POOL, "operator": "DoesNotExist"}],
    }
    scrapers = {"matchExpressions": [{"key": METRICS_LABEL, "operator": "Exists"}]}
    spec = {
        "podSelector": {"matchLabels": {naming.LABEL_POOL: plan.name}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": jobs}, {"namespaceSelector": scrapers}], "ports": [{"port": PORT, "protocol": "TCP"}]}],
    }
    return _object(plan, "networking.k8s.io/v1", "NetworkPolicy", spec)


def secret(plan: PoolPlan) -> Object:
    """Return the Secret of a pool without its key."""
    metadata = {"name": naming.key_name(plan.name, plan.uid), "labels": plan.marks}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "immutable": True}


def service(plan: PoolPlan) -> Object:
    """Return the name under which a pool's ready pods are found."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": False,
        "selector": {naming.LABEL_POOL: plan.name},
        "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
    }
    return _object(plan, "v1", "Service", spec)


def disruption_budget(plan: PoolPlan) -> Object:
    """Return how much of a pool may be drained at once; pods that are not ready may always go."""
    selector = {"matchLabels": {naming.LABEL_POOL: plan.name}}
    return _object(
        plan,
        "policy/v1",
        "PodDisruptionBudget",
        {"maxUnavailable": 1, "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
    )


def deployment(plan: PoolPlan) -> Object:
    """Return the pool's pods."""
    spec = {
        "replicas": plan.size.replicas,
        "revisionHistoryLimit": 0,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "selector": {"matchLabels": {naming.LABEL_POOL: plan.name}},
        "template": {"metadata": {"labels": plan.marks}, "spec": _pod(plan)},
    }
    made = _object(plan, "apps/v1", "Deployment", spec)
    made["metadata"]["annotations"] = {naming.SIZE_ANNOTATION: size_mark(plan.size)}
    return made


def _object(plan: PoolPlan, version: str, kind: str, spec: Object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": plan.name, "labels": plan.marks}, "spec": spec}


def _pod(plan: PoolPlan) -> Object:
    common = common_of(plan.spec)
    mode = 0o440 if plan.shared else 0o400
    key = {"secretName": naming.key_name(plan.name, plan.uid), "items": [{"key": KEY, "path": KEY}], "defaultMode": mode}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {naming.LABEL_POOL: plan.name}},
    }
    spec = {
        "runtimeClassName": plan.frozen.runtime_class,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},  # there is nothing to look up, and nobody to ask
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, **(_nobody(plan) if plan.shared else {})},
        "topologySpreadConstraints": [spread],
        "containers": [_container(plan)],
        "volumes": [{"name": "key", "secret": key}],
    }
    chosen = {
        "priorityClassName": common.priority_class_name,
        "imagePullSecrets": [item.to_dict() for item in common.pod.image_pull_secrets],
    }
    return spec | {name: value for name, value in chosen.items() if value}


def _container(plan: PoolPlan) -> Object:
    return {
        "name": "sandbox",
        "image": plan.frozen.sandbox_image,
        "command": ["python", "-m", "astra_jobs.sandbox.server"],
        "args": ["--require", ",".join(required(plan))],
        "env": [
            {"name": "ASTRA_SANDBOX_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            *({"name": name, "value": value} for name, value in sorted(_settings(plan).items())),
        ],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": sized(plan.size.resources),
        "securityContext": {
            **({} if plan.shared else {"runAsUser": 0}),
            "allowPrivilegeEscalation": False,  # no_new_privs, which seccomp filters need anyway
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], **({} if plan.shared else {"add": list(_ROOT_RIGHTS)})},
        },
        "startupProbe": _probe("/healthz", periodSeconds=2, failureThreshold=60),
        "livenessProbe": _probe("/healthz", periodSeconds=10, failureThreshold=6),
        "readinessProbe": _probe("/readyz", periodSeconds=2, failureThreshold=2),
        # Clients stop finding it before it stops taking sessions.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "key", "mountPath": KEY_FOLDER, "readOnly": True}],
    }


def _nobody(plan: PoolPlan) -> Object:
    """Return the security context of a pod whose sessions share its user; the group is there to read the key."""
    user = plan.frozen.pod_user
    return pod_security(str(USER) if user is None else user, plan.frozen.pod_group or "")


REQUIRED = ("gvisor", "read-only-root", "no-service-account-token")


def required(plan: PoolPlan) -> tuple[str, ...]:
    """Return what the server has to prove of its pod before it serves."""
    return (*REQUIRED, "unprivileged" if plan.shared else "own-uid")


def _probe(path: str, **times: int) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 5} | times


def live_sessions(plan: PoolPlan) -> int:
    """Return how many sessions of each variant one pod keeps alive."""
    return max(1, _memory(plan) // 2 // SESSION_MIB)


def _variants(plan: PoolPlan) -> int:
    return VARIANTS if plan.frozen.kind == "EnvSynthesis" else 1


def _memory(plan: PoolPlan) -> int:
    """Return the MiB of a pod that each variant has."""
    return (int(parse(plan.size.resources.memory)) >> 20) // _variants(plan)


def _settings(plan: PoolPlan) -> dict[str, str]:
    """Return what the server is told: where, with which key, how far a call may go, how many at once, and how much memory it may keep.

    gVisor counts the time in which a process waits for a CPU as its CPU time. So no more calls run at once than the pod is sure to have
    CPUs for, and one that stands still; else a call that shares a CPU with many others would meet its limit by their work.
    """
    variants, mib = _variants(plan), _memory(plan)
    cpus = math.ceil(parse(plan.size.resources.cpu))
    told = {
        "port": PORT,
        "key_file": f"{KEY_FOLDER}/{KEY}",
        "drain_seconds": DRAIN_SECONDS,
        "zygote_mib": max(16, mib // 4),
        "log_mib": max(16, mib // 8),
        "live": live_sessions(plan),
        "parallel": max(1, (cpus + 1) // variants),
        **({"variants": variants} if variants > 1 else {}),
    }
    return {f"ASTRA_SANDBOX_{name.upper()}": str(value) for name, value in (told | _limits(plan)).items()}


def _limits(plan: PoolPlan) -> dict[str, float]:
    """Return the walls of a call; what the spec does not say is the server's default, which is also that of a job's own process."""
    if plan.frozen.kind == "EnvSynthesis":
        tool = ToolLimits.model_validate(plan.spec.get("tool") or {})
        seconds = tool.verification_seconds if plan.stage == "synthesise" else tool.seconds
        return {"seconds": seconds, "memory_mib": tool.memory_mib, "output_chars": tool.output_chars}
    if plan.stage == "train":
        return {"output_chars": RlRollout.model_validate(plan.spec.get("rollout") or {}).max_tool_chars}
    return {}
