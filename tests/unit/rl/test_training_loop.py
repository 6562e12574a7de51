"""The loop around filling and update with a scripted engine: starving, stopping, resuming, transcripts."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic.alias_generators import to_camel
from transformers import Qwen3ForCausalLM

from astra_jobs.api.errors import BadInput, Preempted, Transient
from astra_jobs.api.job import JobContext
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.api.v1alpha1.training import RandomModel
from astra_jobs.model import chatform, load, tokenizer
from astra_jobs.model.dist import Group as Ranks
from astra_jobs.model.generation.base import OnTurn, Sampling, Trajectory
from astra_jobs.model.generation.scripted import ScriptedEngine
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.environment import Answer, Environment, EnvTool, QaGraph, QaNode, Target
from astra_jobs.records.tool import Tool
from astra_jobs.rl.filling import Filling
from astra_jobs.rl.loop import Training
from astra_jobs.rl.rollouts import Rollouts
from astra_jobs.rl.trainer import Trainer
from astra_jobs.sandbox.protocol import CallResult, ToolCode
from astra_jobs.worlds import examples

SHAPE = RandomModel(hidden_size=32, layers=1, heads=2, kv_heads=1, head_dim=16, mlp_size=32, vocabulary=400)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(tokenizer.train([examples.conversation(2 * seed, ProceduralWorlds()) for seed in range(20)], SHAPE.vocabulary))


def environment(index: int) -> Environment:
    answer = Answer(kind="text", value="m41")
    return Environment(
        id=f"e{index}",
        question=f"What is the port of ship s{index}?",
        scenario="SingleHop",
        domain="d",
        tools=[EnvTool(tool=Tool(name="port", description="d", parameters={"type": "object"}), code="")],
        targets=[Target(node=1, tool="port", answer=answer, answer_path="/port")],
        oracle=[],
        graph=QaGraph(question="q", nodes=[QaNode(id=1, hop=1, question="q", answer=answer)], scenario="SingleHop"),
        world_seed=1,
        worlds=ProceduralWorlds(),
    )


class Answering:
    """A sandbox whose every tool gives the answer."""

    async def put(self, tools: list[ToolCode]) -> str:
        return "e"

    async def open(self, environment: str, seed: int) -> str:
        return "s"

    async def call(self, session: str, seq: int, tool: str, arguments: dict[str, Any]) -> CallResult:
        return CallResult(outcome="ok", value={"port": "m41"})

    async def close(self, session: str) -> None:
        return None

    async def shutdown(self) -> None:
        return None


class KeyedEngine:
    """Solves the rows for which ``solves(number, sample)`` holds, and answers at once in the others."""

    def __init__(self, renderer: Renderer, solves: Callable[[int, int], bool]) -> None:
        call = Message(role="assistant", tool_calls=[ToolCall(name="port", arguments={"ship": "s"})])
        self._call, self._end = (renderer.encode(chatform.turn(turn)) for turn in (call, Message(role="assistant", content="m41")))
        self._solves = solves

    async def generate(
        self, prompts: Sequence[list[int]], on_turn: OnTurn, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[Trajectory]:
        assert keys is not None
        wanted = [self._solves(*map(int, key.split("/"))) for key in keys]
        engine = ScriptedEngine(lambda row, turn, so_far: self._call if wanted[row] and turn == 0 else self._end)
        return await engine.generate(prompts, on_turn, sampling, keys)


class Kept:
    """Checkpoints in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps: list[int] = []

    def latest(self) -> tuple[int, Path] | None:
        return (self.steps[-1], self.root / str(self.steps[-1])) if self.steps else None

    def save(self, step: int, folder: Path) -> None:
        shutil.copytree(folder, self.root / str(step))
        self.steps.append(step)


class Told:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def update(self, step: int, total: int, message: str = "", metrics: Any = None) -> None:
        self.steps.append(step)


def camel(values: dict[str, Any]) -> dict[str, Any]:
    return {to_camel(name): value for name, value in values.items()}


def spec(**algorithm: Any) -> RLRunSpec:
    return RLRunSpec.model_validate(
        {
            "model": {"run": {"name": "m"}},
            "environments": [{"name": "e"}],
            "rollout": {"maxTurns": 3, "maxPromptTokens": 400, "maxResponseTokens": 200},
            "algorithm": {"groupSize": 2, "groupsPerStep": 2, "steps": 4, "maxRounds": 3, **camel(algorithm)},
            "training": {"optimizer": {"name": "AdamW", "learningRate": 1e-3}},
            "checkpoints": {"everySteps": 2},
        }
    )


def training(
    renderer: Renderer,
    tmp_path: Path,
    solves: Callable[[int, int], bool],
    kept: Kept | None = None,
    stop: Callable[[], bool] = lambda: False,
    **algorithm: Any,
) -> Training:
    settings = spec(**algorithm)
    model: Qwen3ForCausalLM = load.fresh(SHAPE, renderer.tokenizer, 0)
    rollouts = Rollouts(KeyedEngine(renderer, solves), renderer, Answering(), settings)
    nothing: Any = None
    ctx = JobContext(0, 0, Told(), nothing, kept or Kept(tmp_path / "kept"), nothing, tmp_path / "scratch", should_stop=stop)
    environments = {f"e{index}": environment(index) for index in range(5)}
    return Training(settings, environments, rollouts, Trainer(model, settings, Ranks()), Ranks(), ctx)


def run(made: Training) -> Filling:
    made.resume()
    return asyncio.run(made.run())


def mixed(number: int, sample: int) -> bool:
    """Every third group has no variance."""
    return sample == 0 or number % 3 == 0


def weights(made: Training) -> torch.Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in made.trainer.model.parameters()])


def test_a_run_counts_what_it_did(renderer: Renderer, tmp_path: Path) -> None:
    made = training(renderer, tmp_path, mixed)
    filling = run(made)
    curve = made.state.curve
    assert [row.step for row in curve] == [1, 2, 3, 4]
    assert all(row.trained == 2 and row.masked == 0 and row.truncated == 0 for row in curve)
    generated = [row for row in curve if row.episodes]
    assert 0.5 <= generated[0].reward < 1
    assert sum(row.episodes for row in curve) == 2 * filling.counts()["dispatched"]
    assert filling.counts()["trained"] == 8
    assert {entry.labels["step"] for entry in made.state.transcripts} >= {"1"}
    told: Any = made.ctx.progress
    assert told.steps[-1] == 4


def test_a_stopped_run_keeps_a_checkpoint_and_goes_on_as_if_nothing_had_happened(renderer: Renderer, tmp_path: Path) -> None:
    whole = training(renderer, tmp_path / "a", mixed)
    expected = run(whole)
    kept = Kept(tmp_path / "kept")
    calls = iter([False, False, True])
    part = training(renderer, tmp_path / "b", mixed, kept, stop=lambda: next(calls))
    with pytest.raises(Preempted, match="after step 3 of 4"):
        run(part)
    assert kept.steps == [2, 3]
    again = training(renderer, tmp_path / "b", mixed, kept)
    found = run(again)
    assert again.state.curve == whole.state.curve
    assert found.ledger() == expected.ledger()
    assert torch.equal(weights(again), weights(whole))
    assert again.state.transcripts == whole.state.transcripts


def test_groups_without_variance_end_the_run_with_a_reason(renderer: Renderer, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="0 of 2 groups had reward variance after 3 rounds") as caught:
        run(training(renderer, tmp_path, lambda number, sample: True))
    assert (caught.value.where, caught.value.reason) == ("algorithm.maxRounds", "LearningStarved")


def test_a_smaller_batch_is_taken_where_the_spec_says_so(renderer: Renderer, tmp_path: Path) -> None:
    def rare(number: int, sample: int) -> bool:
        return number % 16 == 0 and sample == 0

    with pytest.raises(BadInput, match="1 of 2"):
        run(training(renderer, tmp_path / "a", rare, steps=1, max_rounds=1))
    made = training(renderer, tmp_path / "b", rare, steps=1, max_rounds=1, when_starved="SmallerBatch")
    run(made)
    assert made.state.curve[0].trained == 1


def test_a_damaged_or_foreign_checkpoint_is_refused_in_one_line(renderer: Renderer, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    run(training(renderer, tmp_path, mixed, kept))
    (kept.root / "2" / "state.json").write_bytes(b"{}")
    with pytest.raises(BadInput, match="delete the run's checkpoints"):
        run(training(renderer, tmp_path, mixed, kept))
    (kept.root / "2" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match="delete the run's checkpoints"):
        run(training(renderer, tmp_path, mixed, kept))


def test_a_sandbox_that_is_down_is_not_taken_for_a_hard_task(renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_: Any) -> CallResult:
        return CallResult(outcome="infra_error")

    monkeypatch.setattr(Answering, "call", down)
    with pytest.raises(Transient, match="infrastructure lost"):
        run(training(renderer, tmp_path, lambda number, sample: True))
