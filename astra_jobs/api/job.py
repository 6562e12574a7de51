"""The job contract: ``run(request, inputs, out, ctx) -> metrics``.

A job reads artifacts from local folders, writes its artifact into the empty folder ``out`` and returns small metrics
for status. Every effect it may have comes in through ``ctx``; it knows no cluster, no store and no environment.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import StageRequest

Metrics = Mapping[str, float | int | str]


class Progress(Protocol):
    """Tells how far the job is; cheap to call often."""

    def update(self, step: int, total: int, message: str = "", metrics: Metrics | None = None) -> None:
        """Replace the report; also proves that the job is alive."""


class Journal(Protocol):
    """A durable log of finished items, so that a killed job does not do them again.

    ``append`` is durable after the next group commit (at most one second later) or ``flush``. ``items`` gives the
    committed items of every earlier incarnation of the same (attempt, stage, shard), in order.
    """

    def items(self) -> Iterable[dict[str, Any]]:
        """Yield what was committed before, oldest first."""

    def append(self, item: dict[str, Any]) -> None:
        """Add one finished item."""

    def flush(self) -> None:
        """Commit everything appended so far."""


class Checkpoints(Protocol):
    """Whole-state snapshots in the store under this (attempt, stage, shard); a commit is all or nothing."""

    def latest(self) -> tuple[int, Path] | None:
        """Fetch the newest committed checkpoint: its step and a local folder, or None."""

    def save(self, step: int, folder: Path) -> None:
        """Commit a folder as the checkpoint of a step; older ones beyond the last two are removed."""


class SharedArtifacts(Protocol):
    """Artifacts keyed by what they are made from, shared between runs (an evaluation of one model, say)."""

    def get_or_make(self, purpose: str, key: Mapping[str, Any], make: Callable[[Path], Metrics]) -> Path:
        """Return the committed folder for a key; ``make`` fills an empty folder when there is none yet."""


@dataclass(frozen=True)
class Inputs:
    """Fetched and digest-checked inputs by role; ``stages`` holds this attempt's earlier stages as 'stage/shard'."""

    folders: Mapping[str, Path]
    stages: Mapping[str, Path] = field(default_factory=dict)

    def many(self, role: str) -> list[Path]:
        """Return the folders of a list-valued role in spec order (role/0, role/1, …)."""
        return _numbered(self.folders, role)

    def shards(self, stage: str) -> list[Path]:
        """Return the folders of all shards of an earlier stage in order, however many pods made them."""
        return _numbered(self.stages, stage)


def _numbered(folders: Mapping[str, Path], prefix: str) -> list[Path]:
    found = {int(key.split("/")[1]): path for key, path in folders.items() if key.startswith(prefix + "/")}
    if sorted(found) != list(range(len(found))):
        raise BadInput(prefix, "InputUnavailable", f"found numbers {sorted(found)}; they must count from 0 without a gap")
    return [found[index] for index in sorted(found)]


def no_secret(name: str, key: str) -> str:
    """Refuse: no secrets are mounted."""
    raise BadInput(f"secrets/{name}/{key}", "SecretUnavailable", "no secrets are mounted here")


@dataclass(frozen=True)
class JobContext:
    """Every effect a job may have.

    ``rank`` and ``world`` tell a training job which of its processes this is; rank 0 alone writes ``out``, checkpoints and
    progress. ``should_stop`` turns true when the pod is told to end: save a checkpoint and raise ``Preempted``. ``folder`` is where
    commands that the spec names are started: the manifest's folder on a laptop, the pod's working folder in a cluster. ``secret``
    returns the value under a name and key that the spec refers to, and raises BadInput where there is none. ``inherited`` is what
    processes that the job starts for others get of its environment.
    """

    seed: int
    shard: int
    progress: Progress
    journal: Journal
    checkpoints: Checkpoints
    shared: SharedArtifacts
    scratch: Path
    rank: int = 0
    world: int = 1
    should_stop: Callable[[], bool] = lambda: False
    folder: Path = Path()
    secret: Callable[[str, str], str] = no_secret
    inherited: Mapping[str, str] = field(default_factory=dict)

    def stream(self, *names: object) -> random.Random:
        """Return an independent random stream named by its purpose, equal on every machine and in every order."""
        return random.Random(digest_of([self.seed, *map(str, names)]))


JobFunction = Callable[[StageRequest, Inputs, Path, JobContext], Metrics]
