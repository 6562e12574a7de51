"""Trainings of two ranks on a real control plane: killed, hung, out of restarts, suspended, deleted."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.node_process import NodeProcess
from tests.cluster.node_team import Team, Watch, condition
from tests.cluster.node_training import DATA, STEPS_BEFORE, both_train, first_step, made, patch, start
from tests.patience import patience


@pytest.fixture(scope="module")
def team(node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A team with conversations to train on."""
    with Team(node, tmp_path_factory.mktemp("training"), "training") as team:
        team.apply(DATA)
        team.succeeded("chainsynthesis/chains", seconds=180)
        yield team


@pytest.fixture(scope="module")
def undisturbed(team: Team) -> dict[str, Any]:
    """What the training makes when nothing happens to it."""
    start(team, "calm")
    team.succeeded("sftrun/calm", seconds=240)
    return made(team, "calm")


def no_overlap(events: list[tuple[str, dict[str, Any]]], old: str, new: str) -> None:
    """Fail unless every pod of the old launch was gone when the first of the new one came."""
    names = [(kind, item["metadata"]["name"]) for kind, item in events]
    first = next(place for place, (kind, name) in enumerate(names) if kind == "ADDED" and name.startswith(new))
    there = {name for _, name in names[:first] if name.startswith(old)}
    gone = {name for kind, name in names[:first] if kind == "DELETED" and name.startswith(old)}
    assert there
    assert there == gone


@pytest.mark.parametrize(("name", "rank"), [("worker-shot", 1), pytest.param("master-shot", 0, marks=pytest.mark.bench)])
def test_a_killed_rank_costs_one_restart_and_nothing_else(team: Team, undisturbed: dict[str, Any], name: str, rank: int) -> None:
    of_run = f"-lastra.dev/run={name}"
    with Watch(team, "pods", of_run) as pods, Watch(team, "pytorchjobs", of_run) as jobs:
        stage = start(team, name)
        team.node.signal(both_train(team, f"{stage}-0")[rank], signal.SIGKILL)
        team.succeeded(f"sftrun/{name}", seconds=240)
    run = team.run(f"sftrun/{name}")
    assert (run["status"]["attempt"]["number"], run["status"]["attempt"]["restarts"]) == (1, 1)
    assert first_step(team, f"{stage}-1") > 4, "it began anew instead of going on from its checkpoint"
    assert made(team, name) == undisturbed
    no_overlap(pods.events, f"{stage}-0", f"{stage}-1")
    assert {item["metadata"]["name"] for _, item in jobs.events} == {f"{stage}-0", f"{stage}-1"}


def test_a_hung_rank_is_told_from_slow_work_and_its_stacks_are_kept(team: Team) -> None:
    stage = start(team, "hung")
    _, worker = both_train(team, f"{stage}-0")
    team.node.signal(worker, signal.SIGSTOP)  # the master hangs in a collective: in a library, and not in our code
    patch(team, "hung", limits={"stallSeconds": 5})
    config = team.wait("the launch is ended", lambda: ended(team, f"{stage}-0"))
    patch(team, "hung", limits={"stallSeconds": 900})
    end = json.loads(config["metadata"]["annotations"]["astra.dev/end"])
    assert (end["cause"], end["reason"], end["counted"]) == ("Stuck", "Stuck", True)
    assert "limits.stallSeconds" in end["message"]
    stacks = config["metadata"]["annotations"]["astra.dev/stacks"]
    assert "astra_jobs/model/dist.py" in stacks
    assert "sum_gradients" in stacks
    assert len(stacks) <= 8192
    team.wait("its pods are told to end", lambda: not team.pods(f"{stage}-0"))
    team.node.signal(worker, signal.SIGCONT)  # its grace would be a minute
    team.wait("it goes on", lambda: team.step(f"{stage}-1") >= STEPS_BEFORE, 120)
    assert team.run("sftrun/hung")["status"]["attempt"]["restarts"] == 1


def ended(team: Team, launch: str) -> dict[str, Any] | None:
    """Return a launch's request once it says why the launch has ended."""
    found = json.loads(team.kubectl("get", "configmap", launch, "-o", "json"))
    return found if "astra.dev/end" in found["metadata"].get("annotations", {}) else None


@pytest.mark.bench  # for its length, as that of suspension
def test_a_deleted_training_leaves_nothing(team: Team) -> None:
    stage = start(team, "gone")
    pods = both_train(team, f"{stage}-0")
    team.kubectl("delete", "sftrun", "gone")
    team.wait("all objects are gone", nothing_of(team, "gone"))
    assert not team.node.alive(pods)


def nothing_of(team: Team, name: str) -> Callable[[], bool]:
    """Return a probe for the end of everything that a run owned."""
    return lambda: not team.objects("pytorchjobs,jobs,pods,configmaps,services", "-l", f"astra.dev/run={name}")


def test_a_spent_budget_stalls_with_the_cause_and_the_last_lines(team: Team) -> None:
    stage = start(team, "spent", limits={"maxRestarts": 0})
    master, _ = both_train(team, f"{stage}-0")
    team.node.signal(master, signal.SIGKILL)
    team.kubectl("wait", "--for=condition=Stalled", "sftrun/spent", f"--timeout={patience():.0f}s")
    stalled = condition(team.run("sftrun/spent"), "Stalled")
    assert stalled["reason"] == "Failed"
    assert "signal 9" in stalled["message"]
    assert "limits.maxRestarts is 0" in stalled["message"]
    assert re.search(r"\d+/\d+ loss", stalled["message"]), "the last line of its log"
    team.wait("no rank is left running", lambda: not team.pods(f"{stage}-0"))


@pytest.mark.bench
def test_suspend_takes_the_pods_and_resume_goes_on(team: Team, undisturbed: dict[str, Any]) -> None:
    stage = start(team, "paused")
    pods = both_train(team, f"{stage}-0")
    patch(team, "paused", suspend=True)
    team.kubectl("wait", "--for=condition=Suspended", "sftrun/paused", f"--timeout={patience():.0f}s")
    of_stage = "astra.dev/run=paused,astra.dev/stage=train"
    team.wait("no pod is left", lambda: not team.objects("pods,pytorchjobs", "-l", of_stage))
    assert not team.node.alive(pods)
    patch(team, "paused", suspend=False)
    team.succeeded("sftrun/paused", seconds=240)
    run = team.run("sftrun/paused")
    assert (run["status"]["attempt"]["number"], run["status"]["attempt"]["restarts"]) == (1, 0)
    assert first_step(team, f"{stage}-1") > 4
    assert made(team, "paused") == undisturbed
