"""Names and labels of child objects: the same for the same thing, on every pass and after every restart.

A workload's name ends in attempt, stage and restart, so two executions never share one. It begins with the run's name, cut where the
two are longer than ``LONGEST_NAME``, so whatever a run may be called (``api.v1alpha1.names``) its children can bear.
"""

import hashlib

from astra_jobs.api.artifact import Kind
from astra_jobs.api.base import GROUP
from astra_jobs.api.v1alpha1.names import LONGEST_NAME

SHORT: dict[Kind, str] = {"ToolCorpus": "corpus", "ChainSynthesis": "chains", "EnvSynthesis": "envs", "SFTRun": "sft", "RLRun": "rl"}

LABEL_RUN = f"{GROUP}/run"
LABEL_KIND = f"{GROUP}/kind"
LABEL_UID = f"{GROUP}/run-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_STAGE = f"{GROUP}/stage"
LABEL_RESTART = f"{GROUP}/restart"
LABEL_POOL = f"{GROUP}/pool"
LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
LABEL_MANAGED = "app.kubernetes.io/managed-by"
MANAGER = "astra-operator"
END_ANNOTATION = f"{GROUP}/end"
STACKS_ANNOTATION = f"{GROUP}/stacks"
LOG_ANNOTATION = f"{GROUP}/last-lines"
SIZE_ANNOTATION = f"{GROUP}/size"


def attempt_name(kind: Kind, run: str, attempt: int) -> str:
    """Return the name of an attempt's ConfigMap."""
    return _fit(kind, run, f"-{attempt}")


def workload_name(kind: Kind, run: str, attempt: int, stage: str, restart: int) -> str:
    """Return the name of a workload and of its request's ConfigMap."""
    return _fit(kind, run, f"-{attempt}-{stage}-{restart}")


def pool_name(kind: Kind, run: str, attempt: int, stage: str) -> str:
    """Return the name of a stage's sandbox pool: of its Deployment, Service, NetworkPolicy and PodDisruptionBudget."""
    return _fit(kind, run, f"-{attempt}-{stage}-sandbox")


def key_name(pool: str, uid: str) -> str:
    """Return the name of the Secret with a pool's key. The operator may not read whose it is, so the name tells: by the run's UID."""
    return f"{pool}-{hashlib.sha256(uid.encode()).hexdigest()[:8]}"


def _fit(kind: Kind, run: str, suffix: str) -> str:
    suffix = f"-{SHORT[kind]}{suffix}"
    if len(run) + len(suffix) <= LONGEST_NAME:
        return run + suffix
    # Two long names must not meet after the cut: eight hex digits of the whole name keep them apart.
    mark = hashlib.sha256(run.encode()).hexdigest()[:8]
    return f"{run[: LONGEST_NAME - len(suffix) - 9].rstrip('-')}-{mark}{suffix}"
