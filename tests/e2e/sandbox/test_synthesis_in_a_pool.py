"""EnvSynthesis with its tools on servers makes what it makes with tools in its own process, to the byte."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import SandboxService
from astra_jobs.api.v1alpha1.envs import EnvSynthesisSpec
from astra_jobs.envs import job
from astra_jobs.records.funnel import Dropped
from astra_jobs.records.lines import read_lines
from tests.e2e.envs.conftest import Bench, make_spec
from tests.e2e.sandbox.test_client_failures import Server, running

SPEC = make_spec(16, heldOut=0.4, defects={"unstableTool": 0.4})


def options(seconds: float, variants: int = 2) -> list[str]:
    tool = EnvSynthesisSpec.model_validate(SPEC).tool
    told = {"seconds": seconds, "memory-mib": tool.memory_mib, "output-chars": tool.output_chars, "variants": variants, "live": 32}
    return [part for name, value in told.items() for part in (f"--{name}", str(value))]


def bench(folder: Path, server: Server | None = None) -> Bench:
    folder.mkdir(exist_ok=True)
    if server is None:
        return Bench(folder)
    return Bench(folder, pool=SandboxService(urls=[server.url], key_file=str(folder.parent / "key"), isolation="Process"))


@contextmanager
def pool(folder: Path, *told: str) -> Iterator[Server]:
    with running(folder, 1, *told) as [server]:
        yield server


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_an_artifact_is_the_same_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = EnvSynthesisSpec.model_validate(SPEC).tool
    own = bench(tmp_path / "own")
    shards = [own.synthesise(SPEC, shard, 2) for shard in range(2)]
    merged = own.merge(SPEC, shards)
    caught = [one for one in read_lines(merged / "dropped.jsonl", Dropped) if one.filter == "stability"]
    assert caught, "no tool needed the second variant to be found out"

    def none(*_: Any, **__: Any) -> Any:
        raise AssertionError("a sandbox in the job's own process")

    monkeypatch.setattr("astra_jobs.sandbox.choice.process_sandbox", none)
    with pool(tmp_path, *options(tool.verification_seconds)) as server:
        away = bench(tmp_path / "pool", server)
        made = [away.synthesise(SPEC, shard, 2) for shard in range(2)]
        assert [contents(folder) for folder in made] == [contents(folder) for folder in shards]
    with pool(tmp_path, *options(tool.seconds)) as server:
        assert contents(bench(tmp_path / "pool", server).merge(SPEC, made)) == contents(merged)


def test_a_pool_that_cannot_verify_is_refused_in_both_stages(tmp_path: Path) -> None:
    tool = EnvSynthesisSpec.model_validate(SPEC).tool
    own = bench(tmp_path / "own")
    shards = [own.synthesise(SPEC)]
    with pool(tmp_path, *options(tool.verification_seconds, variants=1)) as server, pytest.raises(BadInput) as caught:
        bench(tmp_path / "pool", server).synthesise(SPEC)
    assert (caught.value.where, caught.value.reason) == ("sandbox.variant", "SandboxRuntimeMissing")
    with pool(tmp_path, *options(tool.seconds, variants=1)) as server, pytest.raises(BadInput) as caught:
        bench(tmp_path / "pool", server).merge(SPEC, shards)
    assert (caught.value.where, caught.value.reason) == ("sandbox.variant", "SandboxRuntimeMissing"), "the replay's process tells why"


def test_what_only_the_second_variant_finds_is_not_found_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = contents(bench(tmp_path / "plain").synthesise(SPEC))
    real = job.sandbox_of
    monkeypatch.setattr(job, "sandbox_of", lambda service, limits, variant=0: real(service, limits))
    assert contents(bench(tmp_path / "same").synthesise(SPEC))["outcomes.jsonl"] != plain["outcomes.jsonl"]
