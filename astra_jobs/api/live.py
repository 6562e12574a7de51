"""What a namespace's runs refer to: written by who sees the cluster and has no store, read by who has the store and sees no cluster."""

from typing import Literal

from pydantic import Field

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import Model


class LiveRun(Model):
    """A run that exists, in whatever state: what it refers to is kept."""

    uid: str = Field(min_length=1)
    name: str = Field(min_length=1)


class LiveList(Model):
    """Everything that the runs of a namespace refer to. Whatever begins to be used after ``time`` looks after itself in the store."""

    version: Literal[1] = 1
    namespace: str = Field(min_length=1)
    time: float = Field(description="seconds since the epoch, before the first of it was read", gt=0)
    runs: list[LiveRun] = Field(description="every run; their journals, checkpoints and logs are kept")
    keys: list[str] = Field(description="store keys of all stages of all attempts that are known")
    artifacts: list[Artifact] = Field(description="artifacts named by statuses, attempts, requests and results of pods")
