"""What a stage answers: at most 4 KiB, because Kubernetes keeps no more of a termination message."""

from typing import Literal

from pydantic import Field

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import Model

MAX_BYTES = 4096


class ErrorInfo(Model):
    """The named failure of a job (see ``errors``)."""

    where: str
    reason: str
    message: str


class ProgressReport(Model):
    """How far a job is; untrusted, small, may be missing."""

    step: int = Field(ge=0)
    total: int = Field(ge=0)
    message: str = ""
    metrics: dict[str, str] = Field(default_factory=dict)
    time: float = Field(default=0.0, description="seconds since the epoch, when it was written")


class JobResult(Model):
    """How a stage ended."""

    outcome: Literal["Succeeded", "Failed"]
    exit_code: int = 0
    artifact: Artifact | None = None
    reused: bool = Field(default=False, description="the artifact was in the store already; nothing was executed")
    metrics: dict[str, str] = Field(default_factory=dict)
    error: ErrorInfo | None = None

    def encode(self) -> bytes:
        """Return at most 4,096 bytes: metrics are dropped first, then the message is cut; artifact and reason stay."""
        result = self
        data = result.model_dump_json(by_alias=True, exclude_none=True).encode()
        if len(data) > MAX_BYTES:
            result = result.model_copy(update={"metrics": {}})
            data = result.model_dump_json(by_alias=True, exclude_none=True).encode()
        if len(data) > MAX_BYTES and result.error is not None:
            cut = result.error.model_copy(update={"where": result.error.where[:200], "message": result.error.message[:600]})
            data = result.model_copy(update={"error": cut}).model_dump_json(by_alias=True, exclude_none=True).encode()
        return data
