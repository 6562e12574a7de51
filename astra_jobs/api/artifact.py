"""What a stage leaves behind: a content-addressed folder in the store, named by the digest of its manifest."""

from typing import Literal

from pydantic import Field

from astra_jobs.api.base import Model

Kind = Literal["ToolCorpus", "ChainSynthesis", "EnvSynthesis", "SFTRun", "RLRun"]
KINDS: tuple[Kind, ...] = ("ToolCorpus", "ChainSynthesis", "EnvSynthesis", "SFTRun", "RLRun")


class FileEntry(Model):
    """One file of an artifact."""

    path: str = Field(description="path inside the artifact, '/'-separated")
    size: int = Field(description="bytes", ge=0)
    sha256: str = Field(description="hex digest of the bytes")
    records: int | None = Field(default=None, description="JSON lines in the file, for .jsonl files")


class Manifest(Model):
    """The commit record of an artifact; putting it (last, only if absent) is the commit.

    Holds nothing that differs between two equal runs: times and hosts go to a sidecar that is not hashed.
    """

    version: Literal[1] = 1
    key: str = Field(description="digest of what was asked for: attempt digest, stage and shard, or a shared key")
    kind: str = Field(description="kind of the run, or the purpose of a shared artifact")
    stage: str
    shard: int = 0
    files: list[FileEntry]
    metrics: dict[str, str] = Field(default_factory=dict, description="small numbers for status, as strings")
    inputs: list[str] = Field(default_factory=list, description="digests of the artifacts it was made from")


class Artifact(Model):
    """A pointer to a committed artifact."""

    uri: str = Field(description="fsspec URL of the folder that holds manifest.json")
    digest: str = Field(description="sha256 of the manifest's canonical bytes")
