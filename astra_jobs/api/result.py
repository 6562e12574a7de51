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

    def cut(self, length: int) -> "ErrorInfo":
        """Return the error with at most so many characters in its longest texts."""
        return self.model_copy(update={"where": self.where[:length], "message": self.message[:length]})


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
    checkpoint: int | None = Field(default=None, description="step of the newest committed checkpoint, where a stage makes any")
    reused: bool = Field(default=False, description="the artifact was in the store already; nothing was executed")
    metrics: dict[str, str] = Field(default_factory=dict)
    error: ErrorInfo | None = None

    def encode(self) -> bytes:
        """Return at most 4,096 bytes: metrics are dropped first, then the message is cut; artifact and reason stay."""
        shorter = [self, self.model_copy(update={"metrics": {}})]
        if self.error is not None:
            shorter += [shorter[1].model_copy(update={"error": self.error.cut(length)}) for length in (1200, 600, 300, 100)]
        encoded = (result.model_dump_json(by_alias=True, exclude_none=True).encode() for result in shorter)
        return next(data for data in encoded if len(data) <= MAX_BYTES)
