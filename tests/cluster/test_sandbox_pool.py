"""Sandbox pools on a real API server with real controllers, under exactly the rights that are shipped; nodes are played.

Deployments, Services and the garbage collector are Kubernetes' own; no code of a tool runs here.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.operator_pools import PARTS, Pools
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import IDENTITY, granted
from tests.cluster.plane.plane import ControlPlane

Object = dict[str, Any]
POOL, MERGE_POOL = "envs-envs-1-synthesise-sandbox", "envs-envs-1-merge-sandbox"
JOB = "envs-envs-1-synthesise-0"


@pytest.fixture
def team(plane: ControlPlane, runtime: None) -> Pools:
    return Pools(plane)


@pytest.fixture
def operator(team: Pools, tmp_path: Path) -> Iterator[OperatorProcess]:
    with OperatorProcess(team.identity(), [team.namespace], tmp_path) as operator:
        yield operator


def test_a_stage_waits_for_its_pool_which_goes_when_it_ends(team: Pools, operator: OperatorProcess) -> None:
    team.put("EnvSynthesis", "envs")
    team.until("ServicesReady", "False", "WaitingForServices")
    parts = team.parts()
    secret = parts.pop("secrets")[0]
    assert parts == {kind: [POOL] for kind in PARTS if kind != "secrets"}
    assert secret.startswith(f"{POOL}-")
    assert len(base64.b64decode(team.objects("secrets")[0]["data"]["key"])) == 64
    assert team.jobs() == []
    check_objects(team, secret)
    with team.playing():
        team.wait_for_job(JOB)
        (job,) = team.objects("jobs")
        mounted = [volume["secret"]["secretName"] for volume in job["spec"]["template"]["spec"]["volumes"] if "secret" in volume]
        assert mounted == [secret]
        message = team.until("ServicesReady", "True", "ServicesReady")
        assert re.fullmatch(rf"sandbox pool {POOL}: gVisor; \d+ live sessions \(2 pods x \d+\)", message)
        request = json.loads(next(item for item in team.objects("configmaps") if item["metadata"]["name"] == JOB)["data"]["request.json"])
        assert request["sandbox"]["urls"] == [f"http://{POOL}.{team.namespace}.svc:8080"]
        check_ready_addresses(team)
        team.finishing = True
        team.until("Succeeded", "True", "Finished", 90)
        team.wait("nothing is left of any pool", lambda: team.parts() == {})
    assert team.condition("ServicesReady")[:2] == ("True", "NoServices")
    made = [
        event["objectRef"]["name"]
        for event in team.writes()
        if (event["objectRef"]["resource"], event["verb"]) == ("deployments", "create")
    ]
    assert made == [POOL, MERGE_POOL]
    check_rights(team)


def check_objects(team: Pools, secret: str) -> None:
    """What the API server made of the builders' objects."""
    (policy,), (service,), (budget,), (deployment,) = (team.objects(kind) for kind in ("networkpolicies", "services", "pdb", "deployments"))
    uid = team.run("envs", "envsynthesis")["metadata"]["uid"]
    for item in (policy, service, budget, deployment, team.objects("secrets")[0]):
        (owner,) = item["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (uid, True)
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy["spec"]
    jobs, scrapers = policy["spec"]["ingress"][0]["from"]
    assert jobs["podSelector"]["matchLabels"] == {"astra.dev/run-uid": uid, "astra.dev/stage": "synthesise"}
    assert list(scrapers) == ["namespaceSelector"]
    assert (service["spec"]["clusterIP"], service["spec"].get("publishNotReadyAddresses", False)) == ("None", False)
    assert budget["spec"]["maxUnavailable"] == 1
    pods = team.wait("the Deployment controller makes both pods", lambda: len(team.objects("pods")) == 2 and team.objects("pods"))
    for pod in pods:
        assert pod["spec"]["runtimeClassName"] == "gvisor"
        assert not [volume for volume in pod["spec"]["volumes"] if "projected" in volume], "no token of a service account"
        assert pod["spec"]["volumes"][0]["secret"]["secretName"] == secret


def check_ready_addresses(team: Pools) -> None:
    """Pods have no address here, as no kubelet gives one; that the Service selects them is what can be seen."""
    slices = team.objects("endpointslices")
    assert {item["metadata"]["labels"]["kubernetes.io/service-name"] for item in slices} == {POOL}


def check_rights(team: Pools) -> None:
    """Nothing was asked that is not granted, and nothing about Secrets but to make and remove them."""
    calls = team.calls()
    assert [event for event in calls if event["responseStatus"]["code"] == 403] == []
    used = {
        ("/".join(part for part in (event["objectRef"]["resource"], event["objectRef"].get("subresource")) if part), event["verb"])
        for event in calls
    }
    assert used <= granted()
    assert {verb for resource, verb in used if resource == "secrets"} <= {"create", "delete"}
    can = team.plane.kubectl("auth", "can-i", "--list", f"--as={IDENTITY}").stdout
    assert "runtimeclasses" in can
    assert team.plane.kubectl("auth", "can-i", "list", "runtimeclasses", f"--as={IDENTITY}", check=False).stdout.strip() == "no"


def test_a_pool_is_mended_resized_and_goes_with_its_run(team: Pools, operator: OperatorProcess) -> None:
    team.put("EnvSynthesis", "envs")
    with team.playing():
        team.wait_for_job(JOB)
        before = {kind: {item["metadata"]["uid"] for item in team.objects(kind)} for kind in PARTS}
        for kind in ("networkpolicy", "service", "pdb", "deployment"):
            team.kubectl("delete", kind, POOL, "--wait=false")
        team.wait("all of it is there again", lambda: team.parts().keys() == set(PARTS))
        after = {kind: {item["metadata"]["uid"] for item in team.objects(kind)} for kind in PARTS}
        assert after.pop("secrets") == before.pop("secrets"), "a pool keeps its key"
        assert not [kind for kind in after if after[kind] & before[kind]]
        team.put("EnvSynthesis", "envs", sandbox={"replicas": 3})
        team.wait("a third pod", lambda: team.objects("deployments")[0]["status"].get("availableReplicas") == 3)
        assert team.jobs() == [JOB], "the stage goes on all the while"
        assert team.run("envs", "envsynthesis")["status"]["attempt"]["restarts"] == 0
        team.kubectl("delete", "envsynthesis", "envs", "--wait=false")
        team.wait("nothing is left of any pool", lambda: team.parts() == {})
    check_rights(team)


def test_suspended_it_has_no_pool_and_resumed_another_key(team: Pools, operator: OperatorProcess) -> None:
    team.put("EnvSynthesis", "envs")
    with team.playing():
        team.wait_for_job(JOB)
        key = team.objects("secrets")[0]["data"]["key"]
        team.put("EnvSynthesis", "envs", suspend=True)
        team.wait("the pool is gone", lambda: team.parts() == {})
        assert team.condition("ServicesReady")[:2] == ("False", "Suspended")
        team.put("EnvSynthesis", "envs", suspend=False)
        team.wait_for_job("envs-envs-1-synthesise-1")
        assert team.objects("secrets")[0]["data"]["key"] != key


def test_without_its_runtime_class_nothing_is_made_and_one_line_says_so(plane: ControlPlane, runtime: None, tmp_path: Path) -> None:
    team = Pools(plane, runtimeClass="nowhere")
    team.put("EnvSynthesis", "envs")
    with OperatorProcess(team.identity(), [team.namespace], tmp_path):
        line = team.until("Stalled", "True", "SandboxRuntimeMissing")
    assert line == "there is no RuntimeClass nowhere; install gVisor and make it, or name another as runtimeClass in ConfigMap astra-team"
    assert team.condition("ServicesReady") == ("False", "SandboxRuntimeMissing", line)
    assert (team.parts(), team.jobs()) == ({}, [])


def test_without_the_right_to_see_runtime_classes_the_mend_is_named(plane: ControlPlane, runtime: None, tmp_path: Path) -> None:
    team = Pools(plane)
    team.put("EnvSynthesis", "envs")
    with OperatorProcess(team.other_identity("short-of-rights"), [team.namespace], tmp_path):
        line = team.until("Stalled", "True", "Refused")
    assert 'cannot get resource "runtimeclasses"' in line
    assert line.endswith("set rights.runtimeClasses=true in the values of chart astra-operator")
    assert (team.parts(), team.jobs()) == ({}, [])
