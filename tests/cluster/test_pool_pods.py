"""Sandbox pools whose pods really run, in gVisor, on a real API server under the real operator with exactly the rights that are shipped.

The node plays no walls: what is isolated, and that it is, the server in the pod has to prove as it has to anywhere. What nobody does
here is to enforce the NetworkPolicy, and the team says so.
"""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.sandbox.protocol import APPLIED, LIMITS
from astra_operator.clusters.base import parse_time
from tests.cluster.node_process import NodeProcess
from tests.cluster.node_team import Watch, condition
from tests.cluster.plane.access import wait_for
from tests.cluster.pool_pods import PoolTeam, Served, name_of, needs_rooms, processes_of
from tests.gvisor import NoGvisor, runsc

pytestmark = needs_rooms
Object = dict[str, Any]
FEW, MANY = 12, 28
OF_TOOLS = APPLIED | LIMITS | {"invalid_args", "unknown_tool"}
CODE = "n = 0\ndef add(x):\n    global n\n    n += x\n    return n\n"
TOOLS = [{"name": "add", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}, "code": CODE}]
ENVIRONMENT = digest_of(TOOLS)


@pytest.fixture(scope="module")
def plain(node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolTeam]:
    """The same runs without pools, under way."""
    with PoolTeam(node, tmp_path_factory.mktemp("plain"), isolation="Process") as team:
        team.synthesise("few", FEW)
        team.synthesise("many", MANY)
        yield team


@pytest.fixture(scope="module")
def team(node: NodeProcess, runtime: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolTeam]:
    try:
        runsc()
    except NoGvisor as error:
        pytest.fail(str(error), pytrace=False)
    with PoolTeam(node, tmp_path_factory.mktemp("team")) as team:
        yield team


@pytest.fixture
def served(node: NodeProcess) -> Iterator[Served]:
    with Served(node) as served:
        yield served


def test_tool_code_runs_in_a_pools_pods_and_nothing_of_them_is_left(team: PoolTeam, plain: PoolTeam, served: Served) -> None:
    team.synthesise("few", FEW)
    pods = team.both_ready("few")
    for pod in pods:
        told = team.ask(pod, "GET", "/v1/capabilities")[1]
        assert told["sandbox"] == "gVisor"
        assert (told["uid"], told["variants"]) == ("own", 2)
        assert {name for name, seen in told["properties"].items() if not seen["holds"]} == {"unprivileged"}  # a user for each session
    said = condition(team.run("envsynthesis/few"), "ServicesReady")["message"]
    assert said.startswith("sandbox pool few-envs-1-synthesise-sandbox: gVisor; ")
    assert "; nothing enforces its NetworkPolicy" in said
    assert team.digest("few") == plain.digest("few")
    assert min(served.by(name_of(pod)) for pod in pods) > 0
    assert served.by("few-envs-1-merge-sandbox") > 0
    assert served.outcomes() <= OF_TOOLS
    team.wait("nothing of a pool is left", lambda: not team.left(), 60)
    assert processes_of(pods) == []


@pytest.mark.bench  # a minute and a half
def test_pods_that_are_killed_replaced_and_drained_change_nothing_in_the_result(team: PoolTeam, plain: PoolTeam, served: Served) -> None:
    team.synthesise("many", MANY)
    first, second = team.both_ready("many")
    with Watch(team, "pods") as watch:
        check_a_killed_server_comes_back(team, served, first)
        third = check_a_killed_pod_is_replaced(team, served, second)
        check_a_drained_pod_answers_what_it_has_begun(team, first)
        assert team.digest("many") == plain.digest("many")
        team.wait("nothing of a pool is left", lambda: not team.left(), 60)
    assert exit_codes(watch, first) == {0}
    assert exit_codes(watch, second) == set(), "nobody noted the end of a pod that was removed by force"
    assert processes_of([first, second, third]) == []


def at_work(served: Served, pod: Object, since: str = "") -> None:
    """Wait until a pod answers calls; the job is short, so this looks often."""
    wait_for(f"{name_of(pod)} answers calls", lambda: served.by(name_of(pod), since) > 0, 60, every=0.05)


def check_a_killed_server_comes_back(team: PoolTeam, served: Served, pod: Object) -> None:
    """kill -9 of a pod's container in the middle of its calls: the node starts another at the same address."""
    began = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    at_work(served, pod)
    team.node.signal(pod, signal.SIGKILL)
    with team.job_held("many"):
        after = next(each for each in team.both_ready("many", restarted=name_of(pod)) if name_of(each) == name_of(pod))
    assert after["status"]["podIP"] == pod["status"]["podIP"]
    assert after["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
    at_work(served, pod, since=began)


def check_a_killed_pod_is_replaced(team: PoolTeam, served: Served, pod: Object) -> Object:
    """A pod that goes without being asked, as with its node: its ReplicaSet makes another, which the job finds by the pool's name."""
    team.kubectl("delete", "pod", name_of(pod), "--grace-period=0", "--force")
    with team.job_held("many"):
        pods = team.both_ready("many", but=name_of(pod))
    new = max(pods, key=lambda each: each["metadata"]["creationTimestamp"])
    assert new["status"]["podIP"] != pod["status"]["podIP"]
    at_work(served, new)
    return new


def check_a_drained_pod_answers_what_it_has_begun(team: PoolTeam, pod: Object) -> None:
    """A pod that is told to go: it is no longer found, takes no new session, and ends when the last of its sessions has."""
    with team.job_held("many"):
        assert team.ask(pod, "PUT", f"/v1/envs/{ENVIRONMENT}", {"tools": TOOLS})[0] == 200
        assert begin(team, pod, "mine") == (200, "")
        assert add(team, pod, 0) == "2"
        team.kubectl("delete", "pod", name_of(pod), "--wait=false")
    team.wait("it is not found any more", lambda: pod["status"]["podIP"] not in team.addresses("many"))
    team.wait("it drains", lambda: team.ask(pod, "GET", "/readyz")[0] == 503)
    assert drained_at(team, pod) - told_at(team, pod) >= timedelta(seconds=4), (
        "preStop: not before the others know; times are whole seconds"
    )
    assert begin(team, pod, "late") == (429, "overloaded")
    assert add(team, pod, 1) == "4"
    assert team.ask(pod, "GET", "/healthz")[0] == 200
    team.wait("the node says so", lambda: condition_of(team, pod, "Ready") == "False")
    assert team.ask(pod, "DELETE", "/v1/sessions/mine")[0] == 204
    team.wait("the pod is gone", lambda: not team.kubectl("get", "pod", name_of(pod), "--ignore-not-found"))


def told_at(team: PoolTeam, pod: Object) -> datetime:
    """Return when a pod was told to go."""
    metadata = team.object("pod", name_of(pod))["metadata"]
    return parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=metadata["deletionGracePeriodSeconds"])


def drained_at(team: PoolTeam, pod: Object) -> datetime:
    """Return when a pod's server began to drain, by its log, in the time of this machine."""
    log = (team.node.kubelet.home(pod["metadata"]["uid"]) / "log").read_text()
    line = next(line for line in log.splitlines() if "draining: " in line)
    return datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S").astimezone(UTC)


def begin(team: PoolTeam, pod: Object, name: str) -> tuple[int, str]:
    """Ask for a session; return the status, and the error for a session that is not to be."""
    status, told = team.ask(pod, "POST", "/v1/sessions", {"sessions": [{"session": name, "environment": ENVIRONMENT, "seed": 1}]})
    return status, told.get("error", "") if status != 200 else told["sessions"][0].get("error", "")


def add(team: PoolTeam, pod: Object, seq: int) -> str:
    """Make a call of the session; return its text."""
    call = {"session": "mine", "seq": seq, "tool": "add", "arguments": {"x": 2}}
    return str(team.ask(pod, "POST", "/v1/calls", {"calls": [call]})[1]["results"][0]["text"])


def condition_of(team: PoolTeam, pod: Object, kind: str) -> str:
    """Return the status of a pod's condition, empty when the pod is gone."""
    return team.kubectl(
        "get", "pod", name_of(pod), "--ignore-not-found", "-o", f"jsonpath={{.status.conditions[?(@.type=='{kind}')].status}}"
    )


def exit_codes(watch: Watch, pod: Object) -> set[int]:
    """Return how the last container of a pod was seen to end."""
    mine = [each for _, each in watch.events if each["metadata"]["uid"] == pod["metadata"]["uid"]]
    boxes = [box for each in mine for box in each["status"].get("containerStatuses", [])]
    last = max((box["restartCount"] for box in boxes), default=0)
    states = [box["state"] for box in boxes if box["restartCount"] == last]
    return {state["terminated"]["exitCode"] for state in states if "terminated" in state}


def test_a_pod_that_is_not_in_gvisor_is_given_no_code_and_the_run_says_why(
    node: NodeProcess, runtime: None, served: Served, tmp_path: Path
) -> None:
    node.plane.apply({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "open"}, "handler": "runc"})
    with PoolTeam(node, tmp_path, runtimeClass="open") as team:
        team.synthesise("few", FEW)
        team.wait("it says why", lambda: condition(team.run("envsynthesis/few"), "Stalled")["reason"] == "SandboxRuntimeMissing")
        told = condition(team.run("envsynthesis/few"), "ServicesReady")
        assert (told["status"], told["reason"]) == ("False", "SandboxRuntimeMissing")
        assert "wall gvisor does not hold" in told["message"]
        assert team.addresses("few") == set()
        assert team.objects("jobs") == []
        assert served.calls == {}
