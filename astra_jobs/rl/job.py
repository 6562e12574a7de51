"""The two stages of an RLRun before its evaluation: ``prepare`` finds errors before training begins, ``train`` learns.

``prepare`` writes environments.jsonl (what is trained on; prompts too long for ``rollout.maxPromptTokens`` are dropped and
counted) and report.json (the plan). ``train`` writes model/, curve.jsonl, transcripts.jsonl, prompts.jsonl, report.json.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from astra_jobs.api.base import canonical
from astra_jobs.api.errors import BadInput
from astra_jobs.api.job import Inputs, JobContext, Metrics
from astra_jobs.api.request import SandboxService, StageRequest
from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.episodes.loop import opening
from astra_jobs.model import dist, load
from astra_jobs.model.generation.transformers import TransformersEngine
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.environment import Environment
from astra_jobs.records.funnel import Dropped
from astra_jobs.records.lines import read_lines, write_lines
from astra_jobs.rl.filling import Filling
from astra_jobs.rl.loop import Training
from astra_jobs.rl.rollouts import Rollouts
from astra_jobs.rl.trainer import Trainer
from astra_jobs.sandbox.choice import sandbox_of
from astra_jobs.sandbox.protocol import SandboxLimits


def prepare(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    """Check model, environments and lengths; write the environments to train on and the plan."""
    spec = RLRunSpec.model_validate(request.spec)
    model, tokenizer = load.load(inputs.folders["model"] / "model")
    room, wanted = model.config.max_position_embeddings, spec.rollout.max_prompt_tokens + spec.rollout.max_response_tokens
    if wanted > room:
        raise BadInput(
            "rollout.maxResponseTokens",
            "SequenceTooLong",
            f"prompt and response may take {wanted} tokens, the model holds {room}; lower maxPromptTokens or maxResponseTokens",
        )
    found = _environments(inputs)
    _check_evaluation(spec, found, inputs, room)
    renderer = Renderer(tokenizer)
    lengths = {entry.id: len(renderer.prompt([tool.tool for tool in entry.tools], opening(entry))) for entry in found}
    kept = [entry for entry in found if lengths[entry.id] <= spec.rollout.max_prompt_tokens]
    dropped = [_too_long(entry, lengths[entry.id], spec) for entry in found if lengths[entry.id] > spec.rollout.max_prompt_tokens]
    if not kept:
        shortest = min(lengths.values())
        raise BadInput(
            "rollout.maxPromptTokens",
            "NoPromptFits",
            f"the shortest of {len(found)} prompts has {shortest} tokens, {spec.rollout.max_prompt_tokens} are allowed; raise it",
        )
    write_lines(out / "environments.jsonl", kept)
    write_lines(out / "dropped.jsonl", dropped)
    plan = {
        "environments": len(kept),
        "dropped": len(dropped),
        "scenarios": dict(sorted(Counter(entry.scenario for entry in kept).items())),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "longestPrompt": max(lengths[entry.id] for entry in kept),
        "meanPrompt": round(sum(lengths[entry.id] for entry in kept) / len(kept), 1),
        "episodesPerStep": spec.algorithm.groups_per_step * spec.algorithm.group_size,
        "leastPasses": round(spec.algorithm.steps * spec.algorithm.groups_per_step / len(kept), 3),
    }
    _write(out / "report.json", plan)
    ctx.progress.update(1, 1, f"{len(kept)} environments, {len(dropped)} too long")
    return {"environments": len(kept), "overLength": len(dropped), "longestPrompt": max(lengths[entry.id] for entry in kept)}


def train(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    """Train the policy; rank 0 writes the artifact."""
    torch.set_num_threads(1)
    spec = RLRunSpec.model_validate(request.spec)
    environments = {entry.id: entry for entry in read_lines(inputs.stages["prepare/0"] / "environments.jsonl", Environment)}
    model, tokenizer = load.load(inputs.folders["model"] / "model")
    with dist.joined(ctx.rank, ctx.world) as ranks:
        training, filling = asyncio.run(_train(spec, environments, (model, Renderer(tokenizer)), ranks, ctx, request.sandbox))
        ranks.barrier()
    metrics = _summary(training, filling)
    if ctx.rank == 0:
        load.save(model, tokenizer, out / "model")
        write_lines(out / "curve.jsonl", training.state.curve)
        write_lines(out / "transcripts.jsonl", training.state.transcripts)
        write_lines(out / "prompts.jsonl", filling.ledger())
        _write(out / "report.json", {**metrics, "ranks": ctx.world, "settings": spec.algorithm.to_dict()})
    return metrics


async def _train(
    spec: RLRunSpec,
    environments: dict[str, Environment],
    policy: tuple[Any, Renderer],
    ranks: dist.Group,
    ctx: JobContext,
    service: SandboxService | None,
) -> tuple[Training, Filling]:
    model, renderer = policy
    engine = TransformersEngine(model)
    async with sandbox_of(service, SandboxLimits(output_chars=spec.rollout.max_tool_chars)) as sandbox:
        rollouts = Rollouts(engine, renderer, sandbox, spec)
        training = Training(spec, environments, rollouts, Trainer(model, spec, ranks), ranks, ctx)
        training.resume()
        return training, await training.run()


def _environments(inputs: Inputs) -> list[Environment]:
    found = [entry for folder in inputs.many("environments") for entry in read_lines(folder / "train.jsonl", Environment)]
    if not found:
        raise BadInput("environments", "InputUnavailable", "their training split is empty; lower heldOut or ask for more questions")
    twice = [name for name, count in Counter(entry.id for entry in found).items() if count > 1]
    if twice:
        raise BadInput("environments", "DuplicateEnvironment", f"{twice[0]} comes twice; name each EnvSynthesis run once")
    return found


def _check_evaluation(spec: RLRunSpec, train_split: Sequence[Environment], inputs: Inputs, room: int) -> None:
    """Refuse, before anything is trained, what the evaluation stage could not carry out or would measure wrongly."""
    if spec.evaluation is None:
        return
    held_out = {entry.id for folder in inputs.many("evaluation") for entry in read_lines(folder / "heldout.jsonl", Environment)}
    both = sorted(held_out.intersection(entry.id for entry in train_split))
    if both:
        raise BadInput("evaluation.environments", "HeldOutLeak", f"{both[0]} is in the training split too; use other environments")
    if len(held_out) < spec.evaluation.episodes:
        mend = "lower it, or raise questions or heldOut of the environments"
        found = f"{spec.evaluation.episodes} are asked for, {len(held_out)} are held out"
        raise BadInput("evaluation.episodes", "TooFewEnvironments", f"{found}; {mend}")
    if spec.evaluation.max_response_tokens >= room:
        message = f"{spec.evaluation.max_response_tokens} leave no room for a prompt, the model holds {room} tokens; lower it"
        raise BadInput("evaluation.maxResponseTokens", "SequenceTooLong", message)


def _too_long(environment: Environment, length: int, spec: RLRunSpec) -> Dropped:
    return Dropped(
        what="environment",
        name=environment.id,
        filter="promptLength",
        reason="PromptTooLong",
        detail=f"{length} tokens, {spec.rollout.max_prompt_tokens} allowed",
        labels=environment.labels,
    )


def _summary(training: Training, filling: Filling) -> dict[str, float | int]:
    curve = training.state.curve
    fifth = max(1, len(curve) // 5)
    first, last = curve[:fifth], curve[-fifth:]
    return {
        "steps": len(curve),
        "episodes": sum(row.episodes for row in curve),
        "rewardFirst": round(sum(row.reward for row in first) / fifth, 4),
        "rewardLast": round(sum(row.reward for row in last) / fifth, 4),
        "validShare": round(sum(row.valid_share for row in curve) / max(1, len(curve)), 4),
        "truncatedLast": round(sum(row.truncated for row in last) / fifth, 4),
        "masked": round(sum(row.masked for row in curve) / max(1, len(curve)), 4),
        **{f"prompts{name[0].upper()}{name[1:]}": count for name, count in sorted(filling.counts().items())},
    }


def _write(path: Path, value: Any) -> None:
    path.write_bytes(json.dumps(json.loads(canonical(value)), indent=2, ensure_ascii=False).encode() + b"\n")
