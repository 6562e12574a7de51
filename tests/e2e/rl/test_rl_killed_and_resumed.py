"""An RL training that is killed with ``kill -9`` goes on with the same losses; no prompt is lost or doubled."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from select import select
from typing import Any

import pytest
import torch

from astra_jobs.api.base import digest_of
from astra_jobs.api.request import Input, StageRequest, StoreSettings
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.api.v1alpha1.training import RandomModel
from astra_jobs.model import load, tokenizer
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.conversation import Conversation, Message, ToolCall
from astra_jobs.records.environment import Answer, Environment, EnvTool, OracleCall, QaGraph, QaNode, Target
from astra_jobs.records.lines import read_lines, write_lines
from astra_jobs.records.tool import Tool
from astra_jobs.rl.filling import LedgerEntry
from astra_jobs.runtime.store import Draft, open_store
from tests.patience import patience

SHAPE = RandomModel(hidden_size=32, layers=1, heads=2, kv_heads=1, head_dim=16, mlp_size=64, vocabulary=400)
STEPS = 8
SCRIPT = Path(__file__).with_name("train_process.py")


def spec(ranks: int) -> dict[str, Any]:
    return RLRunSpec.model_validate(
        {
            "model": {"run": {"name": "base"}},
            "environments": [{"name": "envs"}],
            "rollout": {"maxTurns": 2, "maxPromptTokens": 600, "maxResponseTokens": 60},
            "algorithm": {"groupSize": 4, "groupsPerStep": 2, "steps": STEPS, "maxRounds": 2, "minStd": 0.0, "whenStarved": "SmallerBatch"},
            "training": {"optimizer": {"name": "AdamW", "learningRate": 1e-3}, "ranks": ranks},
            "checkpoints": {"everySteps": 1},
        }
    ).to_dict()


TOOL = Tool(
    name="port",
    description="Give the port of a ship.",
    parameters={"type": "object", "properties": {"ship": {"type": "string"}}, "required": ["ship"]},
)
CODE = 'def port(ship):\n    return {"port": "m41"}\n'
ANSWER = Answer(kind="text", value="m41")


def question(index: int) -> str:
    return f"What is the port of ship s{index}?"


def environment(index: int) -> Environment:
    return Environment(
        id=f"e{index}",
        question=question(index),
        scenario="SingleHop",
        domain="sea",
        tools=[EnvTool(tool=TOOL, code=CODE)],
        targets=[Target(node=1, tool="port", answer=ANSWER, answer_path="/port")],
        oracle=[OracleCall(node=1, tool="port", arguments={"ship": f"s{index}"})],
        graph=QaGraph(question=question(index), nodes=[QaNode(id=1, hop=1, question="q", answer=ANSWER)], scenario="SingleHop"),
        world_seed=1,
        worlds=ProceduralWorlds(),
    )


def conversation(index: int) -> Conversation:
    """Call the tool, or answer at once: half of the conversations do either."""
    call = Message(role="assistant", tool_calls=[ToolCall(name="port", arguments={"ship": "s1"})])
    answered = [call, Message(role="tool", name="port", content='{"port":"m41"}')] if index % 2 else []
    messages = [Message(role="user", content=question(index % 6)), *answered, Message(role="assistant", content="m41")]
    return Conversation(id=f"c{index}", server="sea", tools=[TOOL], messages=messages)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Input], Input]:
    """A store with a base model that calls tools at random now and then, and prepared environments."""
    root = tmp_path_factory.mktemp("rl")
    conversations = [conversation(index) for index in range(12)]
    words = tokenizer.train(conversations, SHAPE.vocabulary)
    model = load.fresh(SHAPE, words, 0)
    taught(model, Renderer(words), conversations)
    load.save(model, words, root / "base" / "model")
    (root / "prepared").mkdir()
    write_lines(root / "prepared" / "environments.jsonl", [environment(index) for index in range(6)])
    opened = open_store(StoreSettings(url=f"file://{root}/store"))
    base = opened.commit(Draft(key=digest_of("base"), kind="SFTRun", stage="train"), root / "base")
    prepared = opened.commit(Draft(key=digest_of("prepared"), kind="RLRun", stage="prepare"), root / "prepared")
    return (
        root,
        [Input(role="model", kind="SFTRun", name="base", artifact=base)],
        Input(role="prepare/0", kind="RLRun", name="astra", artifact=prepared),
    )


def taught(model: Any, renderer: Renderer, conversations: list[Conversation]) -> None:
    """Fit the form of a turn, so that rewards differ within groups."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    rows = [renderer.conversation(entry.tools, entry.messages)[0] for entry in conversations]
    ids = torch.full((len(rows), max(map(len, rows))), renderer.pad)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
    labels = ids.masked_fill(ids == renderer.pad, -100)
    for _ in range(120):
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def request(store: tuple[Path, list[Input], Input], name: str, ranks: int) -> StageRequest:
    root, inputs, prepared = store
    return StageRequest(
        kind="RLRun",
        name="astra",
        namespace="default",
        attempt=1,
        digest=digest_of(name),
        stage="train",
        spec=spec(ranks),
        inputs=inputs,
        previous=[prepared],
        store=StoreSettings(url=f"file://{root}/store"),
    )


def started(request: StageRequest, pod: Path, ranks: int = 1) -> list[subprocess.Popen[bytes]]:
    """Start the ranks of a training in pod folders of their own, each as a process group."""
    port = free_port()
    found = []
    for rank in range(ranks):
        folder = pod / f"rank-{rank}"
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "request.json").write_text(request.model_dump_json(by_alias=True))
        told = {"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(SCRIPT), str(folder)]
        environment = {**os.environ, **told, "PYTHONPATH": os.pathsep.join(sys.path)}
        with (folder / "log").open("wb") as log:
            found.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
    return found


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def kill(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def finished(pod: Path, processes: list[subprocess.Popen[bytes]]) -> Path:
    """Wait for all ranks; return the artifact's folder."""
    for rank, process in enumerate(processes):
        assert process.wait(timeout=patience(300)) == 0, (pod / f"rank-{rank}" / "log").read_text()
    return pod / "rank-0" / "out" / "artifact"


def steps_done(pod: Path) -> int:
    try:
        return int(json.loads((pod / "rank-0" / "progress.json").read_text())["step"])
    except (OSError, ValueError, KeyError):
        return 0


def killed_at(request: StageRequest, pod: Path, step: int, more: float, ranks: int = 1) -> None:
    """Run until ``step`` steps are done and ``more`` seconds beyond, then kill everything with SIGKILL."""
    processes = started(request, pod, ranks)
    deadline = time.monotonic() + patience(600)
    try:
        while steps_done(pod) < step:
            assert all(process.poll() is None for process in processes), (pod / "rank-0" / "log").read_text()
            assert time.monotonic() < deadline
            select([], [], [], 0.01)  # give the processor away for a moment
        with pytest.raises(subprocess.TimeoutExpired):
            processes[0].wait(timeout=more)
    finally:
        kill(processes)


def curve(artifact: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (artifact / "curve.jsonl").read_text().splitlines()]


def ledger(artifact: Path) -> list[LedgerEntry]:
    return list(read_lines(artifact / "prompts.jsonl", LedgerEntry))


def check_ledger(artifact: Path) -> None:
    found = ledger(artifact)
    assert [entry.number for entry in found] == list(range(len(found)))
    assert all(entry.verdict != "Dispatched" for entry in found)


def test_kill_and_resume_on_one_rank_is_bit_for_bit_the_undisturbed_run(store: tuple[Path, list[Input], Input], tmp_path: Path) -> None:
    whole = finished(tmp_path / "whole", started(request(store, "whole", 1), tmp_path / "whole"))
    assert sum(row["trained"] for row in curve(whole)) > 0
    broken = request(store, "broken", 1)
    killed_at(broken, tmp_path / "first", 1, 0.0)
    killed_at(broken, tmp_path / "second", 3, 0.05)
    resumed = finished(tmp_path / "third", started(broken, tmp_path / "third"))
    assert curve(resumed) == curve(whole)
    assert (resumed / "model" / "model.safetensors").read_bytes() == (whole / "model" / "model.safetensors").read_bytes()
    assert (resumed / "prompts.jsonl").read_bytes() == (whole / "prompts.jsonl").read_bytes()
    check_ledger(resumed)


def test_kill_and_resume_on_two_ranks_loses_and_doubles_no_prompt(store: tuple[Path, list[Input], Input], tmp_path: Path) -> None:
    both = request(store, "two", 2)
    killed_at(both, tmp_path / "first", 2, 0.0, ranks=2)
    resumed = finished(tmp_path / "second", started(both, tmp_path / "second", 2))
    assert [row["step"] for row in curve(resumed)] == list(range(1, STEPS + 1))
    check_ledger(resumed)
