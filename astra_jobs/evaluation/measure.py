"""Running a policy over held-out environments, and turning its episodes into numbers."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from astra_jobs.api.base import digest_of
from astra_jobs.api.request import SandboxService
from astra_jobs.api.v1alpha1.training import EvaluationSpec
from astra_jobs.episodes.loop import EpisodeLimits, relabel
from astra_jobs.episodes.runner import Runner, Task
from astra_jobs.evaluation.bootstrap import interval
from astra_jobs.model.generation.base import Engine, Sampling, Trajectory
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.environment import Environment
from astra_jobs.records.episode import Episode
from astra_jobs.records.evaluation import Measured, Mode, ModeResult, Slice
from astra_jobs.sandbox.choice import sandbox_of
from astra_jobs.sandbox.protocol import SandboxLimits

TEMPERATURES: dict[Mode, float] = {"Greedy": 0.0, "Sampled": 1.0, "Control": 0.0}


@dataclass(frozen=True)
class Bench:
    """Held-out environments, the bounds of their episodes, and the pool that runs their tools (None: this process)."""

    environments: Sequence[Environment]
    spec: EvaluationSpec
    tell: Callable[[str], None]
    service: SandboxService | None = None


def play(bench: Bench, engine: Engine, renderer: Renderer, modes: Sequence[Mode]) -> list[tuple[Measured, Episode]]:
    """Run every environment once in each mode; mode by mode, in the environments' order."""

    async def run() -> list[tuple[Measured, Episode]]:
        limits = EpisodeLimits(bench.spec.max_turns)
        done: list[tuple[Measured, Episode]] = []
        async with sandbox_of(bench.service, SandboxLimits(output_chars=limits.max_tool_chars)) as sandbox:
            runner: Runner[Sampling, Trajectory] = Runner(engine, renderer, sandbox, limits)
            for mode in modes:
                bench.tell(f"{mode}: {len(bench.environments)} episodes")
                tasks = [Task(entry, 0, entry.id) for entry in bench.environments]
                found = await runner.run(tasks, _sampling(bench.spec, renderer, mode))
                done += [
                    (measured(entry, episode, mode), relabel(episode, mode=mode))
                    for entry, (episode, _) in zip(bench.environments, found, strict=True)
                ]
        return done

    return asyncio.run(run())


def _sampling(spec: EvaluationSpec, renderer: Renderer, mode: Mode) -> Sampling:
    return Sampling(
        temperature=TEMPERATURES[mode],
        max_turns=spec.max_turns,
        max_response_tokens=spec.max_response_tokens,
        stop=renderer.stop,
        seed=digest_of(["evaluation", mode]),
    )


def measured(environment: Environment, episode: Episode, mode: Mode) -> Measured:
    """Return an episode in numbers."""
    return Measured(
        environment=environment.id,
        mode=mode,
        scenario=environment.scenario,
        hops=max(node.hop for node in environment.graph.nodes),
        reward=episode.reward.value,
        solved=episode.reward.solved == episode.reward.targets,
        calls=episode.reward.calls,
        turns=episode.turns,
        tokens=episode.response_tokens,
        truncated=episode.ending in ("TurnLimit", "TokenLimit"),
        masked=episode.reward.masked,
        echoed=episode.reward.echoed,
    )


def summary(rows: Sequence[Measured], mode: Mode, resamples: int) -> ModeResult:
    """Return means with intervals over the episodes that infrastructure did not lose."""
    kept = [row for row in rows if not row.masked]
    return ModeResult(
        mode=mode,
        episodes=len(kept),
        masked=len(rows) - len(kept),
        reward=interval([row.reward for row in kept], resamples),
        solved=interval([float(row.solved) for row in kept], resamples),
        calls=interval([float(row.calls) for row in kept], resamples),
        turns=interval([float(row.turns) for row in kept], resamples),
        tokens=interval([float(row.tokens) for row in kept], resamples),
        truncated=sum(row.truncated for row in kept) / len(kept),
        echoed=sum(row.echoed for row in kept) / len(kept),
        slices=_slices(kept),
    )


def _slices(rows: Sequence[Measured]) -> list[Slice]:
    parts: dict[str, list[Measured]] = {}
    for row in rows:
        parts.setdefault(row.scenario, []).append(row)
        parts.setdefault(f"hops {row.hops}", []).append(row)
    return [
        Slice(
            name=name,
            episodes=len(part),
            reward=sum(row.reward for row in part) / len(part),
            solved=sum(row.solved for row in part) / len(part),
        )
        for name, part in sorted(parts.items())
    ]
