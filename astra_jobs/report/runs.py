"""What the report is made of: run objects with their stages' artifacts, fetched and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astra_jobs.api.artifact import Artifact, Manifest


@dataclass(frozen=True)
class Stage:
    """A finished stage: its artifact and the local folder of its files."""

    name: str
    artifact: Artifact
    manifest: Manifest
    folder: Path


@dataclass(frozen=True)
class Run:
    """A run object as the cluster holds it (dict of Kubernetes shape) and its finished stages in order."""

    body: dict[str, Any]
    stages: list[Stage]
