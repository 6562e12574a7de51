"""The Cluster protocol as every implementation keeps it: memory, laptop, a real API server with its real controllers."""

import json
from datetime import timedelta
from typing import Any

import pytest

from astra_operator.clusters.base import Conflict, Gone
from astra_operator.observed import read_pod
from tests.conformance.cluster.cluster_benches import MESSAGE, SPEC, WAIT, Bench, config, job, labels, manifest

Object = dict[str, Any]
STATUS = {"observedGeneration": 1, "stage": "collect", "metrics": {"kept": "3"}}


def make_run(bench: Bench, name: str = "tools") -> Object:
    return bench.put_run(manifest(name, bench.namespace))


def read(bench: Bench, run: Object) -> Object:
    found = bench.cluster.get_run(run["kind"], bench.namespace, run["metadata"]["name"])
    assert found is not None
    return found


def children(bench: Bench, run: Object, *kinds: str) -> list[Object]:
    return [item for item in bench.cluster.children(run["metadata"]["uid"]) if not kinds or item["kind"] in kinds]


def names(items: list[Object]) -> list[str]:
    return sorted(f"{item['kind']}/{item['metadata']['name']}" for item in items)


def launch(bench: Bench, run: Object, name: str, script: str = WAIT, pods: int = 1) -> list[Object]:
    """Make a request and its Job; return the pods once they are all there."""
    bench.cluster.apply([config(run, name), job(run, name, script, pods)], run)
    bench.until("the pods are there", lambda: len(children(bench, run, "Pod")) == pods)
    return children(bench, run, "Pod")


def test_a_run_is_read_as_it_was_written(bench: Bench) -> None:
    assert bench.cluster.get_run("ToolCorpus", bench.namespace, "tools") is None
    run = make_run(bench)
    found = read(bench, run)
    assert found["spec"] == SPEC
    assert (found["apiVersion"], found["kind"]) == ("astra.dev/v1alpha1", "ToolCorpus")
    assert found["metadata"]["uid"] == run["metadata"]["uid"]
    assert found["metadata"]["generation"] == 1
    assert found["metadata"]["creationTimestamp"]
    assert [item["metadata"]["name"] for item in bench.cluster.list_runs() if item["metadata"]["namespace"] == bench.namespace] == ["tools"]


def test_generation_grows_with_the_spec_alone(bench: Bench) -> None:
    run = make_run(bench)
    bench.cluster.write_status(read(bench, run), STATUS)
    assert read(bench, run)["metadata"]["generation"] == 1
    bench.put_run(manifest("tools", bench.namespace, SPEC | {"suspend": True}))
    assert read(bench, run)["metadata"]["generation"] == 2
    assert read(bench, run)["status"] == STATUS


def test_status_is_replaced_as_a_whole_and_read_at_once(bench: Bench) -> None:
    run = make_run(bench)
    bench.cluster.write_status(read(bench, run), STATUS)
    assert read(bench, run)["status"] == STATUS
    bench.cluster.write_status(read(bench, run), {"observedGeneration": 1, "metrics": {"lost": "1"}})
    assert read(bench, run)["status"] == {"observedGeneration": 1, "metrics": {"lost": "1"}}
    assert read(bench, run)["spec"] == SPEC


def test_status_of_a_run_that_is_gone_is_refused(bench: Bench) -> None:
    run = make_run(bench)
    old = read(bench, run)
    bench.remove_run(run)
    with pytest.raises(Gone):
        bench.cluster.write_status(old, STATUS)


def test_status_of_a_run_that_was_replaced_is_refused(bench: Bench) -> None:
    run = make_run(bench)
    old = read(bench, run)
    bench.remove_run(run)
    again = make_run(bench)
    assert again["metadata"]["uid"] != run["metadata"]["uid"]
    with pytest.raises(Gone):
        bench.cluster.write_status(old, STATUS)
    assert not read(bench, again).get("status")


def test_objects_are_made_once_and_seen_at_once(bench: Bench) -> None:
    run = make_run(bench)
    objects = [config(run, "first"), job(run, "first", WAIT)]
    assert bench.cluster.apply(objects, run) == ["first", "first"]
    assert names(children(bench, run, "ConfigMap", "Job")) == ["ConfigMap/first", "Job/first"]
    assert bench.cluster.apply(objects, run) == []
    bench.see()
    assert names(children(bench, run, "ConfigMap", "Job")) == ["ConfigMap/first", "Job/first"]
    for item in children(bench, run, "ConfigMap", "Job"):
        (owner,) = item["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("ToolCorpus", "tools", run["metadata"]["uid"], True)
        assert item["metadata"]["namespace"] == bench.namespace
        assert item["metadata"]["labels"].items() >= labels(run).items()


def test_what_is_given_to_apply_is_not_changed(bench: Bench) -> None:
    run = make_run(bench)
    objects = [config(run, "first"), job(run, "first", WAIT)]
    before = json.dumps(objects)
    bench.cluster.apply(objects, run)
    assert json.dumps(objects) == before


def test_a_request_keeps_its_data_and_takes_annotations(bench: Bench) -> None:
    run = make_run(bench)
    bench.cluster.apply([config(run, "first", '{"a": 1}')], run)
    assert bench.cluster.apply([config(run, "first", '{"a": 1}', {"astra.dev/end": "one"})], run) == []
    assert bench.cluster.apply([config(run, "first", '{"a": 2}', {"astra.dev/end": "two", "astra.dev/stacks": "s"})], run) == []
    bench.see()
    (item,) = children(bench, run)
    assert item["data"] == {"request.json": '{"a": 1}'}
    assert item["metadata"]["annotations"] == {"astra.dev/end": "two", "astra.dev/stacks": "s"}
    assert item["metadata"]["labels"] == labels(run)
    bench.cluster.apply([config(run, "first", "{}", {"astra.dev/end": "two"})], run)
    bench.see()
    assert children(bench, run)[0]["metadata"]["annotations"] == {"astra.dev/end": "two"}


def test_a_name_that_belongs_to_another_run_stops_everything_after_it(bench: Bench) -> None:
    one, two = make_run(bench), make_run(bench, "other")
    bench.cluster.apply([config(one, "shared")], one)
    with pytest.raises(Conflict):
        bench.cluster.apply([config(two, "mine"), config(two, "shared", "{}", {"astra.dev/end": "x"}), config(two, "never")], two)
    bench.see()
    assert names(children(bench, two)) == ["ConfigMap/mine"]
    (item,) = children(bench, one)
    assert "annotations" not in item["metadata"] or not item["metadata"]["annotations"]


def test_children_are_a_run_s_own_with_the_pods_of_its_workloads(bench: Bench) -> None:
    one, two = make_run(bench), make_run(bench, "other")
    launch(bench, one, "first", pods=2)
    launch(bench, two, "second")
    assert sorted(item["kind"] for item in children(bench, one)) == ["ConfigMap", "Job", "Pod", "Pod"]
    assert sorted(item["kind"] for item in children(bench, two)) == ["ConfigMap", "Job", "Pod"]
    indexes = sorted(read_pod(pod).index for pod in children(bench, one, "Pod"))
    assert indexes == [0, 1]
    for pod in children(bench, one, "Pod"):
        assert pod["metadata"]["labels"].items() >= labels(one).items()
    assert children(bench, {"metadata": {"uid": "nobody"}}) == []


def test_what_is_returned_is_a_copy(bench: Bench) -> None:
    run = make_run(bench)
    bench.cluster.apply([config(run, "first")], run)
    read(bench, run)["spec"]["sources"] = "broken"
    bench.cluster.list_runs()[0]["metadata"]["name"] = "broken"
    children(bench, run)[0]["metadata"]["labels"].clear()
    assert read(bench, run)["spec"] == SPEC
    assert children(bench, run)[0]["metadata"]["labels"] == labels(run)


def test_the_result_of_a_pod_comes_back(bench: Bench) -> None:
    run = make_run(bench)
    bench.cluster.apply([config(run, "first"), job(run, "first")], run)
    bench.until("the pod is there", lambda: children(bench, run, "Pod"))
    bench.finish(children(bench, run, "Pod")[0])
    ended = bench.until("the pod has ended", lambda: [pod for pod in children(bench, run, "Pod") if read_pod(pod).phase == "Succeeded"])[0]
    fact = read_pod(ended)
    assert (fact.exit_code, fact.alive, fact.lost, fact.out_of_memory) == (0, False, False, False)
    assert fact.started is not None
    assert fact.finished is not None
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == MESSAGE


def test_a_deleted_workload_takes_its_pods_along(bench: Bench) -> None:
    run = make_run(bench)
    launch(bench, run, "first", pods=2)
    (work,) = children(bench, run, "Job")
    bench.cluster.delete(work)
    # Until a process is really gone its pod stays in sight: nothing may start beside it.
    assert all("deletionTimestamp" in item["metadata"] for item in children(bench, run, "Job"))
    bench.until("nothing but the request is left", lambda: names(children(bench, run)) == ["ConfigMap/first"])
    bench.cluster.delete(work)
    bench.see()
    assert names(children(bench, run)) == ["ConfigMap/first"]


def test_pods_stay_in_sight_when_their_workload_has_gone_first(bench: Bench) -> None:
    run = make_run(bench)
    pods = launch(bench, run, "first", pods=2)
    bench.cluster.delete(children(bench, run, "Job")[0])
    assert names(children(bench, run, "Pod")) == names(pods)
    bench.until("nothing but the request is left", lambda: names(children(bench, run)) == ["ConfigMap/first"])


def test_delete_means_one_object_and_not_its_name(bench: Bench) -> None:
    run = make_run(bench)
    bench.cluster.apply([config(run, "first")], run)
    (item,) = children(bench, run)
    bench.cluster.delete(item | {"metadata": item["metadata"] | {"uid": "00000000-0000-4000-8000-000000000000"}})
    bench.see()
    assert names(children(bench, run)) == ["ConfigMap/first"]
    bench.cluster.delete(item)
    bench.until("it is gone", lambda: not children(bench, run))
    bench.cluster.delete(item)
    assert bench.cluster.apply([config(run, "first")], run) == ["first"]
    bench.cluster.delete(item)  # the older one
    bench.see()
    assert names(children(bench, run)) == ["ConfigMap/first"]


def test_a_removed_run_leaves_nothing(bench: Bench) -> None:
    run = make_run(bench)
    launch(bench, run, "first", pods=2)
    bench.remove_run(run)
    bench.until("all is gone", lambda: children(bench, run) == [])
    again = make_run(bench)
    assert children(bench, again) == []
    bench.until("the name is free", lambda: bench.cluster.apply([config(again, "first")], again) == ["first"])


def test_admission_makes_nothing(bench: Bench) -> None:
    run = make_run(bench)
    bench.cluster.admit([config(run, "first"), job(run, "first")], run)
    bench.see()
    assert children(bench, run) == []
    assert bench.cluster.apply([config(run, "first")], run) == ["first"]
    bench.cluster.admit([config(run, "first")], run)  # what is there already is no refusal


def test_the_workloads_of_all_stages_are_served(bench: Bench) -> None:
    assert bench.cluster.serves("batch/v1", "Job")
    assert bench.cluster.serves("kubeflow.org/v1", "PyTorchJob")


def test_a_pod_that_does_not_run_says_nothing(bench: Bench) -> None:
    pod = {"metadata": {"name": "p", "namespace": bench.namespace, "uid": "u"}, "status": {"phase": "Pending"}}
    assert bench.cluster.progress(pod) is None
    assert bench.cluster.stacks(pod) == ""


def test_the_team_s_settings_are_read(bench: Bench) -> None:
    bench.put_team({"storeUrl": "memory://somewhere"})
    assert bench.cluster.team(bench.namespace)["storeUrl"] == "memory://somewhere"


def test_time_is_utc(bench: Bench) -> None:
    assert bench.cluster.now().utcoffset() == timedelta(0)


def test_a_runtime_class_that_nobody_made_is_not_there(bench: Bench) -> None:
    assert bench.cluster.has_runtime("nowhere") is False
