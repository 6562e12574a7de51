"""A pipeline of five runs whose artifacts are made by hand and committed through the real store."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import canonical, digest_of
from astra_jobs.api.request import StoreSettings
from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.episode import Episode, EpisodeCall, Reward
from astra_jobs.records.evaluation import Difference, Evaluation, Interval, ModeResult, PolicyResult, Slice
from astra_jobs.records.funnel import FilterCount, StageReport
from astra_jobs.records.lines import write_lines
from astra_jobs.runtime.store import Draft, open_store

Body = dict[str, Any]
TIMES = ("2026-02-03T09:00:00Z", "2026-02-03T09:01:42Z")


def interval(mean: float, half: float = 0.04) -> Interval:
    return Interval(mean=mean, low=max(0.0, mean - half), high=min(1.0, mean + half))


def mode(name: str, solved: float, reward: float) -> ModeResult:
    wide = Interval(mean=3.2, low=3.0, high=3.4)
    slices = [Slice(name=part, episodes=count, reward=reward, solved=solved) for part, count in (("MultiHop", 210), ("hops 2", 130))]
    return ModeResult.model_validate(
        {
            "mode": name,
            "episodes": 400,
            "reward": interval(reward).to_dict(),
            "solved": interval(solved).to_dict(),
            "calls": wide.to_dict(),
            "turns": wide.to_dict(),
            "tokens": Interval(mean=181.0, low=175.0, high=187.0).to_dict(),
            "truncated": 0.01,
            "slices": [entry.to_dict() for entry in slices],
        }
    )


def policy(name: str, greedy: tuple[float, float], sampled: tuple[float, float] | None = None) -> PolicyResult:
    modes = [mode("Control", *greedy)] if sampled is None else [mode("Greedy", *greedy), mode("Sampled", *sampled)]
    return PolicyResult.model_validate({"name": name, "modes": [entry.to_dict() for entry in modes]})


def evaluation(*policies: PolicyResult, differences: list[Difference]) -> Evaluation:
    return Evaluation(environments=400, environments_digest=digest_of("held out"), policies=list(policies), differences=differences)


def difference(before: str, after: str, how: str, mean: float, metric: str = "reward") -> Difference:
    return Difference.model_validate(
        {"before": before, "after": after, "mode": how, "metric": metric, "mean": mean, "low": mean - 0.03, "high": mean + 0.03}
    )


def episode(world: int, name: str, how: str, solved: int, text: str = "The port is m41.") -> Episode:
    ask = ToolCall(name="lookup_ship_port", arguments={"ship_id": "s-7", "note": "a longer argument"})
    return Episode(
        environment=f"env-{world:04d}",
        messages=[
            Message(role="system", content="You answer with tools."),
            Message(role="user", content="Which port does the ship s-7 call at, and who runs it?"),
            Message(role="assistant", content="", tool_calls=[ask]),
            Message(role="tool", name="lookup_ship_port", content='{"port": "m41"}'),
            Message(role="assistant", content="Let me see.", tool_calls=[ToolCall(name="lookup_port_master", arguments={"port": "m4"})]),
            Message(role="tool", name="lookup_port_master", content='{"error": "no port of this name"}'),
            Message(role="assistant", content=text),
        ],
        calls=[
            EpisodeCall(turn=0, tool="lookup_ship_port", arguments=ask.arguments, outcome="ok", value={"port": "m41"}),
            EpisodeCall(turn=1, tool="lookup_port_master", arguments={"port": "m4"}, outcome="tool_error"),
        ],
        ending="Answered",
        reward=Reward(value=2 * solved / 4, targets=2, solved=solved, calls=2),
        prompt_tokens=212,
        response_tokens=96,
        turns=3,
        labels={"policy": name, "mode": how},
    )


def count(name: str, seen: int, dropped: int, planted: int, **reasons: int) -> FilterCount:
    return FilterCount(
        filter=name,
        seen=seen,
        dropped=dropped,
        reasons=reasons or ({"Refused": dropped} if dropped else {}),
        planted=planted,
        planted_dropped=min(planted, dropped),
        clean_dropped=max(0, dropped - planted) if planted else dropped,
    )


def funnel(kind: str, planted: int, names: tuple[str, ...]) -> StageReport:
    rows, seen = [], 2400
    for place, name in enumerate(names):
        dropped = planted + 7 * place
        rows.append(count(name, seen, dropped, dropped if planted else 0, BrokenArgument=dropped - 1, VagueTask=1))
        seen -= dropped
    rows.append(FilterCount(filter="recoveryQuota", seen=0, dropped=0, planted=0, planted_dropped=0, clean_dropped=0))
    return StageReport(kind=kind, funnel=rows, numbers={"walks": 2400.0, "canaryAccuracy.finalAnswer": 1.0})


def curve(steps: int, reinforcement: bool) -> bytes:
    rng = random.Random(4)
    lines = []
    for step in range(1, steps + 1):
        way = step / steps
        if reinforcement:
            row = {
                "step": step,
                "reward": 0.55 + 0.2 * way + rng.uniform(-0.05, 0.05),
                "solved": 0.45 + 0.25 * way + rng.uniform(-0.05, 0.05),
                "validShare": 0.7 - 0.3 * way + rng.uniform(-0.08, 0.08),
                "calls": 4.1 - 0.9 * way + rng.uniform(-0.1, 0.1),
                "turns": 3.6 - 0.3 * way + rng.uniform(-0.1, 0.1),
                "truncated": 0.05 * (1 - way),
                "masked": 0.0,
                "episodes": 64,
                "loss": rng.uniform(-0.01, 0.01),
            }
        else:
            row = {"step": step, "loss": 0.1 + 6 * math.exp(-9 * way) + rng.uniform(0, 0.1), "gradientNorm": 1 + rng.random()}
        lines.append(canonical(row))
    return b"\n".join(lines) + b"\n"


class Pipeline:
    """Commits stages and gathers the run objects that name them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"file://{folder}/store"
        self.store = open_store(StoreSettings(url=self.url))
        self.bodies: list[Body] = []

    def stage(self, kind: str, stage: str, inputs: tuple[Artifact, ...] = (), **files: bytes) -> Artifact:
        made = self.folder / f"{kind}-{stage}"
        made.mkdir()
        for name, data in files.items():
            (made / name.replace("__", ".")).write_bytes(data)
        key = digest_of([kind, stage])
        return self.store.commit(
            Draft(key=key, kind=kind, stage=stage, metrics={"kept": "3"}, inputs=tuple(item.digest for item in inputs)), made
        )

    def run(self, kind: str, name: str, artifacts: dict[str, Artifact], done: bool = True, **status: Any) -> None:
        state = ("True", "Finished", "all stages have ended") if done else ("Unknown", "Running", "stage train is running")
        body: Body = {
            "apiVersion": "astra.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"seed": 1},
            "status": {
                "conditions": [{"type": "Succeeded", "status": state[0], "reason": state[1], "message": state[2]}],
                "attempt": {"number": 1, "digest": digest_of([kind, name]), "restarts": 0, "startTime": TIMES[0]},
                "artifacts": {stage: artifact.to_dict() for stage, artifact in artifacts.items()},
                **status,
            },
        }
        if done:
            body["status"]["attempt"]["completionTime"] = TIMES[1]
            body["status"]["artifact"] = next(iter(artifacts.values())).to_dict()
        self.bodies.append(body)

    def runs_file(self) -> Path:
        path = self.folder / "runs.json"
        path.write_text(json.dumps(self.bodies))
        return path


def lines(folder: Path, records: list[Episode]) -> bytes:
    path = folder / "lines.jsonl"
    write_lines(path, records)
    return path.read_bytes()


def card() -> bytes:
    part = {"filter": "coherence", "reasons": {}, "kept": 2320, "seen": 2400, "low": 0.95, "high": 0.98}
    return canonical({"yields": [part], "endToEnd": part, "axes": {"queryPlanning": 0.97}, "turns": {"2": 800, "3": 1400}, "labels": {}})


def train_sft(pipeline: Pipeline, chains: Artifact) -> Artifact:
    prepare = pipeline.stage("SFTRun", "prepare", (chains,), report__json=canonical(funnel("SFTRun", 0, ("length",)).to_dict()))
    train = pipeline.stage("SFTRun", "train", (prepare,), curve__jsonl=curve(260, False), model__safetensors=bytes(2_800_000))
    measured = evaluation(
        policy("untrained", (0.0, 0.0), (0.0, 0.0)),
        policy("sft", (0.61, 0.7), (0.52, 0.62)),
        policy("randomArgument", (0.02, 0.06)),
        policy("oracle", (1.0, 1.0)),
        differences=[
            difference("untrained", "sft", "Greedy", 0.7),
            difference("untrained", "sft", "Sampled", 0.62),
            difference("randomArgument", "sft", "Greedy", 0.64),
        ],
    )
    episodes = [episode(world, "sft", "Sampled", world % 3) for world in range(8)]
    evaluate = pipeline.stage(
        "SFTRun",
        "evaluate",
        (train,),
        evaluation__json=canonical(measured.to_dict()),
        episodes__jsonl=lines(pipeline.folder, episodes),
    )
    pipeline.run("SFTRun", "base", {"prepare": prepare, "train": train, "evaluate": evaluate})
    return train


def train_rl(pipeline: Pipeline, base: Artifact, envs: Artifact, said: str) -> None:
    prepare = pipeline.stage("RLRun", "prepare", (base, envs), report__json=b"{}")
    train = pipeline.stage("RLRun", "train", (prepare,), curve__jsonl=curve(40, True), prompts__jsonl=b"{}\n")
    measured = evaluation(
        policy("sft", (0.61, 0.7), (0.52, 0.62)),
        policy("rl", (0.72, 0.8), (0.66, 0.75)),
        policy("randomArgument", (0.02, 0.06)),
        policy("oracle", (1.0, 1.0)),
        differences=[
            difference("sft", "rl", "Greedy", 0.1),
            difference("sft", "rl", "Sampled", 0.13),
            difference("sft", "rl", "Sampled", 0.02, "solved"),
        ],
    )
    episodes = [episode(world, "rl", "Sampled", min(2, 1 + world % 2), said) for world in range(8)]
    evaluate = pipeline.stage(
        "RLRun", "evaluate", (train,), evaluation__json=canonical(measured.to_dict()), episodes__jsonl=lines(pipeline.folder, episodes)
    )
    pipeline.run("RLRun", "astra", {"prepare": prepare, "train": train, "evaluate": evaluate})


def synthesise(pipeline: Pipeline) -> tuple[Artifact, Artifact]:
    corpus = funnel("ToolCorpus", 0, ("toolsPerServer", "description", "schema"))
    tools = pipeline.stage("ToolCorpus", "collect", report__json=canonical(corpus.to_dict()), servers__jsonl=b"{}\n" * 600)
    pipeline.run("ToolCorpus", "tools", {"collect": tools})
    judged = funnel(
        "ChainSynthesis", 12, ("argumentProvenance", "coherence", "backTranslation", "language", "nearDuplicate", "finalAnswer")
    )
    chains = pipeline.stage(
        "ChainSynthesis", "merge", (tools,), report__json=canonical(judged.to_dict()), card__json=card(), samples__jsonl=b"{}\n" * 2100
    )
    pipeline.run("ChainSynthesis", "chains", {"merge": chains})
    verified = funnel("EnvSynthesis", 20, ("structure", "necessity", "quality", "staticGate", "answer"))
    envs = pipeline.stage("EnvSynthesis", "merge", report__json=canonical(verified.to_dict()), train__jsonl=b"{}\n" * 700)
    pipeline.run("EnvSynthesis", "envs", {"merge": envs})
    return chains, envs


@pytest.fixture
def finished(tmp_path: Path) -> Callable[..., Pipeline]:
    """Make a finished pipeline; ``said`` is what the reinforced policy answers."""

    def make(said: str = "The port is m41; its master is p-3.") -> Pipeline:
        pipeline = Pipeline(tmp_path)
        chains, envs = synthesise(pipeline)
        train_rl(pipeline, train_sft(pipeline, chains), envs, said)
        return pipeline

    return make


@pytest.fixture
def unfinished(tmp_path: Path) -> Pipeline:
    """Make a pipeline whose fine-tuning still runs and whose reinforcement waits."""
    pipeline = Pipeline(tmp_path)
    chains, _ = synthesise(pipeline)
    prepare = pipeline.stage("SFTRun", "prepare", (chains,), report__json=b"{}")
    pipeline.run("SFTRun", "base", {"prepare": prepare}, done=False, stage="train")
    pipeline.run("RLRun", "astra", {}, done=False)
    return pipeline
