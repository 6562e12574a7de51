"""The two stages of ChainSynthesis: ``synthesise`` over the servers of a shard, ``merge`` over all shards (SPEC 2).

Shard s of n has every n-th server of the corpus by name. A finished server goes into the journal, so a killed shard goes
on without doing it again; its artifact is the one that an undisturbed run makes, byte for byte.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from astra_jobs.api.base import as_declared, canonical
from astra_jobs.api.errors import BadInput, Preempted
from astra_jobs.api.job import Inputs, JobContext, Metrics
from astra_jobs.api.request import StageRequest
from astra_jobs.api.v1alpha1.chains import ChainSynthesisSpec
from astra_jobs.authors.procedural_chains import ProceduralChains
from astra_jobs.chains.canaries import check_judges
from astra_jobs.chains.card import make_card
from astra_jobs.chains.funnel import FILTERS, Funnel, add_counts
from astra_jobs.chains.merging import in_order, within_quota, without_copies
from astra_jobs.chains.server import ServerResult, Synthesis
from astra_jobs.records.conversation import Conversation
from astra_jobs.records.funnel import Dropped, FilterCount, StageReport
from astra_jobs.records.lines import read_lines, write_lines
from astra_jobs.records.tool import Server

IN_FLIGHT = 8


def synthesise(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    """Make the conversations of one shard's servers."""
    spec = ChainSynthesisSpec.model_validate(request.spec)
    servers = shard_of(list(read_lines(inputs.folders["corpus"] / "servers.jsonl", Server)), ctx.shard, request.shards)
    author = ProceduralChains(spec.author.procedural, spec.seed)
    results = asyncio.run(_synthesise(Synthesis(spec, author), servers, ctx))
    return _write_shard(out, results)


def merge(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    """Join the shards: drop copies across servers, keep the quota of recoveries, write the artifact and its card."""
    spec = ChainSynthesisSpec.model_validate(request.spec)
    shards = inputs.shards("synthesise")
    if len(shards) != spec.shards:
        raise BadInput("shards", "InputUnavailable", f"{len(shards)} of {spec.shards} shards have an artifact; run the attempt again")
    reports = [next(iter(read_lines(folder / "report.json", StageReport))) for folder in shards]
    counts = add_counts(report.funnel for report in reports)
    stop_if_unscored(counts, spec.judge.max_unscored)
    ctx.progress.update(0, 1, "joining the shards")
    funnel = Funnel()
    loaded = list(_with_lines(shards, "samples.jsonl"))
    lines = {record.id: line for record, line in loaded}
    samples, copies = without_copies(in_order(record for record, _ in loaded), funnel)
    samples, over = within_quota(samples, spec.judge.max_recovered, funnel)
    if not samples:
        raise BadInput("corpus", "NothingKept", "the filters left no conversation; see the drops in the shards' report.json")
    numbers = _joined_numbers(reports)
    numbers["selected"] = len(samples)
    counts = add_counts([counts, funnel.counts()])
    (out / "samples.jsonl").write_bytes(b"".join(lines[sample.id] for sample in samples))
    rejected = in_order([*(record for record, _ in _with_lines(shards, "rejected.jsonl")), *copies, *over])
    write_lines(out / "rejected.jsonl", rejected)
    drops: list[Dropped] = [drop for folder in shards for drop in read_lines(folder / "dropped.jsonl", Dropped)] + funnel.dropped
    drops.sort(key=lambda drop: (FILTERS.index(drop.filter), drop.name))
    write_lines(out / "dropped.jsonl", drops)
    write_lines(out / "report.json", [StageReport(kind="ChainSynthesis", funnel=counts, numbers=numbers)])
    (out / "card.json").write_bytes(canonical(make_card(samples, counts, numbers)) + b"\n")
    ctx.progress.update(1, 1, f"{len(samples)} conversations selected")
    return {"samples": len(samples), "rejected": len(rejected), "dropped": len(drops), "servers": len({s.server for s in samples})}


def shard_of(servers: list[Server], shard: int, shards: int) -> list[Server]:
    """Return every ``shards``-th server by name; raise BadInput for two servers of one name."""
    ordered = sorted(servers, key=lambda server: server.name)
    twice = [name for name, count in Counter(server.name for server in servers).items() if count > 1]
    if twice:
        raise BadInput("servers.jsonl", "InputUnavailable", f"two servers are named {twice[0]!r}; names must differ, make the corpus again")
    return ordered[shard::shards]


async def _synthesise(synthesis: Synthesis, servers: list[Server], ctx: JobContext) -> list[ServerResult]:
    """Run the servers that the journal does not hold, a few at a time; return all results in the servers' order."""
    accuracy = await check_judges(synthesis.author, synthesis.spec)
    wanted = {server.name for server in servers}
    done = {item["server"]: ServerResult(**item) for item in ctx.journal.items() if item["server"] in wanted}
    todo = [server for server in servers if server.name not in done]
    for first in range(0, len(todo), IN_FLIGHT):
        if ctx.should_stop():
            ctx.journal.flush()
            raise Preempted("", "Suspended", f"stopped after {len(done)} of {len(servers)} servers; the finished ones are kept")
        for result in await asyncio.gather(*(synthesis.run(server) for server in todo[first : first + IN_FLIGHT])):
            ctx.journal.append(dict(vars(result)))
            done[result.server] = result
        kept = sum(len(result.samples) for result in done.values())
        ctx.progress.update(len(done), len(servers), f"{kept} conversations selected", {"selected": kept})
    ctx.journal.flush()
    return [_with_accuracy(done[server.name], accuracy, index) for index, server in enumerate(servers)]


def _with_accuracy(result: ServerResult, accuracy: Mapping[str, float], index: int) -> ServerResult:
    """Put the judges' accuracy, which the whole shard has once, into the numbers of its first server."""
    if index:
        return result
    return replace(result, numbers=result.numbers | {f"canaryAccuracy.{name}": round(value, 6) for name, value in accuracy.items()})


def _write_shard(out: Path, results: list[ServerResult]) -> Metrics:
    totals = {}
    for name in ("samples", "rejected", "dropped"):
        totals[name] = _write_dicts(out / f"{name}.jsonl", (line for result in results for line in getattr(result, name)))
    counts = add_counts([FilterCount.model_validate(row) for row in result.counts] for result in results)
    numbers: Counter[str] = Counter()
    for result in results:
        numbers.update(result.numbers)
    report = StageReport(kind="ChainSynthesis", funnel=counts, numbers={name: float(value) for name, value in sorted(numbers.items())})
    write_lines(out / "report.json", [report])
    return totals


def _write_dicts(path: Path, lines: Iterable[dict[str, Any]]) -> int:
    count = 0
    with path.open("wb") as file:
        for line in lines:
            file.write(as_declared(line) + b"\n")
            count += 1
    return count


def _with_lines(folders: list[Path], name: str) -> Iterator[tuple[Conversation, bytes]]:
    """Yield the checked records of all shards, each with its line, so that what is kept is not encoded again."""
    for folder in folders:
        with (folder / name).open("rb") as file:
            yield from zip(read_lines(folder / name, Conversation), file, strict=True)


def _joined_numbers(reports: list[StageReport]) -> dict[str, float]:
    """Add the shards' numbers; an accuracy is the least of them."""
    numbers: dict[str, float] = {}
    for report in reports:
        for name, value in report.numbers.items():
            if name.startswith("canaryAccuracy."):
                numbers[name] = min(value, numbers.get(name, 1.0))
            else:
                numbers[name] = numbers.get(name, 0.0) + value
    return numbers


def stop_if_unscored(counts: list[FilterCount], most: float) -> None:
    """Raise BadInput (TooManyUnscored) when judges could not score more than a share of what they saw."""
    for row in counts:
        if row.unscored > most * row.seen:
            raise BadInput(
                "judge.maxUnscored",
                "TooManyUnscored",
                f"{row.unscored} of {row.seen} items at {row.filter} could not be scored, {most} of them may be; look at the author",
            )
