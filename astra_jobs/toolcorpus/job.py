"""ToolCorpus, stage ``collect``: tool documents from all sources, normalised, filtered, grouped by server (SPEC 1).

Writes ``servers.jsonl``, ``dropped.jsonl``, ``duplicates.jsonl`` and ``report.json``. Its bytes depend on the spec and
on what the real servers say, not on times or on the order of their answers.
"""

from pathlib import Path

from astra_jobs.api.base import canonical
from astra_jobs.api.errors import BadInput
from astra_jobs.api.job import Inputs, JobContext, Metrics
from astra_jobs.api.request import StageRequest
from astra_jobs.api.v1alpha1.corpus import CorpusSource, ToolCorpusSpec
from astra_jobs.records.funnel import StageReport
from astra_jobs.records.lines import write_lines
from astra_jobs.toolcorpus.filter import Sieve
from astra_jobs.toolcorpus.raw import RawServer
from astra_jobs.toolcorpus.sources.mcp import Surroundings, read, verdict
from astra_jobs.toolcorpus.sources.procedural import collect_procedural


def collect(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    """Run the stage; raises BadInput for tool servers that cannot be read, if the spec says so, and when no server is left."""
    spec = ToolCorpusSpec.model_validate(request.spec)
    total = len(spec.sources) + 1
    servers = _gather(spec, ctx, total)
    sieve = Sieve(spec.filters)
    for server in servers:
        sieve.add(server)
    if not sieve.kept:
        raise BadInput(
            "filters", "NothingKept", f"none of {len(servers)} servers is left: {_why(sieve)}; loosen the filters or add sources"
        )
    numbers = _write(out, sieve, len(servers))
    ctx.progress.update(total, total, f"kept {len(sieve.kept)} of {len(servers)} servers")
    return numbers


def _gather(spec: ToolCorpusSpec, ctx: JobContext, total: int) -> list[RawServer]:
    """Return the servers of all sources in the spec's order; real ones are read first, side by side."""
    real = [(index, source.name, source.mcp) for index, source in enumerate(spec.sources) if source.mcp is not None]

    def say(done: int, line: str) -> None:
        ctx.progress.update(done, total, line)

    around = Surroundings(ctx.folder, ctx.should_stop, ctx.secret, ctx.inherited, say, _log)
    servers = read(real, around)
    verdict(real, servers, spec.unreachable)
    found = {server.name: [server] for server in servers}
    for number, source in enumerate(_procedural(spec), start=len(real)):
        ctx.progress.update(number, total, f"generating {source.name}")
        assert source.procedural is not None, "chosen by that"
        found[source.name] = collect_procedural(source.name, source.procedural, spec.filters, ctx.stream)
    return [server for source in spec.sources for server in found[source.name]]


def _log(line: str) -> None:
    print(f"tool server {line}", flush=True)


def _procedural(spec: ToolCorpusSpec) -> list[CorpusSource]:
    return [source for source in spec.sources if source.procedural is not None]


def _why(sieve: Sieve) -> str:
    return ", ".join(f"{row.filter} dropped {row.dropped} of {row.seen}" for row in sieve.funnel.counts() if row.dropped)


def _notes(sieve: Sieve) -> list[str]:
    """Return what the counts do not say: drops that no truth is known of, and what conversion lost."""
    real = [item for item in sieve.funnel.dropped if "origin" not in item.labels]
    named = ", ".join(f"{item.name} ({item.reason}: {item.detail})" for item in real)
    told = [f"Dropped from real servers, where nothing is planted, so neither hits nor misses: {named}."] if real else []
    return told + sieve.losses


def _write(out: Path, sieve: Sieve, collected: int) -> dict[str, int]:
    kept, clusters = sieve.kept, sieve.clusters.found()
    numbers = {
        "serversCollected": collected,
        "servers": len(kept),
        "tools": sum(len(server.tools) for server in kept),
        "domains": len({server.domain for server in kept}),
        "dropped": len(sieve.funnel.dropped),
        "duplicateClusters": len(clusters),
    }
    write_lines(out / "servers.jsonl", kept)
    write_lines(out / "dropped.jsonl", sieve.funnel.dropped)
    write_lines(out / "duplicates.jsonl", clusters)
    report = StageReport(
        kind="ToolCorpus",
        funnel=sieve.funnel.counts(),
        numbers={name: float(value) for name, value in numbers.items()},
        notes=_notes(sieve),
    )
    (out / "report.json").write_bytes(canonical(report.to_dict()) + b"\n")
    return numbers
