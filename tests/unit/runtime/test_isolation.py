"""A stage that was promised more isolation than its job keeps does not run: no tool is ever run with less, quietly."""

from pathlib import Path

import pytest

from astra_jobs.api.artifact import Kind
from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import SandboxService, StageRequest, StoreSettings
from astra_jobs.runtime.jobs import TOOLS_IN_POOL, check_isolation
from astra_jobs.runtime.progress import FileProgress
from astra_jobs.runtime.stage import Process, run_stage
from astra_operator.stages import STAGES
from tests.reconcile.harness import SPECS


def pool(isolation: str) -> SandboxService:
    return SandboxService(urls=["http://pool:8000"], key_file="/key", isolation=isolation)


def request(kind: Kind, stage: str, isolation: str, store: str = "memory://store", sandbox: SandboxService | None = None) -> StageRequest:
    told = {"name": "x", "namespace": "team", "attempt": 1, "digest": "d", "spec": SPECS[kind], "store": StoreSettings(url=store)}
    return StageRequest(kind=kind, stage=stage, isolation=isolation, sandbox=sandbox, **told)


@pytest.mark.parametrize(("kind", "stage"), sorted(TOOLS_IN_POOL))
def test_a_pool_of_the_promised_isolation_is_needed(kind: Kind, stage: str) -> None:
    check_isolation(request(kind, stage, "Process"))
    check_isolation(request(kind, stage, "gVisor", sandbox=pool("gVisor")))
    for less in (None, pool("Process")):
        with pytest.raises(BadInput, match="was given no pool of that isolation") as told:
            check_isolation(request(kind, stage, "gVisor", sandbox=less))
        assert told.value.reason == "SandboxRuntimeMissing"


def test_every_stage_that_runs_tools_is_checked_and_no_other() -> None:
    assert {(kind, stage.name) for kind, stages in STAGES.items() for stage in stages if stage.tools} == TOOLS_IN_POOL
    check_isolation(request("RLRun", "prepare", "gVisor"))


def test_a_stage_is_refused_before_it_runs(tmp_path: Path) -> None:
    kind, stage = sorted(TOOLS_IN_POOL)[0]
    asked = request(kind, stage, "gVisor", f"file://{tmp_path / 'store'}")
    with pytest.raises(BadInput, match="found gVisor"):
        run_stage(asked, Process(tmp_path / "work"), FileProgress(tmp_path / "progress.json"))
    assert not (tmp_path / "work").exists()
