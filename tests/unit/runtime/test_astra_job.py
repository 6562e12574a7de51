"""``astra-job`` from request to result: exit codes, reuse, ranks, shards, preemption, errors in one line."""

import json
import os
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.errors import BadInput, Preempted
from astra_jobs.api.job import Inputs, JobContext, JobFunction, Metrics
from astra_jobs.api.request import StageRequest, StoreSettings
from astra_jobs.api.result import JobResult
from astra_jobs.runtime.main import main
from astra_jobs.runtime.store import open_store
from tests.patience import patience

RequestFile = Callable[..., str]
Install = Callable[[JobFunction], None]


def collect(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
    (out / "servers.jsonl").write_text(f'{{"drawn":{ctx.stream("servers").randrange(10**6)}}}\n')
    ctx.progress.update(1, 1, "done")
    return {"servers": 1, "share": 1 / 3, "note": "fine"}


def result() -> JobResult:
    return JobResult.model_validate_json(Path("result.json").read_bytes())


def store_of(tmp_path: Path) -> Any:
    return open_store(StoreSettings(url=f"file://{tmp_path}/store"))


def test_a_stage_runs_once_and_is_found_ever_after(
    request_file: RequestFile, job: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job(collect)
    assert main([request_file()]) == 0
    first = result()
    assert (first.outcome, first.reused, first.exit_code) == ("Succeeded", False, 0)
    assert first.metrics == {"servers": "1", "share": "0.333333", "note": "fine"}
    assert first.artifact is not None
    manifest = store_of(tmp_path).manifest(first.artifact)
    assert (manifest.kind, manifest.stage, manifest.shard, manifest.metrics) == ("ToolCorpus", "collect", 0, first.metrics)

    def explode(*_: Any) -> Metrics:
        raise AssertionError("executed again")

    job(explode)
    assert main([request_file(attempt=9, restart=2, uid="another", name="another")]) == 0
    again = result()
    assert (again.reused, again.artifact, again.metrics) == (True, first.artifact, first.metrics)


def test_the_job_gets_its_inputs_and_earlier_stages(request_file: RequestFile, job: Install, tmp_path: Path) -> None:
    job(collect)
    assert main([request_file()]) == 0
    made = result().artifact
    assert made is not None
    seen: dict[str, Any] = {}

    def reader(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
        seen.update(data=[path.joinpath("servers.jsonl").read_text() for path in inputs.many("data")], stages=list(inputs.stages))
        seen.update(seed=ctx.seed, out=list(out.iterdir()), scratch=ctx.scratch.is_dir())
        return {}

    job(reader)
    entry = {"kind": "ToolCorpus", "name": "tools", "artifact": made.to_dict()}
    inputs = [{"role": "data/0", **entry}, {"role": "data/1", **entry}]
    assert main([request_file(digest="sha256:b", inputs=inputs, previous=[{"role": "prepare/0", **entry}])]) == 0
    assert seen["data"][0] == seen["data"][1] != ""
    assert (seen["stages"], seen["seed"], seen["out"], seen["scratch"]) == (["prepare/0"], 11, [], True)
    artifact = result().artifact
    assert artifact is not None
    assert store_of(tmp_path).manifest(artifact).inputs == [made.digest] * 3


def test_a_damaged_input_is_named_with_role_and_run(request_file: RequestFile, job: Install, tmp_path: Path) -> None:
    job(collect)
    main([request_file()])
    made = result().artifact
    assert made is not None
    store = store_of(tmp_path)
    path = next(path for path in store.backend.sizes("") if path.endswith("servers.jsonl"))
    store.backend.replace(path, b"{}")
    entry = {"role": "corpus", "kind": "ToolCorpus", "name": "tools", "artifact": made.to_dict()}
    assert main([request_file(digest="sha256:b", inputs=[entry])]) == 78
    error = result().error
    assert error is not None
    assert error.reason == "InputUnavailable"
    assert error.where == "inputs.corpus"
    assert error.message.startswith(f"input corpus from ToolCorpus/tools, {made.uri}/servers.jsonl: is damaged (")


def test_other_ranks_do_not_commit(request_file: RequestFile, job: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def ranked(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
        seen.append((ctx.rank, ctx.world))
        return {}

    job(ranked)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([request_file()]) == 0
    assert result().artifact is None
    assert seen == [(1, 2)]
    assert store_of(tmp_path).backend.sizes("") == {}


def test_shards_commit_under_keys_of_their_own(request_file: RequestFile, job: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    def sharded(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
        (out / "shard.txt").write_text(str(ctx.shard))
        return {}

    job(sharded)
    uris = set()
    for shard in range(2):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(shard))
        assert main([request_file(shards=2)]) == 0
        artifact = result().artifact
        assert artifact is not None
        uris.add(artifact.uri)
    assert len(uris) == 2
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "2")
    assert main([request_file(shards=2)]) == 78


def test_a_stopped_job_resumes_from_journal_and_checkpoint(request_file: RequestFile, job: Install, tmp_path: Path) -> None:
    def train(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
        found = ctx.checkpoints.latest()
        done = [item["step"] for item in ctx.journal.items()]
        for step in range(found[0] + 1 if found else 1, 6):
            ctx.journal.append({"step": step})
            if step == 3 and found is None:
                os.kill(os.getpid(), signal.SIGTERM)
            if ctx.should_stop():
                (ctx.scratch / "state").mkdir()
                (ctx.scratch / "state/step.txt").write_text(str(step))
                ctx.checkpoints.save(step, ctx.scratch / "state")
                raise Preempted("", "Suspended", f"stopped at step {step}")
        (out / "done.json").write_text(json.dumps({"before": done, "from": found[1].joinpath("step.txt").read_text() if found else ""}))
        return {}

    job(train)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main([request_file()]) == 85
        stopped = result()
        assert (stopped.outcome, stopped.exit_code, stopped.checkpoint) == ("Failed", 85, 3)
        assert main([request_file(restart=1)]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    artifact = result().artifact
    assert artifact is not None
    folder = store_of(tmp_path).fetch(artifact, tmp_path / "fetched")
    assert json.loads((folder / "done.json").read_text()) == {"before": [1, 2, 3], "from": "3"}
    assert not [path for path in store_of(tmp_path).backend.sizes("state") if "/starts/" not in path], "state goes when it is not needed"


def test_an_older_restart_may_not_commit(request_file: RequestFile, job: Install) -> None:
    def overtaken(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
        if request.restart == 0:
            return_code.append(main([request_file(restart=1)]))
        return {}

    return_code: list[int] = []
    job(overtaken)
    assert main([request_file(restart=0)]) == 75
    assert return_code == [0]
    error = result().error
    assert error is not None
    assert error.reason == "Superseded"


def test_a_failing_job_commits_nothing(request_file: RequestFile, job: Install, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
        (out / "half.txt").write_text("half")
        raise BadInput("spec.filters.minToolsPerServer", "NothingKept", "found 3: no server has so many tools;\nlower it")

    job(fail)
    assert main([request_file()]) == 78
    error = result().error
    assert error is not None
    assert (error.where, error.reason) == ("spec.filters.minToolsPerServer", "NothingKept")
    assert error.message == "found 3: no server has so many tools; lower it"
    assert capfd.readouterr().err.strip().splitlines() == [
        "astra-job: NothingKept: spec.filters.minToolsPerServer: found 3: no server has so many tools; lower it"
    ]
    assert not (tmp_path / "store/artifacts").exists()


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"stage": "collct"}, "found 'collct'; ToolCorpus has the stages collect"),
        ({"colour": 1}, "colour: found 1: unknown field"),
        ({"attempt": "1"}, 'attempt: found "1": Input should be a valid integer; write a whole number'),
        ({"spec": {"sources": [], "seed": 1}}, "spec.sources: found []"),
        ({"spec": {"sources": [{"name": "a", "procedural": {"servers": 1}}], "filtres": {}}}, "remove it or write filters"),
        ({"store": {"url": "ftp://x"}}, "write file:///an/absolute/folder"),
    ],
)
def test_bad_requests_are_refused_in_one_line(
    request_file: RequestFile, changes: dict[str, Any], where: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([request_file(**changes)]) == 78
    said = capfd.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert where in said[0]
    assert result().exit_code == 78


@pytest.mark.parametrize("arguments", [[], ["--what"], ["a.json", "b.json"], ["no/such.json"]])
def test_bad_arguments_exit_78(request_file: RequestFile, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    request_file()
    assert main(arguments) == 78
    assert len(capfd.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(("name", "value"), [("RANK", "one"), ("JOB_COMPLETION_INDEX", "-1"), ("ASTRA_PROGRESS_PORT", "http")])
def test_a_bad_environment_is_refused(request_file: RequestFile, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert main([request_file()]) == 78
    error = result().error
    assert error is not None
    assert error.where == name


def test_progress_is_served_and_written(request_file: RequestFile, job: Install, monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
    seen: list[dict[str, Any]] = []

    def slow(request: StageRequest, inputs: Inputs, out: Path, ctx: JobContext) -> Metrics:
        ctx.progress.update(3, 10, "x" * 500, {"loss": 0.25, **{f"m{number}": "y" * 1000 for number in range(40)}})
        with urllib.request.urlopen(f"http://127.0.0.3:{unused_port}/progress", timeout=patience()) as answer:
            seen.append(json.loads(answer.read(20_000)))
        ctx.progress.update(10, 10, "done")
        return {}

    job(slow)
    monkeypatch.setenv("ASTRA_POD_IP", "127.0.0.3")
    monkeypatch.setenv("ASTRA_PROGRESS_PORT", str(unused_port))
    assert main([request_file()]) == 0
    assert (seen[0]["step"], seen[0]["total"], len(seen[0]["message"])) == (3, 10, 200)
    assert len(json.dumps(seen[0])) <= 16_384
    assert json.loads(Path("progress.json").read_text())["message"] == "done"
