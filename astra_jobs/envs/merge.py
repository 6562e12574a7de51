"""The merge stage: all shards' environments, split, mixed with irrelevant tools, written, and replayed (SPEC 3.7 to 3.9)."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from astra_jobs.api.errors import EXIT_BAD_INPUT, EXIT_TRANSIENT, BadInput, JobError, Transient
from astra_jobs.api.job import Inputs, JobContext, Metrics
from astra_jobs.api.request import SandboxService, StageRequest
from astra_jobs.api.v1alpha1.envs import EnvSynthesisSpec
from astra_jobs.envs.distractors import mix, pool_of
from astra_jobs.envs.export import write_export
from astra_jobs.envs.funnel import Outcome, funnel, total
from astra_jobs.envs.split import held_out
from astra_jobs.records.environment import Environment
from astra_jobs.records.funnel import Dropped, StageReport
from astra_jobs.records.lines import read_lines, write_lines
from astra_jobs.sandbox.protocol import SandboxLimits

FILES = {"Train": "train.jsonl", "HeldOut": "heldout.jsonl"}


def merge(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    """Write train.jsonl, heldout.jsonl, export.jsonl (training split), dropped.jsonl and report.json."""
    spec = EnvSynthesisSpec.model_validate(request.spec)
    outcomes = collect(inputs, spec.seeds.procedural.questions)
    ctx.progress.update(1, 4, "split and irrelevant tools")
    splits, numbers = assemble([outcome.environment for outcome in outcomes if outcome.environment], spec, ctx)
    ctx.progress.update(2, 4, "replay of the written environments")
    failed = replay_written(splits, out, spec, request.sandbox)
    ctx.progress.update(3, 4, "export")
    outcomes = [_refuse(outcome, failed) for outcome in outcomes]
    splits = {name: [environment for environment in kept if environment.id not in failed] for name, kept in splits.items()}
    for name, kept in splits.items():
        if failed or not kept:
            write_lines(out / FILES[name], kept)
    if not splits["Train"]:
        raise BadInput("seeds", "NothingKept", "no training environment is left; see the funnel in report.json of the shards")
    write_export(out / "export.jsonl", splits["Train"])
    write_lines(out / "dropped.jsonl", [outcome.dropped for outcome in outcomes if outcome.dropped])
    report = _report(outcomes, splits, numbers)
    write_lines(out / "report.json", [report])
    ctx.progress.update(4, 4, "done")
    return {name: report.numbers[name] for name in ("questions", "environments", "train", "heldOut", "mutationKillRate")}


def collect(inputs: Inputs, questions: int) -> list[Outcome]:
    """Read all shards' outcomes in the order of the questions; BadInput when one is missing or there twice."""
    folders = inputs.shards("synthesise")
    outcomes = [outcome for folder in folders for outcome in read_lines(folder / "outcomes.jsonl", Outcome)]
    outcomes.sort(key=lambda outcome: outcome.index)
    if [outcome.index for outcome in outcomes] != list(range(questions)):
        raise BadInput(
            "synthesise", "InputUnavailable", f"{len(outcomes)} outcomes in {len(folders)} shards do not make up {questions} questions"
        )
    return outcomes


def assemble(
    environments: Sequence[Environment], spec: EnvSynthesisSpec, ctx: JobContext
) -> tuple[dict[str, list[Environment]], Counter[str]]:
    """Split the environments and give each its irrelevant tools."""
    numbers: Counter[str] = Counter()
    apart = held_out(environments, spec.held_out, ctx.stream("envs", "split"))
    splits: dict[str, list[Environment]] = {}
    for name in FILES:
        chosen = [environment for position, environment in enumerate(environments) if (position in apart) == (name == "HeldOut")]
        pool = pool_of(chosen)
        splits[name] = []
        for environment in chosen:
            mixed, counts = mix(environment, pool, spec.distractors, ctx.stream("envs", "distractors", environment.id))
            splits[name].append(mixed.model_copy(update={"split": name}))
            numbers.update(counts)
    return splits, numbers


def replay_written(
    splits: dict[str, list[Environment]], out: Path, spec: EnvSynthesisSpec, service: SandboxService | None
) -> dict[str, str]:
    """Write the splits, and prove what was written in a fresh process; return id → fault of those that do not hold."""
    for name, kept in splits.items():
        write_lines(out / FILES[name], kept)
    limits = SandboxLimits(seconds=spec.tool.seconds, memory_mib=spec.tool.memory_mib, output_chars=spec.tool.output_chars)
    told = [json.dumps(limits.to_dict()), json.dumps(service.to_dict() if service is not None else None)]
    command = [sys.executable, "-m", "astra_jobs.envs.replay", *told, *(str(out / file) for file in FILES.values())]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise _failure(ran)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    written = sum(map(len, splits.values()))
    if not lines or lines[-1].get("replayed") != written:
        raise Transient("replay", "Failed", f"the replay did not report on all of the {written} environments")
    return {line["id"]: line["fault"] for line in lines[:-1]}


def _failure(ran: "subprocess.CompletedProcess[str]") -> JobError:
    """Return why a replay ended: what it said of itself, else how it ended."""
    kind = Transient if ran.returncode in (EXIT_TRANSIENT, -9, -15) else BadInput
    if ran.returncode in (EXIT_TRANSIENT, EXIT_BAD_INPUT) and ran.stdout:
        where, reason, message = json.loads(ran.stdout.splitlines()[-1])
        return kind(where, reason, message)
    last = ran.stderr.strip().splitlines()[-1:] or ["no message"]
    return kind("replay", "Failed", f"the replay of the written environments ended with {ran.returncode}: {last[0]}")


def _refuse(outcome: Outcome, failed: dict[str, str]) -> Outcome:
    """Return the outcome, turned into a drop when its environment failed the replay."""
    environment = outcome.environment
    if environment is None or environment.id not in failed:
        return outcome
    name, why = environment.id, failed[environment.id]
    dropped = Dropped(what="environment", name=name, filter="replay", reason="ReplayFailed", detail=why, labels=environment.labels)
    return Outcome(index=outcome.index, dropped=dropped, numbers=outcome.numbers)


def _report(outcomes: Sequence[Outcome], splits: dict[str, list[Environment]], numbers: Counter[str]) -> StageReport:
    kept = [environment for environments in splits.values() for environment in environments]
    mutants = sum(environment.verification.mutants for environment in kept)
    killed = sum(environment.verification.mutants_killed for environment in kept)
    scenarios = Counter(f"scenario{environment.scenario}" for environment in kept)
    return StageReport(
        kind="EnvSynthesis",
        funnel=funnel(outcomes),
        numbers={
            "questions": len(outcomes),
            "environments": len(kept),
            "train": len(splits["Train"]),
            "heldOut": len(splits["HeldOut"]),
            "targets": sum(len(environment.targets) for environment in kept),
            "mutants": mutants,
            "mutantsKilled": killed,
            "mutationKillRate": killed / mutants if mutants else 0.0,
            **scenarios,
            **total(outcomes),
            **numbers,
        },
        notes=["acceptedBySubstring is the paper's rule on printed results; it is counted and decides nothing"],
    )
