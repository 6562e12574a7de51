"""The evaluation stage of SFTRun and RLRun: the same held-out environments for every model and two controls (SPEC 7).

What one policy did is an artifact shared between runs, keyed by the model's bytes, the environments and the settings:
RLRun's base is SFTRun's result and not computed again. Writes evaluation.json and a few episodes of each policy.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from astra_jobs.api.base import canonical
from astra_jobs.api.errors import Transient
from astra_jobs.api.job import Inputs, JobContext, Metrics
from astra_jobs.api.request import StageRequest
from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.api.v1alpha1.sft import SFTRunSpec
from astra_jobs.api.v1alpha1.training import EvaluationSpec
from astra_jobs.evaluation.bootstrap import paired
from astra_jobs.evaluation.controls import ControlEngine, argument_pool, oracle_script, random_script
from astra_jobs.evaluation.heldout import HeldOut, held_out
from astra_jobs.evaluation.measure import Bench, play, summary
from astra_jobs.model import load
from astra_jobs.model.generation.base import Engine
from astra_jobs.model.generation.transformers import TransformersEngine
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.episode import Episode
from astra_jobs.records.evaluation import Difference, Evaluation, Measured, Mode, PolicyName, PolicyResult
from astra_jobs.records.lines import read_lines, write_lines

RECIPE = 1
"""Raised when the same model would be measured otherwise, so that shared results are not mixed."""
SHOWN = 20
"""Episodes kept of each policy and mode."""
MOST_MASKED = 0.02
"""Share of episodes that infrastructure may lose before the stage fails instead of reporting on the rest."""


@dataclass(frozen=True)
class Policy:
    """Something to measure: a name, the digest of what it is, and how to load it when it must be run."""

    name: PolicyName
    digest: str
    modes: tuple[Mode, ...]
    load: Callable[[], tuple[Engine, Renderer]]
    weights: bool = True


@dataclass(frozen=True)
class Shown:
    """What one policy did: every episode in numbers, some of them in full."""

    policy: Policy
    rows: list[Measured]
    episodes: list[Episode]


def evaluate(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    """Measure every model of the run and the controls; write evaluation.json and episodes.jsonl."""
    torch.set_num_threads(1)
    spec = SFTRunSpec.model_validate(request.spec) if request.kind == "SFTRun" else RLRunSpec.model_validate(request.spec)
    assert spec.evaluation is not None, "the stage exists only with spec.evaluation"
    found = held_out(inputs.many("evaluation"), spec.evaluation.episodes)
    policies = _of_sft(spec, inputs, found) if isinstance(spec, SFTRunSpec) else _of_rl(inputs, found)
    shown = []
    for index, policy in enumerate(policies):

        def tell(message: str, index: int = index, name: str = policy.name) -> None:
            ctx.progress.update(index, len(policies), f"{name}: {message}")

        tell("looking it up")
        shown.append(_measure(policy, Bench(found.environments, spec.evaluation, tell, request.sandbox), found.digest, ctx))
    ctx.progress.update(len(policies), len(policies), "measured")
    result = _evaluation(shown, found, spec.evaluation)
    (out / "evaluation.json").write_bytes(canonical(result.to_dict()) + b"\n")
    write_lines(out / "episodes.jsonl", [episode for entry in shown for episode in entry.episodes])
    return _metrics(result)


def _of_sft(spec: SFTRunSpec, inputs: Inputs, found: HeldOut) -> list[Policy]:
    folder = inputs.stages["train/0"] / "model"

    def untrained() -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
        tokenizer = load.load_tokenizer(folder)
        return load.fresh(spec.model.random, tokenizer, spec.seed), tokenizer

    shape = hashlib.sha256(canonical([spec.model.random.to_dict(), spec.seed, _file_digest(folder / "tokenizer.json")])).hexdigest()
    before = Policy("untrained", f"random:{shape}", ("Greedy", "Sampled"), lambda: _engine(*untrained()))
    return [before, _of_folder("sft", folder), *_controls(folder, found)]


def _of_rl(inputs: Inputs, found: HeldOut) -> list[Policy]:
    base, trained = inputs.folders["model"] / "model", inputs.stages["train/0"] / "model"
    return [_of_folder("sft", base), _of_folder("rl", trained), *_controls(base, found)]


def _of_folder(name: PolicyName, folder: Path) -> Policy:
    return Policy(name, model_digest(folder), ("Greedy", "Sampled"), lambda: _engine(*load.load(folder)))


def _controls(folder: Path, found: HeldOut) -> list[Policy]:
    """Return the controls; only the tokenizer of ``folder`` matters to them."""
    tokenizer = _file_digest(folder / "tokenizer.json")

    def oracle() -> tuple[Engine, Renderer]:
        renderer = Renderer(load.load_tokenizer(folder))
        return ControlEngine(renderer, [oracle_script(entry) for entry in found.environments]), renderer

    def blind() -> tuple[Engine, Renderer]:
        renderer, pool = Renderer(load.load_tokenizer(folder)), argument_pool(found.environments)
        return ControlEngine(renderer, [random_script(entry, pool) for entry in found.environments]), renderer

    return [
        Policy("randomArgument", f"randomArgument:{tokenizer}", ("Control",), blind, weights=False),
        Policy("oracle", f"oracle:{tokenizer}", ("Control",), oracle, weights=False),
    ]


def _engine(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> tuple[Engine, Renderer]:
    return TransformersEngine(model), Renderer(tokenizer)


def model_digest(folder: Path) -> str:
    """Return a digest of what a model is: weights, shape and tokenizer."""
    parts = [_file_digest(folder / name) for name in ("config.json", "model.safetensors", "tokenizer.json")]
    return "sha256:" + hashlib.sha256("".join(parts).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _measure(policy: Policy, bench: Bench, environments: str, ctx: JobContext) -> Shown:
    """Take a policy's episodes from the store, or play them."""

    def make(folder: Path) -> Metrics:
        engine, renderer = policy.load()
        done = play(bench, engine, renderer, policy.modes)
        lost = sum(row.masked for row, _ in done)
        if lost > MOST_MASKED * len(done):
            raise Transient("evaluation", "SandboxFailing", f"infrastructure lost {lost} of {len(done)} episodes of {policy.name}")
        write_lines(folder / "measured.jsonl", [row for row, _ in done])
        write_lines(
            folder / "episodes.jsonl", [episode for place, (_, episode) in enumerate(done) if place % len(bench.environments) < SHOWN]
        )
        return {"episodes": len(done)}

    key = {
        "recipe": RECIPE,
        "policy": policy.digest,
        "modes": list(policy.modes),
        "environments": environments,
        "maxTurns": bench.spec.max_turns,
        "maxResponseTokens": bench.spec.max_response_tokens,
    }
    folder = ctx.shared.get_or_make("evaluation", key, make)
    rows = list(read_lines(folder / "measured.jsonl", Measured))
    episodes = [
        episode.model_copy(update={"labels": {**episode.labels, "policy": policy.name}})
        for episode in read_lines(folder / "episodes.jsonl", Episode)
    ]
    return Shown(policy, rows, episodes)


def _evaluation(shown: Sequence[Shown], found: HeldOut, spec: EvaluationSpec) -> Evaluation:
    policies = [
        PolicyResult(
            name=entry.policy.name,
            model=entry.policy.digest if entry.policy.weights else "",
            modes=[summary([row for row in entry.rows if row.mode == mode], mode, spec.resamples) for mode in entry.policy.modes],
        )
        for entry in shown
    ]
    before, after, control = shown[0], shown[1], shown[2]
    differences = []
    for one, other in ((before, after), (control, after)):
        differences += [
            _difference(one, other, mode, metric, spec.resamples) for mode in ("Greedy", "Sampled") for metric in ("reward", "solved")
        ]
    return Evaluation(environments=len(found.environments), environments_digest=found.digest, policies=policies, differences=differences)


def _difference(before: Shown, after: Shown, mode: Mode, metric: str, resamples: int) -> Difference:
    early, late = _values(before, mode, metric), _values(after, mode, metric)
    both = [name for name in early if name in late]
    found = paired([early[name] for name in both], [late[name] for name in both], resamples)
    return Difference.model_validate(
        {"before": before.policy.name, "after": after.policy.name, "mode": mode, "metric": metric, **found.to_dict()}
    )


def _values(shown: Shown, mode: Mode, metric: str) -> dict[str, float]:
    """Return a metric by environment; a control has one mode, which stands against any."""
    wanted = mode if mode in shown.policy.modes else "Control"
    return {row.environment: float(getattr(row, metric)) for row in shown.rows if row.mode == wanted and not row.masked}


def _metrics(result: Evaluation) -> Metrics:
    metrics: dict[str, float | int | str] = {"environments": result.environments}
    for policy in result.policies:
        for mode in policy.modes:
            metrics[f"{policy.name}{mode.mode}Reward"] = round(mode.reward.mean, 4)
            metrics[f"{policy.name}{mode.mode}Solved"] = round(mode.solved.mean, 4)
    gain = next(entry for entry in result.differences if entry.mode == "Sampled" and entry.metric == "reward")
    metrics["gain"] = f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    return metrics
