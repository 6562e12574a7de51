"""What a stage is told: the whole of a job's input, frozen in a file next to it (``in/request.json``)."""

from typing import Any

from pydantic import Field

from astra_jobs.api.artifact import Artifact, Kind
from astra_jobs.api.base import Model, digest_of


class Input(Model):
    """An artifact that a stage reads, under the role that the spec gave it."""

    role: str = Field(description="the spec field that named it, for example corpus, data/0, model, environments/0")
    kind: str = Field(description="kind of the run that made it")
    name: str = Field(description="name of that run")
    artifact: Artifact


class StoreSettings(Model):
    """Where artifacts live; credentials come from the pod's environment, never from here."""

    url: str = Field(description="fsspec URL, for example file:///data/store or s3://bucket/prefix")
    endpoint: str | None = Field(default=None, description="S3 endpoint URL, for stores that are not AWS")


class SandboxService(Model):
    """The pool that runs a stage's tool code, where it is not run in the job's own process."""

    urls: list[str] = Field(
        min_length=1, description="http://HOST:PORT; the host is a headless Service, with one address for each pod that is ready"
    )
    key_file: str = Field(description="file with the key that the pool asks for, read-only in the job's pod")
    isolation: str = Field(description="what the pool was promised to run in; one that does not show it is given no code")


class StageRequest(Model):
    """One stage of one attempt of one run.

    ``spec`` is the frozen effective spec of the kind (defaults filled in). The shard of an indexed workload comes
    from the pod (JOB_COMPLETION_INDEX), because all its pods read the same file.
    """

    kind: Kind
    name: str
    namespace: str
    uid: str = Field(
        default="", description="UID of the run; with attempt and restart it orders writers of one key (an older one is refused)"
    )
    attempt: int = Field(ge=1)
    restart: int = Field(default=0, ge=0, description="whole-workload restarts before this one")
    digest: str = Field(description="what is made: kind, frozen spec, input digests, rerun, without what this stage does not read")
    stage: str
    shards: int = Field(default=1, ge=1)
    spec: dict[str, Any]
    inputs: list[Input] = Field(default_factory=list)
    previous: list[Input] = Field(default_factory=list, description="artifacts of this attempt's earlier stages; role 'stage/shard'")
    store: StoreSettings
    isolation: str = Field(default="Process", description="what tool code runs in; Process on a laptop")
    sandbox: SandboxService | None = Field(
        default=None, description="where tool code runs; absent for Process, and for stages that call no tools"
    )

    def key(self, shard: int) -> str:
        """Return the store key of what this stage makes: equal for a restarted, re-applied or reverted run."""
        return digest_of([self.digest, self.stage, shard, self.shards])
