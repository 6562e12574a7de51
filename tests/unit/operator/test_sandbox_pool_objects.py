"""What a sandbox pool is made of: each object says what the isolation rests on, and nothing that would undo it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from astra_jobs.api.artifact import Kind
from astra_jobs.sandbox.pool import VARIANTS
from astra_jobs.sandbox.server.settings import known_requirements
from astra_operator.desired import naming
from astra_operator.desired.preview import preview
from astra_operator.desired.sandbox import KINDS, REQUIRED
from astra_operator.settings import OperatorSettings, TeamSettings, parse_team
from astra_operator.site import Site
from tests.reconcile.harness import TEAM, manifest

Object = dict[str, Any]
GVISOR = {"isolation": "gVisor", "runtimeClass": "gvisor-systrap", "sandboxImage": "tools:2"}
EVALUATED: dict[str, Object] = {"RLRun": {"evaluation": {"environments": [{"name": "envs"}]}}}


def built(kind: Kind, team: Object | None = None, **spec: Any) -> list[Object]:
    run = manifest(kind, **EVALUATED.get(kind, {}), **spec)
    run["metadata"] |= {"uid": "u-1", "namespace": "team"}
    site = Site(parse_team(TEAM | (GVISOR if team is None else team), "team"), OperatorSettings(code_version="1"), datetime.now(UTC))
    return preview(run, site)


def of(kind: str, objects: list[Object]) -> list[Object]:
    return [item for item in objects if item["kind"] == kind]


def pods(objects: list[Object]) -> list[Object]:
    return [item["spec"]["template"]["spec"] for item in of("Deployment", objects)]


def settings(pod: Object) -> dict[str, str]:
    return {entry["name"].removeprefix("ASTRA_SANDBOX_"): entry.get("value", "") for entry in pod["containers"][0]["env"]}


@pytest.mark.parametrize(
    ("kind", "stages"),
    [
        ("ToolCorpus", []),
        ("ChainSynthesis", []),
        ("EnvSynthesis", ["synthesise", "merge"]),
        ("SFTRun", ["evaluate"]),
        ("RLRun", ["train", "evaluate"]),
    ],
)
def test_each_stage_that_runs_tools_has_a_pool_and_no_other(kind: Kind, stages: list[str]) -> None:
    objects = built(kind)
    for part in (*KINDS, "Secret"):
        assert [item["metadata"]["labels"][naming.LABEL_STAGE] for item in of(part, objects)] == stages
    assert [item for part in (*KINDS, "Secret") for item in of(part, built(kind, {}))] == []


def test_no_pod_of_a_pool_can_gain_a_right_or_reach_the_cluster() -> None:
    for pod in pods(built("RLRun")):
        assert pod["runtimeClassName"] == "gvisor-systrap"
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName", "initContainers"} & set(pod)
        (box,) = pod["containers"]
        assert box["image"] == "tools:2"
        context = box["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"], "add": ["KILL", "SETGID", "SETUID"]}
        (volume,) = pod["volumes"]
        assert volume["secret"]["defaultMode"] == 0o400, "a session has a user id of its own and cannot read the key"
        assert "envFrom" not in box
        assert pod["terminationGracePeriodSeconds"] > int(settings(pod)["DRAIN_SECONDS"]) + box["lifecycle"]["preStop"]["sleep"]["seconds"]


def test_a_pod_whose_sessions_share_its_user_has_no_right_at_all() -> None:
    for pod in pods(built("RLRun", GVISOR | {"sandboxUsers": "Shared"})):
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert context["runAsUser"] == context["fsGroup"] > 0
        (box,) = pod["containers"]
        assert box["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        (volume,) = pod["volumes"]
        assert volume["secret"]["defaultMode"] == 0o440, "its group reads the key"


@pytest.mark.parametrize(("users", "last"), [("Own", "own-uid"), ("Shared", "unprivileged")])
def test_what_the_server_must_prove_is_known_to_it(users: str, last: str) -> None:
    (pod,) = pods(built("SFTRun", GVISOR | {"sandboxUsers": users}))
    _, told = pod["containers"][0]["args"]
    assert told == ",".join((*REQUIRED, last))
    assert set(told.split(",")) <= set(known_requirements())
    assert "gvisor" in REQUIRED


def test_the_server_reads_what_it_is_told(tmp_path: Any) -> None:
    from astra_jobs.sandbox.server.settings import server_settings

    key = tmp_path / "key"
    key.write_text("k" * 64)
    for pod in [*pods(built("EnvSynthesis", tool={"seconds": 5, "memoryMib": 64, "outputChars": 99})), *pods(built("RLRun"))]:
        told = {entry["name"]: entry.get("value", "10.0.0.1") for entry in pod["containers"][0]["env"]}
        read = server_settings(pod["containers"][0]["args"], told | {"ASTRA_SANDBOX_KEY_FILE": str(key)})
        assert (read.host, read.port, read.require) == ("10.0.0.1", 8080, (*REQUIRED, "own-uid"))
        assert read.drain_seconds == 40
        assert read.variants == int(told.get("ASTRA_SANDBOX_VARIANTS", "1"))


def test_the_walls_of_a_call_are_the_specs() -> None:
    synthesise, merge = (settings(pod) for pod in pods(built("EnvSynthesis", tool={"seconds": 5.0, "memoryMib": 64, "outputChars": 99})))
    assert (synthesise["SECONDS"], merge["SECONDS"]) == ("0.5", "5.0")
    assert (merge["MEMORY_MIB"], merge["OUTPUT_CHARS"]) == ("64", "99")
    train, evaluate = (settings(pod) for pod in pods(built("RLRun", rollout={"maxToolChars": 500})))
    assert train["OUTPUT_CHARS"] == "500"
    assert "OUTPUT_CHARS" not in evaluate


def test_the_size_is_the_runs() -> None:
    size = {"replicas": 7, "resources": {"cpu": "3", "memory": "8Gi", "ephemeralStorage": "512Mi"}}
    for item in of("Deployment", built("RLRun", sandbox=size)):
        assert item["spec"]["replicas"] == 7
        box = item["spec"]["template"]["spec"]["containers"][0]
        limits = {"memory": "8Gi", "ephemeral-storage": "512Mi"}
        assert box["resources"] == {"requests": {"cpu": "3"} | limits, "limits": limits}
    (small,), (large,) = (pods(built("SFTRun", sandbox={"resources": {"cpu": "1", "memory": memory}})) for memory in ("1Gi", "8Gi"))
    assert int(settings(small)["LIVE"]) < int(settings(large)["LIVE"])
    assert int(settings(small)["ZYGOTE_MIB"]) + 16 * int(settings(small)["LIVE"]) <= 768


@pytest.mark.parametrize(("cpu", "own", "verifying"), [("250m", "2", "1"), ("1", "2", "1"), ("1500m", "3", "1"), ("8", "9", "4")])
def test_calls_that_run_at_once_are_about_as_many_as_the_pod_has_cpus(cpu: str, own: str, verifying: str) -> None:
    size = {"resources": {"cpu": cpu, "memory": "2Gi"}}
    assert [settings(pod)["PARALLEL"] for pod in pods(built("RLRun", sandbox=size))] == [own] * 2
    assert [settings(pod)["PARALLEL"] for pod in pods(built("EnvSynthesis", sandbox=size))] == [verifying] * 2


def test_a_pool_that_verifies_offers_both_variants_in_the_memory_of_one() -> None:
    told = [settings(pod) for pod in pods(built("EnvSynthesis"))]
    (one,) = (settings(pod) for pod in pods(built("SFTRun")))
    assert [(each["VARIANTS"], len(told)) for each in told] == [(str(len(VARIANTS)), 2)] * 2
    assert "VARIANTS" not in one
    for each in told:
        for bound in ("LIVE", "ZYGOTE_MIB"):
            assert 2 * int(each[bound]) == int(one[bound])


def test_the_policy_lets_in_the_runs_own_jobs_and_nothing_out() -> None:
    for item in of("NetworkPolicy", built("RLRun")):
        spec, labels = item["spec"], item["metadata"]["labels"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert "egress" not in spec
        assert spec["podSelector"] == {"matchLabels": {"astra.dev/pool": item["metadata"]["name"]}}
        (rule,) = spec["ingress"]
        jobs, scrapers = rule["from"]
        assert jobs["podSelector"]["matchLabels"] == {"astra.dev/run-uid": "u-1", "astra.dev/stage": labels["astra.dev/stage"]}
        assert jobs["podSelector"]["matchExpressions"] == [{"key": "astra.dev/pool", "operator": "DoesNotExist"}]
        assert scrapers == {"namespaceSelector": {"matchExpressions": [{"key": "astra.dev/metrics", "operator": "Exists"}]}}
        assert rule["ports"] == [{"port": 8080, "protocol": "TCP"}]


def test_selectors_name_the_pools_own_pods_and_those_bear_the_label() -> None:
    objects = built("RLRun")
    for item in of("Deployment", objects):
        name = item["metadata"]["name"]
        assert item["spec"]["selector"]["matchLabels"] == {"astra.dev/pool": name}
        assert item["spec"]["template"]["metadata"]["labels"]["astra.dev/pool"] == name
    for item in of("Service", objects):
        assert (item["spec"]["clusterIP"], item["spec"]["publishNotReadyAddresses"]) == ("None", False)
    for item in of("PodDisruptionBudget", objects):
        assert item["spec"]["maxUnavailable"] == 1
    workloads = [item for item in objects if item["kind"] in ("Job", "PyTorchJob")]
    assert "astra.dev/pool" not in json.dumps(workloads)


def test_no_key_is_in_any_object_that_is_built() -> None:
    for item in of("Secret", built("RLRun")):
        assert not {"data", "stringData"} & set(item)
        assert item["immutable"] is True


def test_two_runs_of_one_name_never_share_a_key() -> None:
    assert naming.key_name("p", "uid-1") != naming.key_name("p", "uid-2")
    assert len(naming.key_name(naming.pool_name("ChainSynthesis", "a" * 52, 999, "synthesise"), "u")) <= 63


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"isolation": "None"}, "isolation"),
        ({"runtimeClass": "A B"}, "runtimeClass"),
        ({"networkPolicy": "Off"}, "networkPolicy"),
        ({"sandboxUsers": "own"}, "sandboxUsers"),
    ],
)
def test_wrong_settings_are_told(data: Object, field: str) -> None:
    with pytest.raises(Exception, match=rf"ConfigMap team/astra-team: {field}"):
        parse_team(TEAM | data, "team")
    assert TeamSettings.model_validate(TEAM).isolation == "Process"
