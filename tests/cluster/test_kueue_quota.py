"""Kueue's own controller admits and preempts trainings: a run says what it waits for, loses nothing and is charged nothing."""

import json
import shlex
from collections.abc import Iterator

import pytest

from tests.cluster.node_process import NodeProcess
from tests.cluster.node_team import Team, condition
from tests.cluster.node_training import DATA, both_train, first_step, made, start
from tests.cluster.plane.kueue import make_queue
from tests.cluster.plane.plane import ControlPlane

URGENT = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "urgent"}, "value": 1000}


@pytest.fixture(scope="module")
def team(kueue: ControlPlane, node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A team with conversations to train on, and quota for one training of two ranks."""
    with Team(node, tmp_path_factory.mktemp("quota"), "quota") as team:
        make_queue(kueue, team.namespace, cpu="2")
        preemption = {"spec": {"preemption": {"withinClusterQueue": "LowerPriority"}}}
        kueue.kubectl("patch", "clusterqueue", f"{team.namespace}-team", "--type=merge", "-p", json.dumps(preemption))
        kueue.apply(URGENT)
        team.apply(DATA)
        team.succeeded("chainsynthesis/chains", seconds=180)
        yield team


def test_a_run_waits_for_quota_loses_it_to_a_higher_priority_and_ends_the_same(team: Team) -> None:
    stage = start(team, "first", epochs=4, queue="team")
    pods = both_train(team, f"{stage}-0")

    team.plane.apply(urgent_job(team.namespace))
    team.wait("the first has lost its quota", lambda: reason(team, "first") == "Preempted")
    run = team.run("sftrun/first")
    assert "preempt" in condition(run, "Succeeded")["message"].lower()
    team.wait("its pods are gone", lambda: not team.objects("pods", "-l", "astra.dev/run=first,astra.dev/stage=train"))
    assert not team.node.alive(pods)

    start(team, "second", queue="team")
    team.wait("the second waits for quota", lambda: reason(team, "second") == "WaitingForQuota")
    assert "insufficient unused quota for cpu" in condition(team.run("sftrun/second"), "Succeeded")["message"]
    assert not team.objects("pods", "-l", "astra.dev/run=second")
    assert condition(team.run("sftrun/second"), "Stalled")["status"] == "False"
    team.kubectl("delete", "sftrun", "second")
    team.kubectl("delete", "job", "urgent")

    team.succeeded("sftrun/first", seconds=240)
    run = team.run("sftrun/first")
    assert (run["status"]["attempt"]["number"], run["status"]["attempt"]["restarts"]) == (1, 0)
    assert first_step(team, f"{stage}-0") > 4, "it began anew instead of going on from its checkpoint"
    files = made(team, "first")["files"]

    start(team, "calm", epochs=4)
    team.succeeded("sftrun/calm", seconds=240)
    assert made(team, "calm")["files"] == files


def test_a_workload_that_is_taken_out_of_its_queue_is_named_with_the_command_that_brings_it_back(team: Team) -> None:
    stage = start(team, "shut", epochs=4, queue="team")
    both_train(team, f"{stage}-0")
    (workload,) = [
        item["metadata"]["name"]
        for item in team.objects("workloads.kueue.x-k8s.io")
        if item["metadata"]["ownerReferences"][0]["name"] == f"{stage}-0"
    ]
    team.kubectl("patch", "workload", workload, "--type=merge", "-p", '{"spec":{"active":false}}')
    team.wait("it says so", lambda: condition(team.run("sftrun/shut"), "Stalled")["reason"] == "QueueDeactivated")
    stalled = condition(team.run("sftrun/shut"), "Stalled")
    assert stalled["status"] == "True"
    team.wait("its pods are gone", lambda: not team.objects("pods", "-l", "astra.dev/run=shut,astra.dev/stage=train"))

    command = shlex.split(stalled["message"].partition("once its cause is gone: kubectl ")[2])
    team.plane.kubectl(*command)
    team.succeeded("sftrun/shut", seconds=240)
    assert team.run("sftrun/shut")["status"]["attempt"]["restarts"] == 0
    assert first_step(team, f"{stage}-0") > 4, "it began anew instead of going on from its checkpoint"


def reason(team: Team, name: str) -> str:
    """Return the reason of a run's condition Succeeded."""
    return condition(team.run(f"sftrun/{name}"), "Succeeded")["reason"]


def urgent_job(namespace: str) -> dict:
    """A Job of somebody else that needs the whole quota."""
    box = {"name": "box", "image": "any", "command": ["sleep", "1000"], "resources": {"requests": {"cpu": "2", "memory": "1Mi"}}}
    spec = {"restartPolicy": "Never", "priorityClassName": "urgent", "terminationGracePeriodSeconds": 0, "containers": [box]}
    metadata = {"name": "urgent", "namespace": namespace, "labels": {"kueue.x-k8s.io/queue-name": "team"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"suspend": True, "template": {"spec": spec}}}
