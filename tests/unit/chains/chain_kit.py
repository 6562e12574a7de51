"""What the tests of ChainSynthesis share: servers, specs, contexts, runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from astra_jobs.api.base import Model
from astra_jobs.api.job import Inputs, JobContext
from astra_jobs.api.request import StageRequest, StoreSettings
from astra_jobs.api.v1alpha1.author import ChainDefects, ChainImperfections, ProceduralChainAuthor
from astra_jobs.api.v1alpha1.chains import ChainSynthesisSpec
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.chains import job
from astra_jobs.records.funnel import FilterCount, StageReport
from astra_jobs.records.lines import read_lines, write_lines
from astra_jobs.records.tool import Server, Tool, WorldReference
from astra_jobs.worlds.world import make_world

CLEAN = dict.fromkeys((field for field in ChainDefects.model_fields), 0.0)


def server_of(index: int, worlds: ProceduralWorlds | None = None) -> Server:
    world = make_world(2 * index, worlds or ProceduralWorlds())
    return Server(
        name=f"worlds-{index:05d}",
        domain=world.domain,
        origin="Procedural",
        world=WorldReference(seed=2 * index, worlds=world.params),
        tools=[tool.document() for tool in world.tools],
    )


def mcp_server() -> Server:
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    names = ("read_file", "write_file", "list_files")
    return Server(
        name="files",
        domain="files",
        origin="Mcp",
        tools=[Tool(name=name, description="a file tool", parameters=schema) for name in names],
    )


def author_of(defects: dict[str, float] | None = None, **imperfections: float) -> ProceduralChainAuthor:
    """Return an author without faults but the named ones."""
    return ProceduralChainAuthor(defects=ChainDefects(**{**CLEAN, **(defects or {})}), imperfections=ChainImperfections(**imperfections))


def spec_of(author: ProceduralChainAuthor | None = None, **fields: Any) -> ChainSynthesisSpec:
    base: dict[str, Any] = {
        "corpus": {"name": "tools"},
        "author": {"procedural": (author or ProceduralChainAuthor()).to_dict()},
        "walks": {"minLength": 1, "maxLength": 3, "perServer": 6},
        "tasks": {"serverOnly": 3},
    }
    return ChainSynthesisSpec.model_validate(base | fields)


class Quiet:
    """Progress that nobody reads."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def update(self, step: int, total: int, message: str = "", metrics: Any = None) -> None:
        self.steps.append((step, total))


class Killed(Exception):
    """The process ends here."""


class ShortJournal:
    """A journal that commits every item at once, and a process that dies after a number of them."""

    def __init__(self, lines: list[dict[str, Any]] | None = None, dies_after: int | None = None) -> None:
        self.lines = lines if lines is not None else []
        self.dies_after = dies_after
        self.added = 0

    def items(self) -> Iterable[dict[str, Any]]:
        return list(self.lines)

    def append(self, item: dict[str, Any]) -> None:
        self.lines.append(item)
        self.added += 1
        if self.added == self.dies_after:
            raise Killed

    def flush(self) -> None:
        pass


def context(tmp: Path, shard: int = 0, journal: ShortJournal | None = None, stop: bool = False) -> JobContext:
    unused = cast(Any, None)
    return JobContext(
        seed=0,
        shard=shard,
        progress=Quiet(),
        journal=journal or ShortJournal(),
        checkpoints=unused,
        shared=unused,
        scratch=tmp,
        should_stop=lambda: stop,
    )


def request_of(spec: ChainSynthesisSpec, stage: str, shards: int = 1) -> StageRequest:
    return StageRequest(
        kind="ChainSynthesis",
        name="chains",
        namespace="default",
        attempt=1,
        digest="sha256:" + "0" * 64,
        stage=stage,
        shards=shards,
        spec=spec.to_dict(),
        store=StoreSettings(url="memory://"),
    )


def write_corpus(tmp: Path, servers: Sequence[Server]) -> Inputs:
    (tmp / "corpus").mkdir(parents=True)
    write_lines(tmp / "corpus" / "servers.jsonl", servers)
    return Inputs({"corpus": tmp / "corpus"})


def fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def run_all(tmp: Path, spec: ChainSynthesisSpec, servers: Sequence[Server], shards: int = 1) -> Path:
    """Run every shard and the merge as the operator asks for them; return the merged artifact."""
    spec = spec.model_copy(update={"shards": shards})
    inputs = write_corpus(tmp, servers)
    stages = {}
    for shard in range(shards):
        stages[f"synthesise/{shard}"] = out = fresh(tmp / f"synthesise-{shard}")
        job.synthesise(request_of(spec, "synthesise", shards), inputs, out, context(tmp, shard))
    return run_merge(tmp, spec, stages)


def run_merge(tmp: Path, spec: ChainSynthesisSpec, stages: dict[str, Path]) -> Path:
    out = fresh(tmp / "merge")
    job.merge(request_of(spec, "merge"), Inputs({}, stages), out, context(tmp))
    return out


def report_in(folder: Path) -> StageReport:
    (report,) = read_lines(folder / "report.json", StageReport)
    return report


def rows_in(folder: Path) -> dict[str, FilterCount]:
    return {row.filter: row for row in report_in(folder).funnel}


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def without_labels(answer: Any) -> Any:
    """Return an answer with every label in it removed."""
    if isinstance(answer, Model):
        changes: dict[str, Any] = {name: without_labels(getattr(answer, name)) for name in type(answer).model_fields if name != "labels"}
        if "labels" in type(answer).model_fields:
            changes["labels"] = {}
        return answer.model_copy(update=changes)
    return [without_labels(item) for item in answer] if isinstance(answer, list) else answer
