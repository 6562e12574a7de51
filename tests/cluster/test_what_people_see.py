"""What kubectl shows of runs on a real API server: phases, events, whose object has the name of a child; and how to wait for a failure."""

from collections.abc import Iterator

import pytest

from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import OperatorTeam
from tests.cluster.plane.plane import ControlPlane

JOB = "tools-corpus-1-collect-0"


@pytest.fixture(scope="module")
def team(plane: ControlPlane) -> OperatorTeam:
    return OperatorTeam(plane)


@pytest.fixture(scope="module")
def operator(team: OperatorTeam, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    team.put("ToolCorpus")
    with OperatorProcess(team.identity(), [team.namespace], tmp_path_factory.mktemp("operator")) as operator:
        team.wait_for_job(JOB)
        yield operator


def rows(team: OperatorTeam) -> dict[str, list[str]]:
    """Return the cells of ``kubectl get astra`` by name."""
    head, *lines = team.kubectl("get", "astra").splitlines()
    assert head.split() == ["NAME", "PHASE", "REASON", "STAGE", "PROGRESS", "ATTEMPT", "AGE"]
    return {line.split()[0].partition("/")[2]: line.split()[1:] for line in lines if line and not line.startswith("NAME")}


def events(team: OperatorTeam, name: str) -> list[tuple[str, str, str]]:
    """Return type, reason and note of the events of a run."""
    path = "{range .items[*]}{.type}|{.reason}|{.note}{'\\n'}{end}"
    text = team.kubectl("get", "events.events.k8s.io", "--field-selector", f"regarding.name={name}", "-o", f"jsonpath={path}")
    return [tuple(line.split("|", 2)) for line in text.splitlines()]  # type: ignore[misc]


def test_a_run_at_work_is_shown_and_told_of(team: OperatorTeam, operator: OperatorProcess) -> None:
    team.wait("it runs or waits", lambda: rows(team)["tools"][0] in ("Running", "Waiting"))
    team.wait("both events are there", lambda: len(events(team, "tools")) >= 2)
    assert {("Normal", "AttemptOpened", "attempt 1"), ("Normal", "StageStarted", f"stage collect: {JOB}")} <= set(events(team, "tools"))
    described = team.kubectl("describe", "toolcorpus", "tools")
    assert "AttemptOpened" in described
    assert "StageStarted" in described


def test_an_operator_that_starts_anew_tells_nothing_twice(team: OperatorTeam, operator: OperatorProcess) -> None:
    before = events(team, "tools")
    operator.stop()
    operator.start()
    team.put("ToolCorpus", "later")
    team.wait_for_job("later-corpus-1-collect-0")
    team.wait("of another it tells", lambda: len(events(team, "later")) >= 2)
    assert [line for line in events(team, "tools") if line in before] == before
    assert len({line[1:] for line in events(team, "tools")}) == len(events(team, "tools"))


def test_a_name_that_is_taken_is_told_and_a_wait_for_failure_ends(team: OperatorTeam, operator: OperatorProcess) -> None:
    metadata = {"name": "mine-corpus-1", "namespace": team.namespace}
    team.plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"note": "own"}})
    team.put("ToolCorpus", "mine")
    team.kubectl("wait", "--for=condition=Stalled", "toolcorpus/mine", "--timeout=300s")
    team.kubectl("wait", "--for=jsonpath={.status.phase}=Stalled", "toolcorpus/mine", "--timeout=300s")
    assert rows(team)["mine"][:2] == ["Stalled", "NameTaken"]
    team.wait("it is told", lambda: events(team, "mine"))
    ((kind, reason, note),) = events(team, "mine")
    assert (kind, reason) == ("Warning", "NameTaken")
    assert "ConfigMap mine-corpus-1 exists" in note
    assert team.kubectl("get", "configmap", "mine-corpus-1", "-o", "jsonpath={.data.note}") == "own"
    team.kubectl("delete", "configmap", "mine-corpus-1")
    team.wait_for_job("mine-corpus-1-collect-0", 300)
    team.wait("it goes on", lambda: rows(team)["mine"][0] in ("Running", "Waiting"))


def test_what_an_orphaning_deletion_left_is_named_and_its_remedy_helps(team: OperatorTeam, operator: OperatorProcess) -> None:
    team.put("ToolCorpus", "twice")
    team.wait_for_job("twice-corpus-1-collect-0")
    old = team.run("twice")["metadata"]["uid"]
    team.kubectl("delete", "toolcorpus", "twice", "--cascade=orphan")
    team.wait("nobody owns it", lambda: "ownerReferences" not in _config(team, "twice-corpus-1")["metadata"])
    team.put("ToolCorpus", "twice")
    team.kubectl("wait", "--for=condition=Stalled", "toolcorpus/twice", "--timeout=300s")
    said = team.kubectl("get", "toolcorpus", "twice", "-o", "jsonpath={.status.conditions[?(@.type=='Stalled')].message}")
    assert f"-l astra.dev/run-uid={old}" in said
    team.kubectl(*said.partition("kubectl ")[2].split())
    team.wait("a new attempt is made", lambda: _owner(team, "twice-corpus-1") == team.run("twice")["metadata"]["uid"], 300)
    team.wait_for_job("twice-corpus-1-collect-0", 300)


def _config(team: OperatorTeam, name: str) -> dict[str, dict[str, object]]:
    return next(item for item in team.objects("configmaps") if item["metadata"]["name"] == name)


def _owner(team: OperatorTeam, name: str) -> str:
    found = [item for item in team.objects("configmaps") if item["metadata"]["name"] == name]
    return found[0]["metadata"].get("ownerReferences", [{"uid": ""}])[0]["uid"] if found else ""
