"""What others do to pods, with real controllers around: containers beside the job, Jobs whose pods are refused, a namespace that goes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import digest_of
from astra_jobs.api.result import JobResult
from tests.cluster.node_process import NodeProcess
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import OperatorTeam
from tests.cluster.plane.plane import ControlPlane
from tests.cluster.pod_statuses import PROXY, condition, condition_of, container, ended, running, show, waiting

JOB = "tools-corpus-1-collect-0"
SECONDS = 120
GOOD = JobResult(outcome="Succeeded", artifact=Artifact(uri="memory://store/a", digest=digest_of("a"))).encode().decode()
PENDING_SIDECAR = {
    "conditions": [condition("Initialized", "False", reason="ContainersNotInitialized")],
    "initContainerStatuses": [
        container(
            PROXY,
            waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container=istio-proxy"),
            restartCount=7,
            lastState=ended(1),
        )
    ],
}


@pytest.fixture
def team(plane: ControlPlane, tmp_path: object) -> Iterator[OperatorTeam]:
    """A namespace with an operator of its own, and no node for its pods."""
    team = OperatorTeam(plane, "others")
    with OperatorProcess(team.identity(), [team.namespace], tmp_path):  # type: ignore[arg-type]
        yield team


def pod_of(team: OperatorTeam, job: str) -> str:
    """Return the name of a Job's pod, once it is there."""

    def look() -> str:
        return team.kubectl(
            "get", "pods", "-l", f"batch.kubernetes.io/job-name={job}", "-o", "jsonpath={.items[0].metadata.name}", check=False
        )

    return str(team.wait(f"a pod of {job}", look, SECONDS)).strip()


def test_a_job_that_has_ended_is_the_end_although_its_proxy_runs_on(team: OperatorTeam) -> None:
    team.put()
    pod = pod_of(team, JOB)
    show(team, pod, "Running", container(PROXY, running(), True), container("job", running(), True))
    team.wait("it runs", lambda: condition_of(team, "Succeeded").get("reason") == "Running", SECONDS)
    show(team, pod, "Running", container(PROXY, running(), True), container("job", ended(0, GOOD)))
    team.wait("it has succeeded", lambda: condition_of(team, "Succeeded").get("status") == "True", SECONDS)
    team.wait("nothing is kept for the proxy", lambda: not team.jobs() and not team.objects("pods"), SECONDS)
    assert team.run()["status"]["artifact"]["digest"] == digest_of("a")
    assert team.run()["status"]["attempt"]["restarts"] == 0


def test_a_sidecar_that_crashes_is_named(team: OperatorTeam) -> None:
    team.put()
    own = container("job", waiting("PodInitializing"))
    show(team, pod_of(team, JOB), "Pending", own, **PENDING_SIDECAR)
    team.wait("it says so", lambda: condition_of(team, "Reconciling").get("reason") == "SidecarFailing", SECONDS)
    assert "istio-proxy: CrashLoopBackOff, back-off 5m0s" in condition_of(team, "Reconciling")["message"]


def test_a_job_whose_pods_are_refused_says_why(team: OperatorTeam) -> None:
    team.put(pod={"serviceAccountName": "nobody"})
    team.wait("the reason", lambda: condition_of(team, "Stalled").get("reason") == "ServiceAccountMissing", SECONDS)
    told = condition_of(team, "Stalled")
    assert told["status"] == "True"
    assert 'serviceaccount "nobody" not found' in told["message"]


def test_a_pod_that_its_node_evicts_for_its_own_storage_is_tried_again_and_then_named(team: OperatorTeam) -> None:
    """The Job controller counts no eviction, and would replace such a pod for ever."""
    team.put(limits={"maxRestarts": 1})
    message = "Pod ephemeral local storage usage exceeds the total limit of containers 20Gi. "
    disrupted = condition("DisruptionTarget", reason="TerminationByKubelet", message=message)
    seen: set[str] = set()

    def fresh() -> str:
        found = {item["metadata"]["name"] for item in team.objects("pods") if item["status"].get("phase") == "Pending"}
        return next(iter(found - seen), "")

    for _ in range(2):
        pod = team.wait("a pod", fresh, SECONDS)
        seen.add(pod)
        show(team, pod, "Failed", container("job", ended(137)), reason="Evicted", message=message, conditions=[disrupted])
    team.wait("the reason", lambda: condition_of(team, "Stalled").get("reason") == "OutOfStorage", SECONDS)
    assert "raise it" in condition_of(team, "Stalled")["message"]
    assert not fresh(), "it goes on without end"


def test_a_pod_whose_claim_is_missing_says_so(node: NodeProcess, team: OperatorTeam) -> None:
    """The scheduler looks at claims only where there is a node at all."""
    team.put(pod={"volumes": [{"name": "data", "claimName": "nowhere", "mountPath": "/data"}]})
    team.wait("the reason", lambda: condition_of(team, "Stalled").get("reason") == "ClaimMissing", SECONDS)
    assert 'persistentvolumeclaim "nowhere" not found' in condition_of(team, "Stalled")["message"]


def going(plane: ControlPlane, team: OperatorTeam) -> Callable[[], str]:
    """Delete a namespace in which shards run; return a function that names it while it is there."""
    pods = [item["metadata"]["name"] for item in team.objects("pods")]
    for pod in pods:
        show(team, pod, "Running", container("job", running(), True))
    plane.kubectl("delete", "namespace", team.namespace, "--wait=false")
    return lambda: plane.kubectl("get", "namespace", team.namespace, "--ignore-not-found", "-o", "name").stdout.strip()


def test_a_namespace_that_is_deleted_while_shards_run_goes_away(plane: ControlPlane, team: OperatorTeam) -> None:
    team.put("EnvSynthesis", "envs")
    team.wait("its shards", lambda: len(team.objects("pods")) == 2, SECONDS)
    there = going(plane, team)
    team.wait("the operator removes the Job", lambda: not team.jobs(), SECONDS)
    team.wait("the namespace is gone", lambda: not there(), 300)


def test_without_the_operator_the_job_keeps_its_pods_and_they_the_namespace(plane: ControlPlane, tmp_path: Path) -> None:
    """The control: the Job controller may make no new pod, and so never lets go of the old."""
    team = OperatorTeam(plane, "kept")
    with OperatorProcess(team.identity(), [team.namespace], tmp_path) as operator:
        team.put("EnvSynthesis", "envs")
        team.wait("its shards", lambda: len(team.objects("pods")) == 2, SECONDS)
        operator.stop()
    there = going(plane, team)
    for item in team.objects("pods"):
        show(team, item["metadata"]["name"], "Failed", container("job", ended(143)))

    def kept() -> bool:
        held = [item for item in team.objects("pods") if "batch.kubernetes.io/job-tracking" in item["metadata"].get("finalizers", ())]
        ended_badly = all(item["status"]["phase"] == "Failed" and "deletionTimestamp" in item["metadata"] for item in held)
        return len(held) == 2 and ended_badly and not team.objects("jobs")[0].get("status", {}).get("conditions")

    team.wait("its pods have ended and are kept", kept, SECONDS)
    assert there()
    team.kubectl("delete", "job", "--all")
    team.wait("the namespace is gone after all", lambda: not there(), 300)
