"""Contexts, requests and whole small runs for the tests of EnvSynthesis."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from astra_jobs.api.job import Inputs, JobContext
from astra_jobs.api.request import SandboxService, StageRequest, StoreSettings
from astra_jobs.api.v1alpha1.envs import EnvSynthesisSpec
from astra_jobs.authors.procedural_envs.plan import DEFECTS
from astra_jobs.envs import job


@dataclass
class MemoryJournal:
    """A journal that outlives a job, as the store's does."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    most: int | None = None
    """Raise Killed instead of keeping more items."""

    def items(self) -> Iterable[dict[str, Any]]:
        return list(self.kept)

    def append(self, item: dict[str, Any]) -> None:
        if self.most is not None and len(self.kept) >= self.most:
            raise Killed
        self.kept.append(item)

    def flush(self) -> None:
        pass


class Killed(Exception):
    """Stands for kill -9."""


class Silent:
    """Progress that nobody watches."""

    def update(self, step: int, total: int, message: str = "", metrics: Any = None) -> None:
        pass


def make_spec(questions: int, **other: Any) -> dict[str, Any]:
    worlds = other.pop("worlds", {})
    seeds = {"procedural": {"questions": questions, "worlds": worlds}}
    defects = other.pop("defects", {})
    author = {"procedural": {"defects": defects}}
    return EnvSynthesisSpec.model_validate({"author": author, "seeds": seeds, **other}).to_dict()


@dataclass
class Bench:
    """Runs the two stages in a folder, with tools in a pool where one is given."""

    root: Path
    seed: int = 0
    pool: SandboxService | None = None
    journals: dict[int, MemoryJournal] = field(default_factory=dict)

    def context(self, shard: int, **other: Any) -> JobContext:
        journal = self.journals.setdefault(shard, MemoryJournal())
        unused: Any = None
        return JobContext(self.seed, shard, Silent(), journal, unused, unused, self.root, **other)

    def request(self, spec: dict[str, Any], stage: str, shards: int) -> StageRequest:
        return StageRequest(
            kind="EnvSynthesis", name="envs", namespace="default", attempt=1, digest="sha256:" + "0" * 64, stage=stage, shards=shards,
            spec=spec, store=StoreSettings(url="memory://"), sandbox=self.pool,
        )  # fmt: skip

    def synthesise(self, spec: dict[str, Any], shard: int = 0, shards: int = 1, **context: Any) -> Path:
        out = self.root / f"shard-{shard}-of-{shards}"
        out.mkdir(exist_ok=True)
        job.synthesise(self.request(spec, "synthesise", shards), Inputs({}), out, self.context(shard, **context))
        return out

    def merge(self, spec: dict[str, Any], folders: list[Path], name: str = "merged") -> Path:
        out = self.root / name
        out.mkdir()
        stages = {f"synthesise/{number}": folder for number, folder in enumerate(folders)}
        job.merge(self.request(spec, "merge", 1), Inputs({}, stages), out, self.context(0))
        return out


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    def make(name: str = "run", seed: int = 0) -> Bench:
        folder = tmp_path / name
        folder.mkdir()
        return Bench(folder, seed)

    return make


@dataclass(frozen=True)
class Run:
    """One finished run that several tests look at."""

    spec: dict[str, Any]
    shards: list[Path]
    merged: Path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Make 300 questions in two shards and merge them, once for all tests; every defect is planted often enough to be seen."""
    bench = Bench(tmp_path_factory.mktemp("envs"))
    spec = make_spec(300, heldOut=0.45, distractors={"perBand": 2}, defects=dict.fromkeys(map(to_camel, DEFECTS.values()), 0.032))
    shards = []
    for shard in range(2):
        shards.append(bench.synthesise(spec, shard, 2))
    return Run(spec, shards, bench.merge(spec, shards))


@pytest.fixture
def spec_of() -> Callable[..., dict[str, Any]]:
    return make_spec


@pytest.fixture
def killed() -> type[Exception]:
    return Killed
