"""What a real API server refuses, loses or changes behind one's back, and what the reconcile is told of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from astra_operator.clusters import kubernetes as driver
from astra_operator.clusters.base import ClusterError, Conflict, Gone, Refused, key_of
from astra_operator.clusters.index import Index
from astra_operator.clusters.kubernetes import ClusterHooks, KubernetesCluster
from tests.conformance.cluster.cluster_benches import SPEC, WAIT, KubernetesBench, config, job, manifest

Object = dict[str, Any]


@pytest.fixture
def run(kubernetes: KubernetesBench) -> Object:
    made = kubernetes.put_run(manifest("tools", kubernetes.namespace))
    found = kubernetes.cluster.get_run(*key_of(made))
    assert found is not None
    return found


def quota(bench: KubernetesBench, plane, **hard: str) -> None:
    """Set a quota and wait until the quota controller has counted: before that the API server enforces nothing."""
    plane.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "few", "namespace": bench.namespace},
            "spec": {"hard": {name.replace("_", "/"): value for name, value in hard.items()}},
        }
    )
    plane.wait_for("the quota is counted", "-n", bench.namespace, "get", "resourcequota", "few", "-o", "jsonpath={.status.used}")


@pytest.fixture
def limited(plane, kubernetes: KubernetesBench) -> Iterator[KubernetesCluster]:
    """A cluster as a user without any rights sees it, with what the administrator knows in memory."""
    with plane.api(plane.user_kubeconfig("nobody")) as api:
        yield KubernetesCluster(api, kubernetes.cluster.index)


def test_rights_are_named(limited: KubernetesCluster, kubernetes: KubernetesBench, run: Object) -> None:
    for write in (
        lambda: limited.apply([config(run, "first")], run),
        lambda: limited.admit([config(run, "first")], run),
        lambda: limited.write_status(run, {}),
        lambda: limited.delete(run),
        lambda: limited.team(kubernetes.namespace),
        lambda: limited.resync([kubernetes.namespace]),
    ):
        with pytest.raises(Refused, match=f'User "nobody" cannot .* in the namespace "{kubernetes.namespace}"'):
            write()


def test_a_spent_quota_refuses_before_and_at_creation(plane, kubernetes: KubernetesBench, run: Object) -> None:
    quota(kubernetes, plane, **{"count_jobs.batch": "0"})
    for attempt in (kubernetes.cluster.admit, kubernetes.cluster.apply):
        with pytest.raises(Refused, match=r"exceeded quota: few, requested: count/jobs.batch=1"):
            attempt([job(run, "first")], run)


def test_an_object_of_the_wrong_shape_is_refused(kubernetes: KubernetesBench, run: Object) -> None:
    wrong, unknown = job(run, "first"), job(run, "second")
    wrong["spec"]["template"]["spec"]["containers"][0]["name"] = "Not A Name"
    unknown["spec"]["template"]["spec"]["contaimers"] = []
    with pytest.raises(Refused, match=r"spec.template.spec.containers\[0\].name: Invalid value"):
        kubernetes.cluster.apply([wrong], run)
    with pytest.raises(Refused, match=r'unknown field "spec\.template\.spec\.contaimers"'):
        kubernetes.cluster.admit([unknown], run)


def test_a_kind_that_is_not_served_is_refused(kubernetes: KubernetesBench, run: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = driver.RESOURCE_OF["PyTorchJob"]._replace(group="absent.example.org")
    monkeypatch.setitem(driver.RESOURCE_OF, "PyTorchJob", absent)
    item = {"apiVersion": absent.api_version, "kind": "PyTorchJob", "metadata": {"name": "a"}, "spec": {}}
    assert not kubernetes.cluster.serves(absent.api_version, "PyTorchJob")
    assert not kubernetes.cluster.serves("batch/v1", "PyTorchJob")
    with pytest.raises(Refused, match="404 page not found"):
        kubernetes.cluster.apply([item], run)


def test_a_status_that_the_schema_does_not_know_is_refused(kubernetes: KubernetesBench, run: Object) -> None:
    with pytest.raises(Refused, match=r"status.stage: Invalid value"):
        kubernetes.cluster.write_status(run, {"stage": 5})


def test_a_run_that_changed_meanwhile_is_read_again(kubernetes: KubernetesBench, run: Object) -> None:
    kubernetes.send("patch", run, body={"spec": SPEC | {"suspend": True}}, merge=True)
    with pytest.raises(ClusterError, match=r"tools has changed since it was read") as told:
        kubernetes.cluster.write_status(run, {"stage": "collect"})
    assert type(told.value) is ClusterError
    found = kubernetes.cluster.get_run(*key_of(run))
    assert found is not None
    assert (found["metadata"]["generation"], found["spec"]["suspend"]) == (2, True)
    kubernetes.cluster.write_status(found, {"stage": "collect"})


def test_a_run_that_was_replaced_unseen_is_gone(kubernetes: KubernetesBench, run: Object) -> None:
    kubernetes.send("delete", run)
    with pytest.raises(Gone):
        kubernetes.cluster.write_status(run, {"stage": "collect"})
    assert kubernetes.cluster.get_run(*key_of(run)) is None
    again = kubernetes.send("create", run, body=manifest("tools", kubernetes.namespace))
    with pytest.raises(Gone):
        kubernetes.cluster.write_status(run, {"stage": "collect"})
    found = kubernetes.cluster.get_run(*key_of(run))
    assert found is not None
    assert found["metadata"]["uid"] == again["metadata"]["uid"]


def test_what_another_process_made_is_found_and_not_made_twice(plane, kubernetes: KubernetesBench, run: Object) -> None:
    with plane.api() as api:
        other = KubernetesCluster(api, Index())
        assert other.apply([config(run, "first"), job(run, "first", WAIT)], run) == ["first", "first"]
        assert kubernetes.cluster.children(run["metadata"]["uid"]) == []
        assert kubernetes.cluster.apply([config(run, "first"), job(run, "first", WAIT)], run) == []
    assert [item["kind"] for item in kubernetes.cluster.children(run["metadata"]["uid"])] == ["ConfigMap", "Job"]


def test_what_somebody_else_made_is_a_conflict(plane, kubernetes: KubernetesBench, run: Object) -> None:
    plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "first", "namespace": kubernetes.namespace}})
    with pytest.raises(Conflict, match="ConfigMap first exists and is not this run's"):
        kubernetes.cluster.apply([config(run, "first")], run)
    assert kubernetes.cluster.children(run["metadata"]["uid"]) == []


def test_what_had_the_name_and_is_gone_unseen_is_no_conflict(kubernetes: KubernetesBench, run: Object) -> None:
    other = kubernetes.put_run(manifest("others", kubernetes.namespace))
    kubernetes.cluster.apply([config(run, "first")], run)
    (item,) = kubernetes.cluster.children(run["metadata"]["uid"])
    kubernetes.send("delete", item)
    assert kubernetes.cluster.apply([config(other, "first")], other) == ["first"]
    assert kubernetes.cluster.children(run["metadata"]["uid"]) == []


def test_a_request_that_vanished_unseen_is_not_made_again_by_its_end(kubernetes: KubernetesBench, run: Object) -> None:
    kubernetes.cluster.apply([config(run, "first")], run)
    (item,) = kubernetes.cluster.children(run["metadata"]["uid"])
    kubernetes.send("delete", item)
    ended = config(run, "first", annotations={"astra.dev/end": "{}"})
    with pytest.raises(ClusterError, match="has changed since it was read"):
        kubernetes.cluster.apply([ended], run)
    kubernetes.see()
    assert kubernetes.cluster.children(run["metadata"]["uid"]) == []


def test_a_request_that_was_replaced_unseen_is_left_alone(kubernetes: KubernetesBench, run: Object) -> None:
    kubernetes.cluster.apply([config(run, "first")], run)
    (item,) = kubernetes.cluster.children(run["metadata"]["uid"])
    kubernetes.send("delete", item)
    owner = {"ownerReferences": item["metadata"]["ownerReferences"], "namespace": kubernetes.namespace}
    fresh = config(run, "first", '{"new": 1}')
    kubernetes.send("create", item, body=fresh | {"metadata": fresh["metadata"] | owner})
    ended = config(run, "first", annotations={"astra.dev/end": "{}"})
    with pytest.raises(ClusterError, match="has changed since it was read"):
        kubernetes.cluster.apply([ended], run)
    (found,) = kubernetes.cluster.children(run["metadata"]["uid"])
    assert "annotations" not in found["metadata"]
    assert found["data"]["request.json"] == '{"new": 1}'


def test_marks_that_are_too_long_are_refused(kubernetes: KubernetesBench, run: Object) -> None:
    kubernetes.cluster.apply([config(run, "first")], run)
    with pytest.raises(Refused, match=r"metadata.annotations: Too long"):
        kubernetes.cluster.apply([config(run, "first", annotations={"astra.dev/stacks": "x" * 300_000})], run)


def test_marks_leave_what_others_wrote_on_a_request(kubernetes: KubernetesBench, run: Object) -> None:
    kubernetes.cluster.apply([config(run, "first")], run)
    (item,) = kubernetes.cluster.children(run["metadata"]["uid"])
    foreign = {"metadata": {"annotations": {"example.org/note": "x"}, "labels": {"example.org/team": "y"}}}
    kubernetes.send("patch", item, body=foreign, merge=True)
    kubernetes.cluster.apply([config(run, "first", annotations={"astra.dev/end": "{}"})], run)
    found = kubernetes.send("get", item)["metadata"]
    assert found["annotations"] == {"example.org/note": "x", "astra.dev/end": "{}"}
    assert found["labels"]["example.org/team"] == "y"
    assert found["ownerReferences"][0]["blockOwnerDeletion"] is True
    calls: list[str] = []
    counted = KubernetesCluster(
        kubernetes.calls._api, kubernetes.cluster.index, ClusterHooks(on_call=lambda verb, *rest: calls.append(verb))
    )
    counted.apply([config(run, "first", annotations={"astra.dev/end": "{}"})], run)
    assert calls == []  # what is there already costs no call


def test_long_lists_come_in_pages(kubernetes: KubernetesBench, run: Object, plane, monkeypatch: pytest.MonkeyPatch) -> None:
    kubernetes.cluster.apply([config(run, f"part-{number}") for number in range(7)], run)
    monkeypatch.setattr(driver, "_PAGE", 3)
    calls: list[str] = []
    with plane.api() as api:
        fresh = KubernetesCluster(api, Index(), ClusterHooks(on_call=lambda verb, resource, *rest: calls.append(resource)))
        changed, missed = fresh.resync([kubernetes.namespace])
        assert (changed, missed) == ({key_of(run)}, 0)
        assert calls.count("configmaps") == 3
        assert len(fresh.children(run["metadata"]["uid"])) == 7
        assert fresh.resync([kubernetes.namespace]) == (set(), 0)


def test_a_pod_with_a_stolen_label_is_no_child(kubernetes: KubernetesBench, run: Object, plane) -> None:
    kubernetes.cluster.apply([config(run, "first"), job(run, "first", WAIT)], run)
    kubernetes.until("the pod is there", lambda: len(kubernetes.cluster.children(run["metadata"]["uid"])) == 3)
    (real,) = [item for item in kubernetes.cluster.children(run["metadata"]["uid"]) if item["kind"] == "Pod"]
    spec = {"containers": [{"name": "job", "image": "none"}]}
    metadata = {"name": "thief", "namespace": kubernetes.namespace, "labels": real["metadata"]["labels"]}
    plane.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    kubernetes.see()
    assert kubernetes.cluster.index.find("Pod", kubernetes.namespace, "thief") is not None
    pods = [item["metadata"]["name"] for item in kubernetes.cluster.children(run["metadata"]["uid"]) if item["kind"] == "Pod"]
    assert pods == [real["metadata"]["name"]]


def test_what_is_kept_is_small(kubernetes: KubernetesBench, run: Object) -> None:
    kubernetes.cluster.apply([job(run, "first", WAIT)], run)
    kubernetes.until("the pod is there", lambda: len(kubernetes.cluster.children(run["metadata"]["uid"])) == 2)
    for item in kubernetes.cluster.children(run["metadata"]["uid"]):
        assert "managedFields" not in item["metadata"]
        assert "containers" not in json.dumps(item["spec"] if item["kind"] == "Job" else item.get("spec", {}))
        assert len(json.dumps(item)) < 1500
