"""retry, rerun and resume: which of them helps a run, said on a laptop as in a cluster; the counter has no clock in it."""

from pathlib import Path
from typing import Any

import pytest

from astra_cli import again
from astra_cli.main import main
from astra_jobs.api.errors import BadInput
from astra_operator.clusters.local_objects import Runs, read_runs
from tests.reconcile.harness import manifest


def run(succeeded: str, reason: str, stalled: str = "False", reconciling: str = "False", **spec: Any) -> dict[str, Any]:
    """A ToolCorpus whose status says just this."""
    conditions = [
        {"type": kind, "status": status, "reason": reason, "message": "why"}
        for kind, status in (("Succeeded", succeeded), ("Stalled", stalled), ("Reconciling", reconciling))
    ]
    conditions.append({"type": "Suspended", "status": str(bool(spec.get("suspend"))), "reason": reason, "message": "why"})
    made = manifest("ToolCorpus", **spec)
    return made | {"metadata": {"name": "tools", "generation": 1}, "status": {"observedGeneration": 1, "conditions": conditions}}


FAILED = ("False", "OutOfMemory", "True")


@pytest.mark.parametrize(
    ("before", "after"), [("", "1"), ("1", "2"), ("9", "10"), ("may-7", "may-7.1"), ("²", "².1"), ("9" * 200, "9" * 180 + ".1")]
)
def test_the_next_value_follows_from_the_one_before(before: str, after: str) -> None:
    failed = run(*FAILED, retry=before)
    assert again.next_retry(failed, "astra") == again.next_retry(failed, "astra") == after


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (run("True", "Finished"), "it has succeeded, nothing is left to try; astra rerun ToolCorpus tools makes a new attempt"),
        (run("Unknown", "Running", reconciling="True"), "it has not failed (Running)"),
        (run("Unknown", "WaitingForInput", reconciling="True"), "it has not failed (WaitingForInput)"),
        (run("Unknown", "Suspended", suspend=True), "it has not failed (Suspended)"),
        (run("Unknown", "LauncherMissing", "True"), "goes on by itself once that is put right: LauncherMissing: why"),
        (run("False", "InvalidSpec", "True"), "goes on by itself once that is put right: InvalidSpec: why"),
        (run(*FAILED) | {"status": {}}, "its newest spec was not looked at yet"),
    ],
)
def test_a_run_that_has_not_failed_is_told_what_helps(found: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as refusal:
        again.next_retry(found, "astra")
    assert words in str(refusal.value)


def test_resume_of_a_failed_run_names_retry() -> None:
    with pytest.raises(BadInput, match="has failed \\(OutOfMemory\\); kubectl astra retry ToolCorpus tools lets it go on"):
        again.resumed(run(*FAILED), "kubectl astra")
    assert "astra retry ToolCorpus tools" in again.resumed(run(*FAILED, suspend=True), "astra")
    with pytest.raises(BadInput, match="put right what its message says"):
        again.resumed(run("False", "InvalidSpec", "True"), "astra")
    assert again.resumed(run("Unknown", "Suspended", suspend=True), "astra") == "goes on"
    assert "was not suspended" in again.resumed(run("Unknown", "Running", reconciling="True"), "astra")
    assert "resume ToolCorpus tools" in again.retried(run(*FAILED, suspend=True), "astra")


def test_the_command_leaves_the_next_value_and_refuses_what_has_not_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = Runs(tmp_path)
    made = runs.put(manifest("ToolCorpus"), "2030-01-01T00:00:00Z")
    key = next(iter(runs._records))
    runs.set_status(key, run(*FAILED)["status"])
    for value in ("1", "2"):
        assert main(["--state", str(tmp_path), "retry", "ToolCorpus", "tools"]) == 0
        assert "is tried again from its last checkpoint with the next astra run" in capsys.readouterr().out
        (found,) = read_runs(tmp_path)
        assert found["spec"]["retry"] == value
        Runs(tmp_path).set_status(key, run(*FAILED)["status"] | {"observedGeneration": found["metadata"]["generation"]})
    assert main(["--state", str(tmp_path), "resume", "ToolCorpus", "tools"]) == 78
    assert "astra retry ToolCorpus tools" in capsys.readouterr().err
    Runs(tmp_path).set_status(key, run("True", "Finished")["status"] | {"observedGeneration": 9})
    assert main(["--state", str(tmp_path), "retry", "ToolCorpus", "tools"]) == 78
    assert made["metadata"]["name"] == "tools"
