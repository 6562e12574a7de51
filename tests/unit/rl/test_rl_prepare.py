"""``prepare`` of an RLRun finds what is wrong before anything is trained."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.api.job import Inputs, JobContext, Metrics
from astra_jobs.api.request import StageRequest, StoreSettings
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.api.v1alpha1.training import RandomModel
from astra_jobs.model import load, tokenizer
from astra_jobs.records.environment import Environment, EnvTool
from astra_jobs.records.funnel import Dropped
from astra_jobs.records.lines import read_lines, write_lines
from astra_jobs.rl.job import prepare
from astra_jobs.worlds import examples
from astra_jobs.worlds.questions import draw_question
from astra_jobs.worlds.world import make_world

WORLDS = ProceduralWorlds()
SHAPE = RandomModel(hidden_size=32, layers=1, heads=2, kv_heads=1, head_dim=16, mlp_size=32, vocabulary=400, max_length=1024)


def environment(seed: int, tools: int) -> Environment:
    world = make_world(seed, WORLDS)
    question = draw_question(world, random.Random(seed))
    return Environment(
        id=f"e{seed}",
        question=question.text,
        scenario=question.graph.scenario,
        domain=world.domain,
        tools=[EnvTool(tool=tool.document(), code=tool.source()) for tool in world.tools[:tools]],
        targets=list(question.targets),
        oracle=list(question.oracle),
        graph=question.graph,
        world_seed=seed,
        worlds=WORLDS,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("base")
    words = tokenizer.train([examples.conversation(2 * seed, WORLDS) for seed in range(10)], 400)
    load.save(load.fresh(SHAPE, words, 0), words, root / "model")
    return root


class Quiet:
    """Progress that nobody reads."""

    def update(self, step: int, total: int, message: str = "", metrics: Any = None) -> None:
        return None


def run(base: Path, tmp_path: Path, train: list[Environment], held_out: list[Environment] | None = None, **changes: Any) -> Metrics:
    envs = tmp_path / "envs"
    envs.mkdir(exist_ok=True)
    write_lines(envs / "train.jsonl", train)
    write_lines(envs / "heldout.jsonl", held_out or [])
    body: dict[str, Any] = {
        "model": {"run": {"name": "m"}},
        "environments": [{"name": "envs"}],
        "rollout": {"maxPromptTokens": 600, "maxResponseTokens": 200},
        "evaluation": {"environments": [{"name": "envs"}], "episodes": 2} if held_out is not None else None,
    }
    spec = RLRunSpec.model_validate({**body, **changes}).to_dict()
    request = StageRequest(
        kind="RLRun", name="r", namespace="n", attempt=1, digest=digest_of("r"), stage="prepare", spec=spec, store=StoreSettings(url="x")
    )
    nothing: Any = None
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    inputs = Inputs({"model": base, "environments/0": envs, "evaluation/0": envs})
    return prepare(request, inputs, out, JobContext(0, 0, Quiet(), nothing, nothing, nothing, tmp_path))


def test_the_plan_counts_what_is_trained_on_and_what_is_too_long(base: Path, tmp_path: Path) -> None:
    short, long = [environment(1, 1), environment(3, 1)], [environment(5, 7)]
    lengths = run(base, tmp_path, [*short, *long])["longestPrompt"]
    metrics = run(base, tmp_path, [*short, *long], rollout={"maxPromptTokens": int(lengths) - 1, "maxResponseTokens": 200})
    assert (metrics["environments"], metrics["overLength"]) == (2, 1)
    assert [entry.id for entry in read_lines(tmp_path / "out" / "environments.jsonl", Environment)] == ["e1", "e3"]
    [dropped] = read_lines(tmp_path / "out" / "dropped.jsonl", Dropped)
    assert (dropped.name, dropped.reason) == ("e5", "PromptTooLong")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["environments"] == 2


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        (
            {"rollout": {"maxPromptTokens": 600, "maxResponseTokens": 600}},
            "rollout.maxResponseTokens",
            "may take 1200 tokens, the model holds 1024",
        ),
        ({"rollout": {"maxPromptTokens": 16, "maxResponseTokens": 16}}, "rollout.maxPromptTokens", "16 are allowed"),
        ({"evaluation": {"environments": [{"name": "e"}], "episodes": 3}}, "evaluation.episodes", "3 are asked for, 2 are held out"),
        (
            {"evaluation": {"environments": [{"name": "e"}], "episodes": 1, "maxResponseTokens": 2000}},
            "evaluation.maxResponseTokens",
            "the model holds 1024",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(base: Path, tmp_path: Path, changes: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        run(base, tmp_path, [environment(1, 2)], [environment(3, 2), environment(5, 2)], **changes)
    assert caught.value.where == where


def test_data_that_cannot_work_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="training split is empty"):
        run(base, tmp_path, [])
    with pytest.raises(BadInput, match="e1 comes twice"):
        run(base, tmp_path, [environment(1, 2), environment(1, 2)])
    with pytest.raises(BadInput, match="e3 is in the training split too"):
        run(base, tmp_path, [environment(1, 2), environment(3, 2)], [environment(3, 2), environment(5, 2)])
    with pytest.raises(BadInput, match="missing from the model folder"):
        run(tmp_path, tmp_path, [environment(1, 2)])
