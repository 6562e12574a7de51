"""The whole pipeline by kubectl on a real control plane: real jobs, real artifacts, and the same bytes as on a laptop."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.node_process import NodeProcess
from tests.cluster.node_team import Team, Watch, condition
from tests.e2e.local.kit import TINY
from tests.patience import patience

MANIFESTS = TINY.split("\n---\n")[1:]  # the first is the laptop's settings; here the namespace has its own
RUNS = ("rlrun/astra", "sftrun/base", "envsynthesis/envs", "chainsynthesis/chains", "toolcorpus/tools")


MAKERS = {"training-operator", "kube-controller-manager", "kube-scheduler"}


@pytest.fixture(scope="module")
def finished(node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Team, list[Any]]]:
    """The pipeline, applied from its last run to its first, and finished; with every event of its trainings' pods."""
    with Team(node, tmp_path_factory.mktemp("pipeline"), "pipeline") as team:
        with Watch(team, "pods", "-ltraining.kubeflow.org/job-name", "--show-managed-fields") as watch:
            for manifest in reversed(MANIFESTS):
                team.apply(manifest)
            team.wait("the last run says what it waits for", lambda: condition(team.run("rlrun/astra"), "InputsReady")["status"] == "False")
            team.succeeded(*RUNS, seconds=400)
        told = team.kubectl("wait", "--for=condition=Succeeded", *RUNS, f"--timeout={patience():.0f}s")
        assert told.count("condition met") == len(RUNS)
        yield team, watch.events


@pytest.fixture(scope="module")
def team(finished: tuple[Team, list[Any]]) -> Team:
    return finished[0]


def test_every_run_executed_one_attempt_and_says_so(team: Team) -> None:
    for name in RUNS:
        run = team.run(name)
        assert (condition(run, "Succeeded")["reason"], run["status"]["attempt"]["number"], run["status"]["attempt"]["restarts"]) == (
            "Finished",
            1,
            0,
        ), name
        assert condition(run, "Stalled")["status"] == "False"


def test_the_trainings_were_pytorch_jobs_whose_pods_the_training_operator_made(finished: tuple[Team, list[Any]]) -> None:
    made = [pod for kind, pod in finished[1] if kind == "ADDED"]
    jobs = Counter(pod["metadata"]["labels"]["training.kubeflow.org/job-name"] for pod in made)
    assert jobs == {"base-sft-1-train-0": 2, "astra-rl-1-train-0": 2}
    assert {field["manager"] for pod in made for field in pod["metadata"]["managedFields"] if "subresource" not in field} <= MAKERS
    assert ended(finished[1], "master") == {0}
    # The training operator removes what still runs once the master has succeeded (cleanPodPolicy), a worker on its way out too.
    assert ended(finished[1], "worker") <= {0, 143}


def ended(events: list[Any], role: str) -> set[int]:
    """Return the exit codes that the pods of a role were seen to end with."""
    pods = [pod for _, pod in events if pod["metadata"]["labels"]["training.kubeflow.org/replica-type"] == role]
    states = [box["state"] for pod in pods for box in pod["status"].get("containerStatuses", [])]
    return {state["terminated"]["exitCode"] for state in states if "terminated" in state}


def test_artifacts_are_those_of_a_laptop(team: Team, laptop_digests: dict[str, str]) -> None:
    digests = {name.split("/")[1]: team.run(name)["status"]["artifact"]["digest"] for name in RUNS}
    assert digests == laptop_digests


def test_kubectl_reads_well(team: Team) -> None:
    table = [line.split() for line in team.kubectl("get", "astra").splitlines() if line]
    assert table[0] == ["NAME", "PHASE", "REASON", "STAGE", "PROGRESS", "ATTEMPT", "AGE"]
    assert [line[1:3] for line in table if "/" in line[0]] == [["Succeeded", "Finished"]] * 5
    described = team.kubectl("describe", "rlrun", "astra")
    assert re.search(r"Message: +attempt 1: all stages have ended", described)
    assert re.search(r"Reason: +Finished", described)
    told = team.plane.kubectl("explain", "rlrun.spec.algorithm.groupSize").stdout
    assert "groupSize <integer>" in told
    assert len(told.split("DESCRIPTION:")[1].split()) > 3


def test_status_stays_small_and_nothing_of_a_cluster_leaks_into_pods(team: Team) -> None:
    for name in RUNS:
        assert len(str(team.run(name)["status"])) < 16_000
    for pod in team.objects("pods"):
        assert not [volume for volume in pod["spec"]["volumes"] if "projected" in volume], "a service-account token is mounted"


def test_a_run_deleted_and_applied_again_is_found_in_the_store(team: Team) -> None:
    before = team.run("toolcorpus/tools")
    team.kubectl("delete", "toolcorpus", "tools")
    team.wait("its objects go with it", lambda: not team.objects("jobs,pods,configmaps", "-l", "astra.dev/run=tools"))
    team.apply(MANIFESTS[0])
    team.succeeded("toolcorpus/tools")
    after = team.run("toolcorpus/tools")
    assert condition(after, "Succeeded")["reason"] == "UpToDate"
    assert after["status"]["artifact"] == before["status"]["artifact"]
    assert condition(team.run("chainsynthesis/chains"), "Succeeded")["reason"] == "Finished", "an input of equal digest changes nothing"
