"""The stages of an SFTRun on real files: errors found first, artifacts, and resuming with the same losses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from astra_jobs.api.errors import BadInput, Preempted
from astra_jobs.api.job import Inputs, JobContext, Metrics
from astra_jobs.api.request import StageRequest, StoreSettings
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.api.v1alpha1.sft import SFTRunSpec
from astra_jobs.model import load
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.conversation import Conversation, Message
from astra_jobs.records.lines import write_lines
from astra_jobs.sft import job
from astra_jobs.worlds import examples


class Quiet:
    def __init__(self) -> None:
        self.told: list[tuple[int, int, str]] = []

    def update(self, step: int, total: int, message: str = "", metrics: Metrics | None = None) -> None:
        self.told.append((step, total, message))

    def items(self) -> list[dict[str, Any]]:
        return []

    def append(self, item: dict[str, Any]) -> None:
        raise AssertionError("SFT keeps no journal")

    def flush(self) -> None:
        return

    def get_or_make(self, purpose: str, key: Any, make: Any) -> Path:
        raise AssertionError("SFT shares nothing")


class Kept:
    """Checkpoints in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps: list[int] = []

    def latest(self) -> tuple[int, Path] | None:
        return (self.steps[-1], self.root / str(self.steps[-1])) if self.steps else None

    def save(self, step: int, folder: Path) -> None:
        target = self.root / str(step)
        target.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        self.steps.append(step)


def conversations(count: int) -> list[Conversation]:
    return [examples.conversation(2 * seed, ProceduralWorlds()) for seed in range(count)]


def spec(**training: object) -> dict[str, Any]:
    values = {"epochs": 1.0, "maxLength": 500, "batchSize": 4, "optimizer": {"name": "Muon", "learningRate": 0.02}, "promptLoss": 0.2}
    shape = {"hiddenSize": 32, "layers": 1, "heads": 2, "kvHeads": 1, "headDim": 16, "mlpSize": 48, "vocabulary": 512, "maxLength": 512}
    body = {"model": {"random": shape}, "data": [{"name": "chains"}], "training": {**values, **training}, "checkpoints": {"everySteps": 3}}
    return SFTRunSpec.model_validate(body).to_dict()


class Bench:
    """One run's folders; ``call`` runs a stage in a fresh context."""

    def __init__(self, root: Path, samples: list[Conversation], spec_body: dict[str, Any]) -> None:
        self.root, self.spec = root, spec_body
        self.checkpoints = Kept(root / "checkpoints")
        self.progress = Quiet()
        (root / "data").mkdir()
        write_lines(root / "data" / "samples.jsonl", samples)

    def call(self, stage: str, should_stop: Callable[[], bool] = lambda: False, out: str = "") -> tuple[Metrics, Path]:
        target = self.root / (out or stage)
        target.mkdir(exist_ok=True)
        scratch = self.root / "scratch"
        scratch.mkdir(exist_ok=True)
        request = StageRequest(
            kind="SFTRun", name="base", namespace="default", attempt=1, digest="sha256:0", stage=stage, spec=self.spec,
            store=StoreSettings(url="file:///nowhere"),
        )  # fmt: skip
        quiet = self.progress
        ctx = JobContext(3, 0, quiet, quiet, self.checkpoints, quiet, scratch, should_stop=should_stop)
        inputs = Inputs({"data/0": self.root / "data"}, {"prepare/0": self.root / "prepare"})
        return getattr(job, stage)(request, inputs, target, ctx), target


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_prepare_and_train_leave_a_model_that_loads(tmp_path: Path) -> None:
    bench = Bench(tmp_path, conversations(40), spec())
    prepared, folder = bench.call("prepare")
    assert prepared["rows"] == 40
    assert prepared["dropped"] == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["numbers"]["steps"] == prepared["steps"] == 10
    assert 0 < report["numbers"]["labels"] < report["numbers"]["tokens"]
    metrics, trained = bench.call("train")
    curve = lines(trained / "curve.jsonl")
    assert [line["step"] for line in curve] == list(range(1, 11))
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert metrics["tokens"] == sum(line["tokens"] for line in curve)
    model, words = load.load(trained / "model")
    assert model.config.vocab_size == len(words)
    Renderer(words)
    assert bench.progress.told[-1][:2] == (10, 10)
    assert {path.name for path in (trained / "model").iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert not list((tmp_path / "scratch").iterdir())


def test_preparing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, conversations(30), spec())
    _, first = bench.call("prepare")
    _, second = bench.call("prepare", out="again")
    for path in sorted(first.rglob("*")):
        if path.is_file():
            assert (second / path.relative_to(first)).read_bytes() == path.read_bytes(), path.name


def test_a_stopped_run_goes_on_with_the_same_losses_and_weights(tmp_path: Path) -> None:
    bench = Bench(tmp_path, conversations(40), spec())
    bench.call("prepare")
    _, whole = bench.call("train", out="whole")
    bench.checkpoints = Kept(tmp_path / "other")
    calls = iter(range(100))
    with pytest.raises(Preempted, match="step 5 of 10"):
        bench.call("train", should_stop=lambda: next(calls) >= 4)
    assert bench.checkpoints.steps == [3, 5]
    _, resumed = bench.call("train")
    assert (resumed / "curve.jsonl").read_bytes() == (whole / "curve.jsonl").read_bytes()
    assert (resumed / "model" / "model.safetensors").read_bytes() == (whole / "model" / "model.safetensors").read_bytes()
    # Killed without warning: from the last regular checkpoint, the same again.
    bench.checkpoints.steps = [3]
    _, killed = bench.call("train", out="killed")
    assert (killed / "curve.jsonl").read_bytes() == (whole / "curve.jsonl").read_bytes()


def test_a_stop_at_the_last_step_finishes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, conversations(8), spec())
    bench.call("prepare")
    calls = iter([False, True])
    metrics, _ = bench.call("train", should_stop=lambda: next(calls))
    assert metrics["steps"] == 2


def test_what_cannot_be_used_is_dropped_and_counted(tmp_path: Path) -> None:
    long = Conversation(
        id="long",
        server="s",
        tools=[],
        messages=[Message(role="user", content=" ".join(map(str, range(900)))), Message(role="assistant", content="a")],
    )
    mute = Conversation(id="mute", server="s", tools=[], messages=[Message(role="user", content="q")], labels={"defect": "x"})
    bench = Bench(tmp_path, [*conversations(20), long, mute], spec())
    metrics, folder = bench.call("prepare")
    assert (metrics["rows"], metrics["dropped"]) == (20, 2)
    dropped = {entry["name"]: entry for entry in lines(folder / "dropped.jsonl")}
    assert dropped["long"]["reason"] == "TooLong"
    assert (dropped["mute"]["reason"], dropped["mute"]["labels"]) == ("NothingToTrain", {"defect": "x"})
    assert json.loads((folder / "report.json").read_text())["funnel"][0]["reasons"] == {"NothingToTrain": 1, "TooLong": 1}


@pytest.mark.parametrize(
    ("samples", "body", "where", "message"),
    [
        (0, spec(), "data", "selected no conversation"),
        (6, spec(maxLength=600), "training.maxLength", "more than model.random.maxLength 512"),
        (6, spec(maxLength=20), "training.maxLength", "none of 6 conversations is left"),
        (6, spec(ranks=8), "training.ranks", "8 ranks share a batch of 4"),
    ],
)
def test_bad_input_is_found_before_training(tmp_path: Path, samples: int, body: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        Bench(tmp_path, conversations(samples), body).call("prepare")
    assert caught.value.where == where
    assert caught.value.exit_code == 78
    assert "\n" not in caught.value.message


def test_a_rate_that_diverges_is_named(tmp_path: Path) -> None:
    bench = Bench(tmp_path, conversations(8), spec(optimizer={"name": "AdamW", "learningRate": 0.01}))
    bench.call("prepare")
    model_of = load.fresh

    def broken(*arguments: Any) -> Any:
        model = model_of(*arguments)
        with torch.no_grad():
            model.model.embed_tokens.weight.fill_(float("inf"))
        return model

    job.load.fresh = broken  # type: ignore[assignment]
    try:
        with pytest.raises(BadInput, match="lower learningRate"):
            bench.call("train")
    finally:
        job.load.fresh = model_of
