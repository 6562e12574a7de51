"""What a collection is told to keep: every key that an attempt's stages will ask for, and every artifact that is named anywhere."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from astra_jobs.api.artifact import KINDS, Artifact, Kind
from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.api.request import StageRequest
from astra_jobs.api.result import JobResult
from astra_operator.desired.preview import preview
from astra_operator.live import live_list
from astra_operator.settings import OperatorSettings, TeamSettings
from astra_operator.site import Site
from tests.reconcile.harness import manifest

Object = dict[str, Any]
SITE = Site(TeamSettings(store_url="s3://bucket/team"), OperatorSettings(code_version="1.0"), datetime(2030, 1, 1, tzinfo=UTC))


def artifact(name: str) -> Artifact:
    return Artifact(uri=f"s3://bucket/team/artifacts/{name}", digest=digest_of(name))


def run_of(kind: Kind, **status: Any) -> Object:
    run = manifest(kind)
    run["metadata"] |= {"uid": f"u-{kind}", "namespace": "team"}
    return run | ({"status": status} if status else {})


def configs_of(kind: Kind, file: str) -> list[Object]:
    return [item for item in preview(run_of(kind), SITE) if item["kind"] == "ConfigMap" and file in item["data"]]


def listed(pods: list[Object] = (), configs: list[Object] = (), runs: list[Object] = ()) -> Any:
    return live_list("team", 1.5, pods, configs, runs)


@pytest.mark.parametrize("kind", KINDS)
def test_an_attempt_alone_tells_the_keys_of_all_its_stages(kind: Kind) -> None:
    requests = [StageRequest.model_validate_json(item["data"]["request.json"]) for item in configs_of(kind, "request.json")]
    wanted = {request.key(shard) for request in requests for shard in range(request.shards)}
    assert wanted
    found = listed(configs=configs_of(kind, "attempt.json"))
    assert set(found.keys) == wanted
    assert set(listed(configs=configs_of(kind, "request.json")).keys) == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_what_attempts_and_requests_name_is_kept(kind: Kind) -> None:
    for file in ("attempt.json", "request.json"):
        for config in configs_of(kind, file):
            inputs = json.loads(config["data"][file]).get("inputs", [])
            assert {item["artifact"]["digest"] for item in inputs} <= {item.digest for item in listed(configs=[config]).artifacts}
    (attempt,) = configs_of("RLRun", "attempt.json")
    assert len(listed(configs=[attempt]).artifacts) >= 2, "the model and the environments"


def test_statuses_name_the_product_the_stages_and_five_past_attempts() -> None:
    past = [{"number": n, "digest": digest_of(n), "outcome": "Succeeded", "artifact": artifact(f"past-{n}").to_dict()} for n in range(1, 6)]
    run = run_of(
        "SFTRun",
        artifact=artifact("product").to_dict(),
        artifacts={"prepare": artifact("prepared").to_dict()},
        attempt={"number": 6, "digest": digest_of("now"), "restarts": 0},
        history=past,
    )
    found = listed(runs=[run])
    assert {item.uri.rsplit("/", 1)[1] for item in found.artifacts} == {"product", "prepared", *(f"past-{n}" for n in range(1, 6))}
    assert [(item.uid, item.name) for item in found.runs] == [("u-SFTRun", "sft")]
    for digest in (digest_of("now"), digest_of(1), digest_of(5)):
        for stage in ("prepare", "train", "evaluate"):
            assert digest_of([digest, stage, 0, 1]) in found.keys
    assert (found.namespace, found.time) == ("team", 1.5)


def test_results_of_pods_are_kept_and_the_ends_of_logs_are_no_results() -> None:
    result = JobResult(outcome="Succeeded", artifact=artifact("new")).encode().decode()
    states = [{"terminated": {"message": result}}, {"terminated": {"message": "Traceback: {"}}, {"running": {}}, {"terminated": {}}]
    pods = [{"kind": "Pod", "metadata": {"name": "p"}, "status": {"containerStatuses": [{"state": state}]}} for state in states]
    again = {"containerStatuses": [{"state": {"running": {}}, "lastState": {"terminated": {"message": result.replace("new", "older")}}}]}
    pods += [{"kind": "Pod", "metadata": {"name": "p"}, "status": again}, {"kind": "Pod", "metadata": {"name": "p"}}]
    assert {item.uri.rsplit("/", 1)[1] for item in listed(pods=pods).artifacts} == {"new", "older"}


def test_what_cannot_be_read_ends_the_list() -> None:
    (config,) = configs_of("ToolCorpus", "attempt.json")
    config["metadata"]["namespace"] = "team"
    known = json.loads(config["data"]["attempt.json"])
    for data in ({**known, "later": 1}, {key: value for key, value in known.items() if key != "kind"}):
        config["data"]["attempt.json"] = json.dumps(data)
        with pytest.raises(BadInput, match=r"attempt.json of ConfigMap team/tools-corpus-1: (later|kind): .*use the operator's version"):
            listed(configs=[config])
    with pytest.raises(BadInput, match="status of SFTRun team/sft: history"):
        listed(runs=[run_of("SFTRun", history=[{"number": 1}])])


def test_another_configmap_of_the_operator_is_no_attempt() -> None:
    assert listed(configs=[{"kind": "ConfigMap", "metadata": {"name": "other"}, "data": {"more": "{"}}]).keys == []
