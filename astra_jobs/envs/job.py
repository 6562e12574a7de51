"""EnvSynthesis as a job: synthesise questions by shard, then merge them into one artifact (SPEC 3).

A shard owns the questions whose number leaves its remainder; every random stream is keyed by the number, so shards do
not change the result. A killed shard goes on from its journal, question by question.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path

from astra_jobs.api.base import as_declared
from astra_jobs.api.errors import BadInput, Preempted
from astra_jobs.api.job import Inputs, JobContext, Metrics
from astra_jobs.api.request import StageRequest
from astra_jobs.api.v1alpha1.envs import EnvSynthesisSpec
from astra_jobs.authors.base import Author
from astra_jobs.authors.procedural_envs.author import ProceduralEnvironments
from astra_jobs.envs.funnel import Outcome, funnel, total
from astra_jobs.envs.merge import merge as merge
from astra_jobs.envs.pipeline import Pipeline
from astra_jobs.envs.probes import Sandboxes
from astra_jobs.records.funnel import UNSCORED, StageReport
from astra_jobs.records.lines import write_lines
from astra_jobs.sandbox.choice import sandbox_of
from astra_jobs.sandbox.protocol import SandboxLimits

ABREAST = 8
"""Questions in flight at a time."""
UNSCORED_FLOOR, UNSCORED_SHARE = 20, 0.2
"""A run stops when more instances than these were unscored: the judge is broken, not the data."""


def synthesise(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    """Make the environments of one shard; writes outcomes.jsonl and report.json."""
    spec = EnvSynthesisSpec.model_validate(request.spec)
    author = ProceduralEnvironments(spec.author.procedural.defects)
    outcomes = asyncio.run(_synthesise(spec, author, ctx, request))
    outcomes.sort(key=lambda outcome: outcome.index)
    write_lines(out / "outcomes.jsonl", outcomes)
    kept = sum(outcome.environment is not None for outcome in outcomes)
    report = StageReport(
        kind="EnvSynthesis", funnel=funnel(outcomes), numbers={"questions": len(outcomes), "environments": kept, **total(outcomes)}
    )
    write_lines(out / "report.json", [report])
    return {"questions": len(outcomes), "environments": kept}


def verification_limits(spec: EnvSynthesisSpec) -> SandboxLimits:
    """Return the walls at verification: a share of the CPU time that a call will have later."""
    return SandboxLimits(seconds=spec.tool.verification_seconds, memory_mib=spec.tool.memory_mib, output_chars=spec.tool.output_chars)


async def _synthesise(spec: EnvSynthesisSpec, author: Author, ctx: JobContext, request: StageRequest) -> list[Outcome]:
    limits = verification_limits(spec)
    mine = range(ctx.shard, spec.seeds.procedural.questions, request.shards)
    done = {outcome.index: outcome for outcome in (Outcome.model_validate_json(as_declared(item)) for item in ctx.journal.items())}
    left = iter([index for index in mine if index not in done])
    async with sandbox_of(request.sandbox, limits) as first, sandbox_of(request.sandbox, limits, variant=1) as second:
        pipeline = Pipeline(spec, author, Sandboxes(first, second), ctx)

        async def work() -> None:
            for index in left:
                if ctx.should_stop():
                    return
                outcome = await pipeline.run(index)
                ctx.journal.append(outcome.to_dict())
                done[index] = outcome
                _check_unscored(done)
                ctx.progress.update(len(done), len(mine), "questions")

        await _abreast([work() for _ in range(ABREAST)])
    ctx.journal.flush()
    if len(done) < len(mine):
        raise Preempted("", "Suspended", f"told to stop after {len(done)} of {len(mine)} questions; they are kept")
    return list(done.values())


async def _abreast(works: Sequence[Coroutine[None, None, None]]) -> None:
    """Run workers side by side; the first failure ends the others and is raised as it is, not in a group."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _check_unscored(done: dict[int, Outcome]) -> None:
    unscored = sum(outcome.dropped is not None and outcome.dropped.reason == UNSCORED for outcome in done.values())
    if unscored > max(UNSCORED_FLOOR, UNSCORED_SHARE * len(done)):
        raise BadInput("author", "TooManyUnscored", f"{unscored} of {len(done)} instances got no verdict; look at the judge's answers")
