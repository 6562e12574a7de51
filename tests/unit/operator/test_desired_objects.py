"""The objects that are built, whole, beside the YAML files that say what they must be.

After a wanted change: ``python -m tests.unit.operator.test_desired_objects`` writes the files anew; read the difference.
"""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from astra_jobs.api.artifact import KINDS, Kind
from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import StageRequest
from astra_operator.desired.preview import preview
from astra_operator.frozen import Frozen
from astra_operator.settings import OperatorSettings, TeamSettings, parse_team
from astra_operator.site import Site
from tests.reconcile.harness import NAMES, manifest

FOLDER = Path(__file__).parent / "objects"
TEAM = TeamSettings(store_url="s3://bucket/team", store_endpoint="http://store:9000", store_secret="store-key", image="jobs@sha256:1")
SITE = Site(TEAM, OperatorSettings(code_version="1.0"), datetime(2030, 1, 1, tzinfo=UTC))
SAFE = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, "fsGroupChangePolicy": "OnRootMismatch"}
POD = {"resources": {"cpu": "2", "memory": "4Gi"}, "stages": [{"stage": "merge", "resources": {"cpu": "500m", "memory": "1Gi"}}]}


def built(kind: Kind) -> list[dict[str, Any]]:
    run = manifest(kind, pod=POD)
    run["metadata"] |= {"uid": "u-1", "namespace": "team"}
    return preview(run, SITE)


def shown(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return objects with the JSON of ConfigMaps opened, and specs and digests left out: every new default would change them."""
    opened = []
    for item in objects:
        if item["kind"] == "ConfigMap":
            data = {name: json.loads(text) | {"spec": "...", "digest": "..."} for name, text in item["data"].items()}
            for record in data.values():
                record.pop("written", None)
            item = item | {"data": data}
        opened.append(item)
    return opened


def text_of(objects: list[dict[str, Any]]) -> str:
    """Write objects as YAML."""
    yaml, out = YAML(typ="safe"), StringIO()
    yaml.default_flow_style = False
    yaml.dump_all(objects, out)
    return out.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_what_the_file_says_and_the_same_twice(kind: Kind) -> None:
    assert built(kind) == built(kind)
    expected = list(YAML(typ="safe").load_all((FOLDER / f"{NAMES[kind]}.yaml").read_text()))
    assert shown(built(kind)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_into_configmaps_can_be_read_by_the_contract(kind: Kind) -> None:
    configs = [item["data"] for item in built(kind) if item["kind"] == "ConfigMap"]
    assert Frozen.model_validate_json(configs[0]["attempt.json"]).code_version == "1.0"
    requests = [StageRequest.model_validate_json(data["request.json"]) for data in configs[1:]]
    assert len({request.digest for request in requests if request.stage != "train"}) == 1
    roles = [item.role for item in requests[-1].previous]
    if kind in ("ChainSynthesis", "EnvSynthesis"):
        assert roles == ["synthesise/0", "synthesise/1"]
        assert [request.shards for request in requests] == [2, 1]
    if kind == "SFTRun":
        assert roles == ["prepare/0", "train/0"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_pod_is_allowed_by_the_restricted_profile(kind: Kind) -> None:
    pods = [pod for item in built(kind) for pod in templates(item)]
    assert pods
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"] == SAFE | {"runAsUser": 65532} | dict.fromkeys(("runAsGroup", "fsGroup"), 65532)
        (box,) = pod["containers"]
        assert box["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert {tuple(volume)[1] for volume in pod["volumes"]} == {"configMap", "emptyDir"}


def test_the_user_of_pods_is_the_teams_or_the_clusters() -> None:
    def contexts(**team: str) -> list[dict[str, Any]]:
        site = Site(TEAM.model_copy(update=team), OperatorSettings(code_version="1.0"), datetime(2030, 1, 1, tzinfo=UTC))
        return [pod["securityContext"] for item in preview(manifest("SFTRun"), site) for pod in templates(item)]

    groups = {"runAsGroup": 0, "fsGroup": 0}
    plain = {name: value for name, value in SAFE.items() if name != "fsGroupChangePolicy"}
    assert {json.dumps(each) for each in contexts(pod_user="Assigned")} == {json.dumps(plain)}
    assert all(each == SAFE | groups | {"runAsUser": 1000680000} for each in contexts(pod_user="1000680000", pod_group="0"))
    assert all(each == SAFE | groups for each in contexts(pod_user="Assigned", pod_group="0"))
    for wrong in ("0", "root", "-1", "65532 ", "2147483648", ""):
        with pytest.raises(BadInput, match="podUser"):
            parse_team({"storeUrl": "s3://a/b", "podUser": wrong}, "team")


def templates(item: dict[str, Any]) -> list[dict[str, Any]]:
    if item["kind"] == "Job":
        return [item["spec"]["template"]["spec"]]
    if item["kind"] == "PyTorchJob":
        return [replica["template"]["spec"] for replica in item["spec"]["pytorchReplicaSpecs"].values()]
    return []


def test_what_a_run_says_about_its_pods_is_in_each_of_them() -> None:
    pod = {
        "image": "mine",
        "nodeSelector": {"pool": "cpu"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "serviceAccountName": "runs",
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [{"name": "in", "claimName": "c", "mountPath": "/data", "readOnly": True}],
        "secretEnv": [{"name": "TOKEN", "secret": "s", "key": "k"}],
        "stages": [{"stage": "train", "image": "gpu", "nodeSelector": {"pool": "gpu"}, "tolerations": []}],
    }
    built = {item["metadata"]["name"]: item for item in preview(manifest("SFTRun", pod=pod, priorityClassName="high"), SITE)}
    (prepare,) = templates(built["sft-sft-1-prepare-0"])
    (train,) = templates(built["sft-sft-1-train-0"])
    assert (prepare["nodeSelector"], prepare["containers"][0]["image"]) == ({"pool": "cpu"}, "mine")
    assert (train["nodeSelector"], train["containers"][0]["image"]) == ({"pool": "gpu"}, "gpu")
    assert prepare["tolerations"] == [{"key": "spot", "operator": "Exists", "value": ""}]
    assert "tolerations" not in train
    for spec in (prepare, train):
        assert (spec["priorityClassName"], spec["serviceAccountName"], spec["imagePullSecrets"]) == ("high", "runs", [{"name": "pull"}])
        assert spec["volumes"][-1] == {"name": "claim-in", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}}
        assert spec["containers"][0]["volumeMounts"][-1] == {"name": "claim-in", "mountPath": "/data", "readOnly": True}
        assert spec["containers"][0]["env"][-1] == {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}


def test_secrets_of_sources_are_files_in_the_stage_that_reads_them_and_nowhere_else() -> None:
    references = [("A", "crm", "user"), ("B", "crm", "token"), ("C", "git.team", "token")]
    env = [{"name": name, "secret": secret, "key": key} for name, secret, key in references]
    sources = [{"name": "one", "mcp": {"command": ["x"], "env": env[:2]}}, {"name": "two", "mcp": {"command": ["y"], "env": env[1:]}}]
    run = manifest("ToolCorpus", pod=POD) | {"spec": {"sources": sources}}
    built = preview(run | {"metadata": run["metadata"] | {"uid": "u-1", "namespace": "team"}}, SITE)
    (pod,) = [template for item in built for template in templates(item)]
    (box,) = pod["containers"]
    assert pod["volumes"][-2:] == [
        {"name": "secret-0", "secret": {"secretName": "crm", "items": [{"key": key, "path": key} for key in ("token", "user")]}},
        {"name": "secret-1", "secret": {"secretName": "git.team", "items": [{"key": "token", "path": "token"}]}},
    ]
    assert [(mount["mountPath"], mount["readOnly"]) for mount in box["volumeMounts"][-2:]] == [
        ("/astra/secrets/crm", True),
        ("/astra/secrets/git.team", True),
    ]
    assert not [entry for entry in box["env"] if "secretKeyRef" in entry.get("valueFrom", {})], "not in the job's own environment"


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_queue_every_workload_waits_for_kueue_and_no_pod_names_it(kind: Kind) -> None:
    free, queued = (
        [item for item in preview(manifest(kind, **changes), SITE) if item["kind"] != "ConfigMap"] for changes in ({}, {"queue": "team"})
    )
    assert "queue-name" not in json.dumps(free)
    assert "suspend" not in json.dumps(free)
    for item in queued:
        assert item["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
        assert "kueue" not in json.dumps(item["spec"])
        assert (item["spec"]["runPolicy"] if item["kind"] == "PyTorchJob" else item["spec"])["suspend"] is True


def test_one_rank_may_run_on_a_job() -> None:
    run = manifest("RLRun", launcher="Job", training={"ranks": 1})
    kinds = [item["kind"] for item in preview(run, SITE)]
    assert "PyTorchJob" not in kinds


def test_a_bad_spec_is_not_rendered() -> None:
    with pytest.raises(BadInput, match=r"ToolCorpus tools: spec\.seed: "):
        preview(manifest("ToolCorpus", seed="x"), SITE)


if __name__ == "__main__":
    for some in KINDS:
        (FOLDER / f"{NAMES[some]}.yaml").write_text(text_of(shown(built(some))))
