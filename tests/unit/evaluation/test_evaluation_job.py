"""The evaluation stage with a real sandbox and a tiny random model: controls, sharing between runs, refusals."""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.api.job import Inputs, JobContext, Metrics
from astra_jobs.api.request import StageRequest, StoreSettings
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.api.v1alpha1.sft import SFTRunSpec
from astra_jobs.api.v1alpha1.training import RandomModel
from astra_jobs.evaluation.controls import argument_pool, oracle_script, random_script
from astra_jobs.evaluation.heldout import held_out
from astra_jobs.evaluation.job import evaluate
from astra_jobs.model import load, tokenizer
from astra_jobs.records.environment import Environment, EnvTool
from astra_jobs.records.evaluation import Evaluation
from astra_jobs.records.lines import write_lines
from astra_jobs.worlds import examples
from astra_jobs.worlds.questions import draw_question
from astra_jobs.worlds.world import make_world

WORLDS = ProceduralWorlds()
SHAPE = {"hiddenSize": 32, "layers": 1, "heads": 2, "kvHeads": 1, "headDim": 16, "mlpSize": 32, "vocabulary": 400}
COUNT = 8


def environment(seed: int, split: Any = "HeldOut") -> Environment:
    world = make_world(seed, WORLDS)
    question = draw_question(world, random.Random(seed))
    return Environment(
        id=f"e{seed}",
        question=question.text,
        final_answer=question.final_answer,
        scenario=question.graph.scenario,
        domain=world.domain,
        tools=[EnvTool(tool=tool.document(), code=tool.source()) for tool in world.tools],
        targets=list(question.targets),
        oracle=list(question.oracle),
        graph=question.graph,
        world_seed=seed,
        worlds=WORLDS,
        split=split,
    )


class Quiet:
    """Progress that nobody reads."""

    def update(self, step: int, total: int, message: str = "", metrics: Any = None) -> None:
        return None


class Shared:
    """Shared artifacts in a folder; ``made`` counts what was computed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made = 0

    def get_or_make(self, purpose: str, key: Mapping[str, Any], make: Callable[[Path], Metrics]) -> Path:
        folder = self.root / digest_of([purpose, dict(key)])[7:23]
        if not folder.exists():
            folder.mkdir(parents=True)
            make(folder)
            self.made += 1
        return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two model folders and held-out environments."""
    root = tmp_path_factory.mktemp("evaluation")
    words = tokenizer.train([examples.conversation(2 * seed, WORLDS) for seed in range(20)], 400)
    for name, seed in (("sft", 5), ("rl", 6)):
        load.save(load.fresh(RandomModel.model_validate(SHAPE), words, seed), words, root / name / "model")
    (root / "envs").mkdir()
    write_lines(root / "envs" / "heldout.jsonl", [environment(2 * seed + 1) for seed in range(COUNT + 2)])
    return root


def run(kind: Any, root: Path, out: Path, shared: Shared) -> tuple[Evaluation, Metrics]:
    evaluation = {"environments": [{"name": "envs"}], "episodes": COUNT, "maxTurns": 6, "maxResponseTokens": 200, "resamples": 100}
    if kind == "SFTRun":
        body = {"model": {"random": SHAPE}, "data": [{"name": "d"}], "evaluation": evaluation}
        spec = SFTRunSpec.model_validate(body).to_dict()
        inputs = Inputs({"evaluation/0": root / "envs"}, {"train/0": root / "sft"})
    else:
        body = {"model": {"run": {"name": "m"}}, "environments": [{"name": "envs"}], "evaluation": evaluation}
        spec = RLRunSpec.model_validate(body).to_dict()
        inputs = Inputs({"evaluation/0": root / "envs", "model": root / "sft"}, {"train/0": root / "rl"})
    request = StageRequest(
        kind=kind,
        name="r",
        namespace="n",
        attempt=1,
        digest=digest_of(kind),
        stage="evaluate",
        spec=spec,
        store=StoreSettings(url="file:///nowhere"),
    )
    nothing: Any = None
    out.mkdir(parents=True)
    metrics = evaluate(request, inputs, out, JobContext(0, 0, Quiet(), nothing, nothing, shared, out))
    return Evaluation.model_validate_json((out / "evaluation.json").read_bytes()), metrics


def test_both_kinds_measure_the_same_worlds_and_share_what_they_can(trained: Path, tmp_path: Path) -> None:
    shared = Shared(tmp_path / "shared")
    first, metrics = run("SFTRun", trained, tmp_path / "a", shared)
    assert shared.made == 4
    second, _ = run("RLRun", trained, tmp_path / "b", shared)
    assert shared.made == 5, "only the reinforced model is new"
    assert [policy.name for policy in first.policies] == ["untrained", "sft", "randomArgument", "oracle"]
    assert [policy.name for policy in second.policies] == ["sft", "rl", "randomArgument", "oracle"]
    assert first.environments_digest == second.environments_digest
    assert first.policies[1] == second.policies[0]
    oracle = first.policies[3].modes[0]
    assert (oracle.reward.mean, oracle.solved.mean, oracle.episodes) == (1.0, 1.0, COUNT)
    assert first.policies[2].modes[0].calls.mean == oracle.calls.mean
    assert first.policies[2].modes[0].reward.mean < 0.5
    assert {(entry.before, entry.after) for entry in second.differences} == {("sft", "rl"), ("randomArgument", "rl")}
    assert metrics["oracleControlReward"] == 1.0
    episodes = [json.loads(line) for line in (tmp_path / "a" / "episodes.jsonl").read_text().splitlines()]
    assert {entry["labels"]["policy"] for entry in episodes} == {"untrained", "sft", "randomArgument", "oracle"}
    again, _ = run("SFTRun", trained, tmp_path / "c", Shared(tmp_path / "other"))
    assert again == first


def test_the_same_worlds_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    entries = [environment(2 * seed + 1) for seed in range(12)]
    for name, order in (("a", entries), ("b", entries[::-1])):
        (tmp_path / name).mkdir()
        write_lines(tmp_path / name / "heldout.jsonl", order)
    assert held_out([tmp_path / "a"], 5) == held_out([tmp_path / "b"], 5)


def test_too_few_or_wrong_environments_are_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "heldout.jsonl", [environment(1), environment(3)])
    with pytest.raises(BadInput, match="3 are asked for, 2 are held out"):
        held_out([tmp_path], 3)
    write_lines(tmp_path / "heldout.jsonl", [environment(1, "Train")])
    with pytest.raises(BadInput, match="training split"):
        held_out([tmp_path], 1)


def test_the_blind_control_has_the_oracles_shape_and_fits_the_schemas() -> None:
    entries = [environment(2 * seed + 1) for seed in range(10)]
    pool = argument_pool(entries)
    right = 0
    for entry in entries:
        oracle, blind = oracle_script(entry), random_script(entry, pool)
        assert [len(turn.tool_calls) for turn in oracle] == [len(turn.tool_calls) for turn in blind]
        names = {tool.tool.name: tool.tool.parameters for tool in entry.tools}
        for turn in blind:
            for call in turn.tool_calls:
                assert set(call.arguments) == set(names[call.name]["required"])
                assert all(isinstance(value, str) for value in call.arguments.values())
        right += oracle[:-1] == blind[:-1]
        assert random_script(entry, pool) == blind
    assert right <= 1
