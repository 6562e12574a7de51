"""What all five kinds share: metadata, the common part of a spec, references, limits."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from astra_jobs.api.base import Model, spec_field
from astra_jobs.api.v1alpha1.names import LetterName, ManagerName, Name, ObjectName, QueueName
from astra_jobs.api.v1alpha1.pod import Pod

OPERATOR = "astra.dev/operator"

Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class Metadata(BaseModel):
    """The part of ObjectMeta that is read; everything else the API server adds is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Name
    namespace: str = "default"
    uid: str = ""
    generation: int = 1
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    creationTimestamp: str | None = None
    deletionTimestamp: str | None = None


class LetteredMetadata(Metadata):
    """Metadata of the kinds of which a PyTorchJob or a Service is made: not every name of a Job is one of theirs."""

    name: LetterName


class RunReference(Model):
    """A run of the same namespace whose artifact is used."""

    name: Name = spec_field(about="name of the run in the same namespace")


class Limits(Model):
    """When a run is given up."""

    deadline_seconds: int = spec_field(
        86_400, about="longest time that one attempt may take, waiting not counted", unit="s", operational=True, ge=1, le=315_360_000
    )
    pending_deadline_seconds: int | None = spec_field(
        None,
        about="longest time that one pod may wait to start, time in a queue not counted; left out, there is no such limit",
        unit="s",
        operational=True,
        ge=1,
        le=315_360_000,
    )
    stall_seconds: int = spec_field(
        900,
        about="longest time without progress before the workload is restarted as stuck",
        unit="s",
        operational=True,
        ge=5,
        le=315_360_000,
    )
    max_restarts: int = spec_field(
        3,
        about="restarts of the whole workload in one attempt before the run is Stalled; retries of each shard of a sharded stage",
        unit="restarts",
        operational=True,
        ge=0,
        le=1000,
    )


class CommonSpec(Model):
    """Fields that every kind has."""

    suspend: bool = spec_field(False, about="true stops the run's pods; false goes on from the last checkpoint", operational=True)
    managed_by: ManagerName | None = spec_field(
        None,
        about=f"controller that carries out the run; any other than {OPERATOR} makes the operator leave it alone; may not change once "
        "it is set; a laptop refuses others",
        operational=True,
    )
    rerun: str = spec_field("", about="any text; a new value starts a new attempt", max_length=200)
    retry: str = spec_field(
        "",
        about="any text; a new value lets an attempt that was given up go on from its last checkpoint, with a fresh budget of restarts and "
        "time; a launch that was made under another value does not count any more; does nothing to a run that has succeeded",
        operational=True,
        max_length=200,
    )
    on_input_change: Literal["Finish", "Replace", "Ignore"] = spec_field(
        "Finish", about="what a changed input does to a running attempt: let it end first, replace it at once, or nothing", operational=True
    )
    queue: QueueName | None = spec_field(
        None, about="LocalQueue of Kueue that admits the run's workloads; a laptop refuses it", operational=True
    )
    priority_class_name: ObjectName | None = spec_field(
        None, about="PriorityClass of the run's pods; a laptop refuses it", operational=True
    )
    seed: int = spec_field(0, about="seed of every random stream of the run", ge=0, le=2**53 - 1)
    pod: Pod = spec_field(Pod, about="what the run's pods need", operational=True)
    limits: Limits = spec_field(Limits, about="deadlines and restarts", operational=True)


class Resource(BaseModel):
    """A custom resource as it is written, applied and stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    apiVersion: Literal["astra.dev/v1alpha1"] = "astra.dev/v1alpha1"
    kind: str
    metadata: Metadata
    status: dict[str, Any] | None = None


class ProceduralWorlds(Model):
    """Difficulty of procedural worlds (SPEC 6): what one seeded world holds and what its questions ask."""

    entity_types: int = spec_field(3, about="entity types in a world; a chain of n hops needs n of them", ge=2, le=6)
    rows: int = spec_field(6, about="rows in each entity table", ge=2, le=40)
    max_hops: int = spec_field(3, about="longest dependency chain of a question", unit="hops", ge=1, le=5)
    parallel: Rate = spec_field(0.3, about="share of questions with independent branches", unit="share")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.max_hops > self.entity_types:
            raise ValueError("maxHops must not exceed entityTypes")
        return self
