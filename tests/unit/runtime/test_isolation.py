"""A stage that was promised more isolation than its job keeps does not run: no tool is ever run with less, quietly."""

from pathlib import Path

import pytest

from astra_jobs.api.artifact import Kind
from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import StageRequest, StoreSettings
from astra_jobs.runtime.jobs import TOOLS_IN_PROCESS, check_isolation
from astra_jobs.runtime.progress import FileProgress
from astra_jobs.runtime.stage import Process, run_stage
from astra_operator.stages import STAGES
from tests.reconcile.harness import SPECS


def request(kind: Kind, stage: str, isolation: str, store: str = "memory://store") -> StageRequest:
    told = {"name": "x", "namespace": "team", "attempt": 1, "digest": "d", "spec": SPECS[kind], "store": StoreSettings(url=store)}
    return StageRequest(kind=kind, stage=stage, isolation=isolation, **told)


@pytest.mark.parametrize(("kind", "stage"), sorted(TOOLS_IN_PROCESS))
def test_a_promise_that_is_not_kept_is_refused(kind: Kind, stage: str) -> None:
    check_isolation(request(kind, stage, "Process"))
    with pytest.raises(BadInput, match="runs tools in its own process only, set isolation: Process") as told:
        check_isolation(request(kind, stage, "gVisor"))
    assert told.value.reason == "SandboxRuntimeMissing"


def test_only_stages_that_run_tools_are_refused() -> None:
    assert {(kind, stage.name) for kind, stages in STAGES.items() for stage in stages if stage.tools} >= TOOLS_IN_PROCESS
    check_isolation(request("RLRun", "prepare", "gVisor"))


def test_a_stage_is_refused_before_it_runs(tmp_path: Path) -> None:
    kind, stage = sorted(TOOLS_IN_PROCESS)[0]
    asked = request(kind, stage, "gVisor", f"file://{tmp_path / 'store'}")
    with pytest.raises(BadInput, match="found gVisor"):
        run_stage(asked, Process(tmp_path / "work"), FileProgress(tmp_path / "progress.json"))
    assert not (tmp_path / "work").exists()
