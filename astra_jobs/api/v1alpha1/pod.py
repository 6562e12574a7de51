"""The narrow part of a pod that a run may set: what it needs, where it may go, what it may read.

No pod template: commands, security settings and the paths under ``/astra`` belong to the operator.
"""

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import model_validator

from astra_jobs.api.base import Model, spec_field
from astra_jobs.api.v1alpha1.names import DataKey, ImageName, LabelKey, LabelValue, MountPath, Name, ObjectName, VariableName
from astra_jobs.api.v1alpha1.quantities import Cpu, Memory

ROOT = "/astra"
RESERVED_PREFIXES = ("ASTRA_", "PET_")
RESERVED_VARIABLES = ("JOB_COMPLETION_INDEX", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")


class Resources(Model):
    """CPU, memory and local storage of one pod: admission on a laptop, requests and limits in a cluster."""

    cpu: Cpu = spec_field("1", about="CPU of one pod, a number or text, what is finer than 1m rounded up", unit="cores", operational=True)
    memory: Memory = spec_field("2Gi", about="memory of one pod, a number or text", unit="bytes", operational=True)
    ephemeral_storage: Memory | None = spec_field(
        None,
        about=(
            "most that one pod may write to its node's disk, its scratch folder and its logs, a number or text; it is asked for too, "
            "so that queues and quotas must cover ephemeral-storage. Left out, the scratch folder is bounded, by 20Gi; a laptop ignores it"
        ),
        unit="bytes",
        operational=True,
    )


class Toleration(Model):
    """A taint that the pods may be placed beside."""

    key: LabelKey | None = spec_field(None, about="key of the taint; left out with operator Exists, every taint is meant", operational=True)
    operator: Literal["Exists", "Equal"] = spec_field(
        "Equal", about="Exists takes any value of the taint, Equal the given one", operational=True
    )
    value: LabelValue = spec_field("", about="value of the taint, with operator Equal", operational=True)
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = spec_field(
        None, about="effect of the taint; left out, every effect is meant", operational=True
    )

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError("operator Exists takes no value; remove it or use Equal")
        return self

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.operator == "Equal" and self.key is None:
            raise ValueError("operator Equal needs a key; add it or use Exists")
        return self


class SecretReference(Model):
    """A Secret of the run's namespace."""

    name: ObjectName = spec_field(about="name of the Secret in the same namespace", operational=True)


class ClaimVolume(Model):
    """A folder out of a PersistentVolumeClaim of the namespace."""

    name: Name = spec_field(about="name of the volume, unique in the list", operational=True)
    claim_name: ObjectName = spec_field(about="PersistentVolumeClaim in the same namespace", operational=True)
    mount_path: MountPath = spec_field(about="absolute path in the pod, unique in the list and outside of /astra", operational=True)
    read_only: bool = spec_field(False, about="true mounts the volume without the right to write", operational=True)

    @model_validator(mode="after")
    def _outside(self) -> Self:
        if self.mount_path == ROOT or self.mount_path.startswith(ROOT + "/"):
            raise ValueError("mountPath must lie outside of /astra, which belongs to the job")
        return self


class SecretVariable(Model):
    """An environment variable of the pods whose value is in a Secret."""

    name: VariableName = spec_field(about="name of the variable, unique in the list", operational=True)
    secret: ObjectName = spec_field(about="name of the Secret in the same namespace", operational=True)
    key: DataKey = spec_field(about="key in the Secret", operational=True)

    @model_validator(mode="after")
    def _free(self) -> Self:
        if self.name.startswith(RESERVED_PREFIXES) or self.name in RESERVED_VARIABLES:
            raise ValueError("name is set by the operator or the launcher; choose another variable")
        return self


class StagePod(Model):
    """What one stage's pods need where it differs from the run's; what is left out is the run's."""

    stage: Literal["collect", "synthesise", "merge", "prepare", "train", "evaluate"] = spec_field(
        about="stage that these settings are for", operational=True
    )
    resources: Resources | None = spec_field(None, about="CPU and memory of the stage's pods", operational=True)
    image: ImageName | None = spec_field(None, about="image of the stage's pods; a laptop ignores it", operational=True)
    node_selector: dict[LabelKey, LabelValue] | None = spec_field(
        None,
        about="labels of the nodes that the stage may use, in place of the run's; a laptop ignores it",
        operational=True,
        max_length=10,
    )
    tolerations: list[Toleration] | None = spec_field(
        None, about="taints that the stage's pods tolerate, in place of the run's; a laptop ignores it", operational=True, max_length=10
    )


class Pod(Model):
    """What the run's pods need. A laptop has one place and one program, so it ignores what says where a pod goes."""

    image: ImageName | None = spec_field(None, about="image of the run's pods; left out, the team's; a laptop ignores it", operational=True)
    resources: Resources = spec_field(Resources, about="CPU and memory of each pod of the run", operational=True)
    node_selector: dict[LabelKey, LabelValue] = spec_field(
        dict, about="labels of the nodes that the run may use; a laptop ignores it", operational=True, max_length=10
    )
    tolerations: list[Toleration] = spec_field(
        list, about="taints that the run's pods tolerate; a laptop ignores it", operational=True, max_length=10
    )
    service_account_name: ObjectName | None = spec_field(
        None, about="service account of the pods, whose token is never mounted; a laptop ignores it", operational=True
    )
    image_pull_secrets: list[SecretReference] = spec_field(
        list, about="Secrets with which images are pulled; a laptop ignores it", operational=True, max_length=5
    )
    volumes: list[ClaimVolume] = spec_field(
        list, about="folders out of PersistentVolumeClaims; a laptop refuses it", operational=True, max_length=10
    )
    secret_env: list[SecretVariable] = spec_field(
        list, about="environment variables out of Secrets; a laptop refuses it", operational=True, max_length=50
    )
    stages: list[StagePod] = spec_field(list, about="other values for single stages, one entry a stage", operational=True, max_length=6)

    @model_validator(mode="after")
    def _pull_secrets_once(self) -> Self:
        if not _unique(item.name for item in self.image_pull_secrets):
            raise ValueError("names in imagePullSecrets must be unique")
        return self

    @model_validator(mode="after")
    def _volumes_once(self) -> Self:
        if not _unique(item.name for item in self.volumes):
            raise ValueError("names in volumes must be unique")
        return self

    @model_validator(mode="after")
    def _paths_once(self) -> Self:
        if not _unique(item.mount_path for item in self.volumes):
            raise ValueError("mountPath in volumes must be unique")
        return self

    @model_validator(mode="after")
    def _variables_once(self) -> Self:
        if not _unique(item.name for item in self.secret_env):
            raise ValueError("names in secretEnv must be unique")
        return self

    @model_validator(mode="after")
    def _stages_once(self) -> Self:
        if not _unique(item.stage for item in self.stages):
            raise ValueError("stages in stages must be unique")
        return self

    def of_stage(self, stage: str) -> Self:
        """Return the settings of one stage's pods: the run's, with the stage's own entry over them."""
        mine = next((item for item in self.stages if item.stage == stage), None)
        given = {name: value for name in _PER_STAGE if (value := getattr(mine, name, None)) is not None}
        return self.model_copy(update=given)


_PER_STAGE = ("resources", "image", "node_selector", "tolerations")


def _unique(keys: Iterable[str]) -> bool:
    found = list(keys)
    return len(set(found)) == len(found)
