"""One operator on a real API server, under exactly the rights that are shipped: what it makes, what it leaves alone, how it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.operator_process import ROOT, OperatorProcess
from tests.cluster.operator_team import IDENTITY, WRITES, OperatorTeam, granted
from tests.cluster.plane.plane import ControlPlane
from tests.patience import patience

JOB = "tools-corpus-1-collect-0"
PROMISED = {
    "astra_reconciles_total": {"kind", "outcome"},
    "astra_reconcile_seconds_count": set[str](),
    "astra_queue_depth": set[str](),
    "astra_api_calls_total": {"verb", "resource", "code"},
    "astra_runs": {"kind", "condition", "status"},
    "astra_attempts_total": {"kind"},
}


@pytest.fixture(scope="module")
def team(plane: ControlPlane) -> OperatorTeam:
    return OperatorTeam(plane)


@pytest.fixture(scope="module")
def operator(team: OperatorTeam, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator that has met one ToolCorpus and one run that waits for another."""
    team.put("ToolCorpus")
    team.put("SFTRun", "sft")
    with OperatorProcess(team.identity(), [team.namespace], tmp_path_factory.mktemp("operator")) as operator:
        team.wait_for_job(JOB)
        team.settled("sft", "sftrun")
        yield operator


def test_a_run_gets_its_status_its_attempt_its_request_and_its_job(team: OperatorTeam, operator: OperatorProcess) -> None:
    run = team.settled()
    assert run["status"]["attempt"]["number"] == 1
    assert {item["type"]: item["status"] for item in run["status"]["conditions"]}["Reconciling"] == "True"
    configs = {item["metadata"]["name"] for item in team.objects("configmaps")}
    assert {"tools-corpus-1", JOB} <= configs
    (job,) = team.objects("jobs")
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (run["metadata"]["uid"], True)
    waiting = {item["type"]: item for item in team.run("sft", "sftrun")["status"]["conditions"]}["InputsReady"]
    assert (waiting["status"], waiting["reason"]) == ("False", "WaitingForInput")


def test_users_objects_bear_nothing_of_the_operator_but_their_status(team: OperatorTeam, operator: OperatorProcess) -> None:
    for run in (team.run(), team.run("sft", "sftrun")):
        assert {"finalizers", "annotations", "ownerReferences"} & set(run["metadata"]) == set()
        mine = [entry for entry in json_fields(team, run["kind"], run["metadata"]["name"]) if entry["manager"] == "astra-operator"]
        assert [entry.get("subresource") for entry in mine] == ["status"]
    assert {event["verb"] for event in team.calls() if event["objectRef"]["resource"] == "events"} <= {"create", "list"}


def json_fields(team: OperatorTeam, kind: str, name: str) -> list[dict[str, str]]:
    return json.loads(team.kubectl("get", kind, name, "--show-managed-fields", "-o", "json"))["metadata"]["managedFields"]


def test_metrics_and_log_lines_have_the_promised_names(team: OperatorTeam, operator: OperatorProcess) -> None:
    samples = operator.metrics()
    for name, labels in PROMISED.items():
        found = [key for key in samples if key.split("{")[0] == name]
        assert found, name
        assert all(f'{label}="' in key for key in found for label in labels), found
    assert operator.metric("astra_attempts_total", kind="ToolCorpus") == 1
    assert operator.metric("astra_runs", kind="SFTRun", condition="InputsReady", status="False") == 1
    opened = next(line for line in operator.lines() if line.get("step") == "Open")
    assert (opened["run"], opened["kind"], opened["namespace"], opened["attempt"]) == ("tools", "ToolCorpus", team.namespace, 1)


def test_the_shipped_rights_are_enough_and_no_more_than_is_used(team: OperatorTeam, operator: OperatorProcess) -> None:
    calls = team.calls()
    assert [event for event in calls if event["responseStatus"]["code"] == 403] == []
    allowed = granted()
    for event in calls:
        reference = event["objectRef"]
        resource = "/".join(part for part in (reference["resource"], reference.get("subresource")) if part)
        assert (resource, event["verb"]) in allowed
    assert {verb for resource, verb in allowed if resource == "secrets"} <= {"create", "delete"}, "none reads a Secret"


@pytest.mark.parametrize(
    "asked",
    [("get", "secrets"), ("list", "secrets"), ("create", "pods"), ("create", "pods/exec"), ("update", "toolcorpora"), ("delete", "rlruns")],
)
def test_what_the_operator_may_not_do(team: OperatorTeam, asked: tuple[str, str]) -> None:
    answer = team.plane.kubectl("-n", team.namespace, "auth", "can-i", *asked, f"--as={IDENTITY}", check=False).stdout.strip()
    assert answer == "no"


def test_the_operator_may_do_nothing_outside_its_teams(team: OperatorTeam) -> None:
    for verb in (*WRITES, "get", "list", "watch"):
        answer = team.plane.kubectl("auth", "can-i", verb, "configmaps", "--all-namespaces", f"--as={IDENTITY}", check=False)
        assert answer.stdout.strip() == "no"


def test_sigterm_ends_it_in_order_and_a_restart_changes_nothing(team: OperatorTeam, operator: OperatorProcess) -> None:
    assert operator.healthy(), operator.problems()
    # There is no node, which is told once, after some seconds: whichever operator is there by then.
    team.wait("it says what its pod waits for", lambda: "WaitingForCapacity" in json.dumps(team.run()["status"]["conditions"]))
    assert operator.stop() == 0
    assert team.holder() == ""
    assert operator.lines()[-1]["message"] == "stopped"
    assert not [line for line in operator.lines() if line["level"] in ("ERROR", "CRITICAL")]
    before, mark = (team.run(), team.jobs()), team.plane.audit_mark()
    operator.start()
    team.wait("it works again", lambda: operator.metric("astra_reconciles_total") >= 2)
    assert team.writes(since=mark) == []
    assert (team.run(), team.jobs()) == before


def test_a_deletion_takes_all_that_the_run_owned(team: OperatorTeam, operator: OperatorProcess) -> None:
    team.kubectl("delete", "toolcorpus", "tools", "--wait=true", f"--timeout={patience():.0f}s")
    team.wait("its objects are gone", lambda: team.jobs() == [])
    team.wait("it is forgotten", lambda: operator.metric("astra_runs", kind="ToolCorpus") == 0)
    team.put("ToolCorpus")
    team.wait_for_job(JOB)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"ASTRA_NAMESPACES": ""}, "ASTRA_NAMESPACES: it is not set; name the namespaces to serve, with commas between them, or * for all"),
        ({"ASTRA_NAMESPACES": "a,B"}, 'ASTRA_NAMESPACES: "B" is no name of a namespace; write names with commas between them'),
        ({"ASTRA_WORKERS": "0"}, "ASTRA_WORKERS: 0 is out of range; set a whole number from 1 to 256, or leave it out for 8"),
        ({"ASTRA_PORT": "http"}, 'ASTRA_PORT: "http" is not a number; set a whole number from 0 to 65535, or leave it out for 8080'),
        ({"ASTRA_LEASE_SECONDS": "nan"}, "ASTRA_LEASE_SECONDS: nan is out of range; set a number from 2 to 3600, or leave it out for 15"),
        ({"KUBECONFIG": "/nowhere/config"}, "KUBECONFIG /nowhere/config: "),
        ({"KUBECONFIG": ""}, "in-cluster configuration: "),
    ],
)
def test_wrong_settings_end_with_one_line_and_78(told: dict[str, str], line: str, tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("ASTRA_", "KUBE"))}
    env = clean | {"ASTRA_NAMESPACES": "a", "KUBECONFIG": "/nowhere", "PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"} | told
    done = subprocess.run(
        [sys.executable, "-m", "astra_operator"], env=env, capture_output=True, text=True, cwd=tmp_path, timeout=patience()
    )
    assert done.returncode == 78
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
