"""A shard of ChainSynthesis killed with SIGKILL under the real runtime and store: the artifact is the undisturbed one."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from astra_jobs.api.request import Input, StageRequest, StoreSettings
from astra_jobs.api.result import JobResult
from astra_jobs.records.lines import write_lines
from astra_jobs.runtime.store import Draft, open_store
from tests.patience import patience
from tests.unit.chains.chain_kit import server_of, spec_of

SERVERS, DEADLINE = 120, 120.0


def request_in(folder: Path) -> Path:
    """Commit a corpus to a store in a folder and write the request of the synthesis from it."""
    settings = StoreSettings(url=f"file://{folder}/store")
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    write_lines(corpus / "servers.jsonl", (server_of(index) for index in range(SERVERS)))
    artifact = open_store(settings).commit(Draft("sha256:" + "1" * 64, "ToolCorpus", "collect", 0, {}, (), 0), corpus)
    spec = spec_of(walks={"minLength": 1, "maxLength": 3, "perServer": 3}, tasks={"serverOnly": 1})
    request = StageRequest(
        kind="ChainSynthesis",
        name="chains",
        namespace="default",
        attempt=1,
        digest="sha256:" + "0" * 64,
        stage="synthesise",
        spec=spec.to_dict(),
        inputs=[Input(role="corpus", kind="ToolCorpus", name="tools", artifact=artifact)],
        store=settings,
    )
    path = folder / "request.json"
    path.write_text(json.dumps(request.to_dict()))
    return path


def start(request: Path) -> "subprocess.Popen[bytes]":
    program = [sys.executable, "-c", "import sys; from astra_jobs.runtime.main import main; sys.exit(main())", str(request)]
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(program, cwd=request.parent, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def done(folder: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(json.loads((folder / "progress.json").read_text()).get("step", 0))
    return 0


def kill_at(process: "subprocess.Popen[bytes]", folder: Path, step: int) -> bool:
    """Kill the process once its progress passed a step; False when it ended before."""
    deadline = time.monotonic() + patience(DEADLINE)
    while done(folder) < step:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
            return False
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    return process.wait(timeout=DEADLINE) == -signal.SIGKILL


def finish(request: Path) -> JobResult:
    assert start(request).wait(timeout=DEADLINE) == 0
    return JobResult.model_validate_json((request.parent / "result.json").read_bytes())


@pytest.mark.parametrize("steps", [(16, 64)])
def test_killed_shard_makes_the_undisturbed_artifact(tmp_path: Path, steps: tuple[int, ...]) -> None:
    undisturbed = finish(request_in(tmp_path / "one"))
    request = request_in(tmp_path / "two")
    kills = [kill_at(start(request), request.parent, step) for step in steps]
    assert all(kills), "the shard ended before it could be killed"
    resumed = finish(request)
    assert resumed.artifact is not None
    assert undisturbed.artifact is not None
    assert resumed.artifact.digest == undisturbed.artifact.digest
    assert not resumed.reused
    assert finish(request).reused
