"""The cluster on one machine: workloads become processes, and everything is found again by the next holder of the lock."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from astra_operator.clusters.base import Cluster, Conflict, Gone, RunKey
from astra_operator.clusters.local import LocalCluster
from astra_operator.clusters.local_capacity import Amount
from astra_operator.clusters.local_files import Busy
from astra_operator.clusters.local_objects import leave_intent, read_runs
from astra_operator.clusters.memory import MemoryCluster
from tests.patience import patience

Object = dict[str, Any]
ENV = {"PATH": os.environ["PATH"]}
KEY = RunKey("ToolCorpus", "default", "tools")


def run_manifest(name: str = "tools", **spec: Any) -> Object:
    return {"apiVersion": "astra.dev/v1alpha1", "kind": "ToolCorpus", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def template(script: str, cpu: str = "1", grace: float = 5) -> Object:
    box = {
        "name": "job",
        "command": ["sh", "-c", script],
        "workingDir": "/astra",
        "terminationMessagePath": "/astra/result.json",
        "resources": {"requests": {"cpu": cpu, "memory": "1Mi"}},
        "volumeMounts": [{"name": "in", "mountPath": "/astra/in"}],
    }
    spec = {"containers": [box], "volumes": [{"name": "in", "configMap": {"name": "config"}}], "terminationGracePeriodSeconds": grace}
    return {"metadata": {"labels": {"l": "1"}}, "spec": spec}


def job(script: str, name: str = "work", cpu: str = "1", **spec: Any) -> Object:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template(script, cpu)} | spec}


def torch_job(script: str, ranks: int, name: str = "train") -> Object:
    replicas = {"Master": {"replicas": 1, "template": template(script)}, "Worker": {"replicas": ranks - 1, "template": template(script)}}
    spec = {"pytorchReplicaSpecs": replicas, "nprocPerNode": "1"}
    return {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": name}, "spec": spec}


CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"a.txt": "hello"}}


def open_cluster(folder: Path, **more: Any) -> LocalCluster:
    return LocalCluster(folder, ENV, capacity=more.pop("capacity", Amount(2000, 2**30)), **more)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with contextlib.closing(open_cluster(tmp_path)) as found:
        yield found
        end_everything(found)


def end_everything(cluster: LocalCluster) -> None:
    cluster.kill_all()
    until(cluster, lambda: cluster.stop_all())


def until(cluster: LocalCluster, condition: Callable[[], Any], seconds: float = 15) -> Any:
    deadline, pause = time.monotonic() + patience(seconds), threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        cluster.tick()
        pause.wait(0.01)
    return found


def pods(cluster: LocalCluster, run: Object) -> list[Object]:
    return [item for item in cluster.children(run["metadata"]["uid"]) if item["kind"] == "Pod"]


def phases(cluster: LocalCluster, run: Object) -> list[str]:
    return [pod["status"]["phase"] for pod in pods(cluster, run)]


def work_of(cluster: LocalCluster, run: Object) -> Object:
    """Return the only Job of a run."""
    (work,) = [item for item in cluster.children(run["metadata"]["uid"]) if item["kind"] == "Job"]
    return work


def ended(work: Object) -> list[str]:
    return [item["type"] for item in work["status"].get("conditions", [])]


def message(pod: Object) -> str:
    return str(pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"])


def test_indexed_job_runs_to_its_end(cluster: LocalCluster) -> None:
    run = cluster.put_run(run_manifest())
    script = 'printf "$JOB_COMPLETION_INDEX $(cat in/a.txt)" > result.json'
    assert cluster.apply([CONFIG, job(script, completions=3, parallelism=3, completionMode="Indexed")], run) == ["config", "work"]
    assert cluster.apply([CONFIG, job(script)], run) == []
    assert cluster.tick() == {KEY}
    until(cluster, lambda: phases(cluster, run) == ["Succeeded"] * 3)
    assert [message(pod) for pod in pods(cluster, run)] == ["0 hello", "1 hello", "2 hello"]
    until(cluster, lambda: ended(work_of(cluster, run)) == ["Complete"])
    until(cluster, lambda: cluster.tick() == set())


def test_ranks_find_each_other(cluster: LocalCluster) -> None:
    run = cluster.put_run(run_manifest())
    cluster.apply([CONFIG, torch_job('printf "$RANK $WORLD_SIZE $MASTER_ADDR $MASTER_PORT" > result.json', 2)], run)
    until(cluster, lambda: phases(cluster, run) == ["Succeeded", "Succeeded"])
    master, worker = (message(pod).split() for pod in pods(cluster, run))
    assert (master[:2], worker[:2]) == (["0", "2"], ["1", "2"])
    assert master[2:] == worker[2:]
    assert master[2] == pods(cluster, run)[0]["status"]["podIP"]


def test_gang_waits_for_room_and_says_so(cluster: LocalCluster) -> None:
    run, other = cluster.put_run(run_manifest()), cluster.put_run(run_manifest("other"))
    cluster.apply([CONFIG, job("while [ ! -e go ]; do sleep 0.02; done")], run)
    cluster.tick()
    cluster.apply([torch_job("true", 2)], other)
    cluster.tick()
    cluster.tick()
    assert phases(cluster, run) == ["Running"]
    waiting = pods(cluster, other)
    assert [pod["status"]["phase"] for pod in waiting] == ["Pending", "Pending"]
    (condition,) = waiting[0]["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert condition["message"] == "needs 2 CPU and 0.0 GiB; 1 CPU and 1.0 GiB are free"
    (pod,) = pods(cluster, run)
    (cluster.kubelet.home(pod["metadata"]["uid"]) / "root" / "go").touch()
    until(cluster, lambda: phases(cluster, other) == ["Succeeded", "Succeeded"])


def test_too_large_a_request_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    with contextlib.closing(open_cluster(tmp_path, say=said.append)) as cluster:
        run = cluster.put_run(run_manifest())
        cluster.apply([CONFIG, job("true", cpu="64")], run)
        until(cluster, lambda: phases(cluster, run) == ["Succeeded"])
    (line,) = said
    assert line.startswith("work-0 asks for 64 CPU and 0.0 GiB, this machine has 2 CPU and 1.0 GiB")


def test_failure_keeps_the_last_lines_and_the_files(cluster: LocalCluster) -> None:
    run = cluster.put_run(run_manifest())
    cluster.apply([CONFIG, job("echo first; echo oops >&2; echo x > kept; exit 7")], run)
    until(cluster, lambda: phases(cluster, run) == ["Failed"])
    (pod,) = pods(cluster, run)
    assert pod["metadata"]["annotations"]["astra.dev/last-lines"] == "first\noops"
    assert (cluster.kubelet.home(pod["metadata"]["uid"]) / "root" / "kept").exists()


def test_deleting_a_workload_waits_for_its_processes(cluster: LocalCluster) -> None:
    run = cluster.put_run(run_manifest())
    cluster.apply([CONFIG, job("trap 'sleep 0.3; exit 85' TERM; touch ready; while :; do sleep 0.02; done")], run)
    cluster.tick()
    (pod,) = pods(cluster, run)
    home = cluster.kubelet.home(pod["metadata"]["uid"])
    until(cluster, (home / "root" / "ready").exists)
    work = work_of(cluster, run)
    cluster.delete({**work, "metadata": {**work["metadata"], "uid": "another"}})
    assert "deletionTimestamp" not in pods(cluster, run)[0]["metadata"], "another object of that name is left alone"
    cluster.delete(work)
    cluster.tick()
    left = cluster.children(run["metadata"]["uid"])
    assert [item["kind"] for item in left if "deletionTimestamp" in item["metadata"]] == ["Job", "Pod"]
    until(cluster, lambda: [item["kind"] for item in cluster.children(run["metadata"]["uid"])] == ["ConfigMap"])
    assert not home.exists()
    assert list((cluster.folder / "logs").glob("default/work-0.*.log"))


def test_pod_that_never_started_is_simply_removed(tmp_path: Path) -> None:
    with contextlib.closing(open_cluster(tmp_path, capacity=Amount(1000, 2**30))) as cluster:
        run = cluster.put_run(run_manifest())
        cluster.apply([CONFIG, job("sleep 60", "first"), job("true", "second")], run)
        cluster.tick()
        second = next(item for item in cluster.children(run["metadata"]["uid"]) if item["metadata"]["name"] == "second")
        cluster.delete(second)
        until(cluster, lambda: len(pods(cluster, run)) == 1)
        end_everything(cluster)


def test_owner_that_is_gone_takes_everything_with_it(cluster: LocalCluster) -> None:
    run = cluster.put_run(run_manifest())
    cluster.apply([CONFIG, job("sleep 60")], run)
    cluster.tick()
    del cluster.runs._records[KEY]
    until(cluster, lambda: not list(cluster.objects))
    assert cluster.kubelet.known() == []


def test_next_holder_of_the_lock_goes_on(tmp_path: Path) -> None:
    with contextlib.closing(open_cluster(tmp_path)) as first:
        run = first.put_run(run_manifest())
        first.apply([CONFIG, job("while [ ! -e go ]; do sleep 0.02; done; printf late > result.json")], run)
        first.tick()
    with contextlib.closing(open_cluster(tmp_path)) as second:
        second.tick()
        assert phases(second, run) == ["Running"]
        (pod,) = pods(second, run)
        (second.kubelet.home(pod["metadata"]["uid"]) / "root" / "go").touch()
        until(second, lambda: phases(second, run) == ["Succeeded"])
        assert message(pods(second, run)[0]) == "late"
    for own in first.kubelet._own.values():
        own.wait()


def test_pod_without_an_object_is_killed_at_the_start(tmp_path: Path) -> None:
    with contextlib.closing(open_cluster(tmp_path)) as first:
        run = first.put_run(run_manifest())
        first.apply([CONFIG, job("sleep 60")], run)
        first.tick()
        (pod,) = pods(first, run)
        uid = pod["metadata"]["uid"]
        first.objects.remove(first.objects.get(("Pod", "default", pod["metadata"]["name"])) or {})
    with contextlib.closing(open_cluster(tmp_path)) as second:
        until(second, lambda: second.kubelet.gone(uid))
        assert uid not in second.kubelet.known()
        end_everything(second)
    first.kubelet._own[uid].wait()


def test_stop_all_lets_jobs_end_and_counts_as_the_machines_wish(cluster: LocalCluster) -> None:
    run = cluster.put_run(run_manifest())
    cluster.apply([CONFIG, job("touch ready; sleep 60")], run)
    cluster.tick()
    (pod,) = pods(cluster, run)
    until(cluster, (cluster.kubelet.home(pod["metadata"]["uid"]) / "root" / "ready").exists)
    pause = threading.Event()
    while not cluster.stop_all():
        pause.wait(0.01)
    (pod,) = pods(cluster, run)
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "Shutdown")


def test_two_at_once_are_refused_by_name(cluster: LocalCluster) -> None:
    with pytest.raises(Busy, match=rf"lock is held by process {os.getpid()} since .* \(astra run\)"):
        open_cluster(cluster.folder)


# ---- runs


def test_apply_counts_generations_as_the_api_server_does(cluster: LocalCluster) -> None:
    assert cluster.put_run(run_manifest(seed=1))["metadata"]["generation"] == 1
    assert cluster.put_run(run_manifest(seed=1))["metadata"]["generation"] == 1
    assert cluster.put_run(run_manifest(seed=2))["metadata"]["generation"] == 2


def test_what_a_command_set_stays_until_the_manifest_says_otherwise(cluster: LocalCluster) -> None:
    cluster.put_run(run_manifest(seed=1))
    cluster.runs.patch(KEY, {"suspend": True})
    assert cluster.put_run(run_manifest(seed=2))["spec"] == {"seed": 2, "suspend": True}
    assert cluster.put_run(run_manifest(seed=2, suspend=False))["spec"] == {"seed": 2, "suspend": False}
    with pytest.raises(ValueError, match="only suspend, rerun, retry can be patched"):
        cluster.runs.patch(KEY, {"seed": 3})


def test_intents_of_other_commands_are_taken_in_order(cluster: LocalCluster) -> None:
    cluster.put_run(run_manifest())
    leave_intent(cluster.folder, KEY, {"suspend": True}, 1)
    leave_intent(cluster.folder, KEY, {"suspend": False, "rerun": "x"}, 2)
    leave_intent(cluster.folder, RunKey("RLRun", "default", "none"), {"suspend": True}, 3)
    assert cluster.tick() == {KEY}
    (run,) = read_runs(cluster.folder)
    assert run["spec"] == {"suspend": False, "rerun": "x"}
    assert cluster.tick() == set()


def test_store_is_a_folder_beside_the_state_unless_it_has_a_scheme(cluster: LocalCluster, tmp_path: Path) -> None:
    assert cluster.team("default")["storeUrl"] == (tmp_path / "store").as_uri()
    cluster.put_team("default", {"storeUrl": "data/x"})
    assert cluster.team("default") == {"isolation": "Process", "storeUrl": (tmp_path.parent / "data" / "x").as_uri()}
    cluster.put_team("default", {"storeUrl": "s3://bucket/x"})
    assert cluster.team("default")["storeUrl"] == "s3://bucket/x"


def test_progress_is_asked_over_http_and_silence_is_none(cluster: LocalCluster) -> None:
    assert cluster.progress({"status": {"phase": "Pending"}}) is None
    assert cluster.progress({"status": {"phase": "Running", "podIP": "127.16.0.9"}}) is None


# ---- the contract that every cluster keeps


@pytest.fixture(params=["memory", "local"])
def any_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryCluster()
        return
    with contextlib.closing(open_cluster(tmp_path)) as found:
        yield found


def test_contract_of_apply_and_children(any_cluster: Any) -> None:
    cluster: Cluster = any_cluster
    run, other = any_cluster.put_run(run_manifest()), any_cluster.put_run(run_manifest("other"))
    config = {**CONFIG, "metadata": {"name": "config", "labels": {"a": "1"}}}
    assert cluster.apply([config], run) == ["config"]
    assert cluster.apply([{**config, "metadata": {"name": "config", "annotations": {"end": "x"}}, "data": {"a.txt": "new"}}], run) == []
    (found,) = cluster.children(run["metadata"]["uid"])
    assert (found["data"], found["metadata"]["labels"], found["metadata"]["annotations"]) == ({"a.txt": "hello"}, {}, {"end": "x"})
    with pytest.raises(Conflict):
        cluster.apply([config, {**config, "metadata": {"name": "never"}}], other)
    assert cluster.children(other["metadata"]["uid"]) == []
    found["data"]["a.txt"] = "changed outside"
    assert cluster.children(run["metadata"]["uid"])[0]["data"] == {"a.txt": "hello"}


def test_contract_of_runs_and_status(any_cluster: Any) -> None:
    cluster: Cluster = any_cluster
    assert cluster.get_run(*KEY) is None
    any_cluster.put_run(run_manifest())
    run = cluster.get_run(*KEY)
    assert run is not None
    cluster.write_status(run, {"stage": "x"})
    assert [item["status"] for item in cluster.list_runs()] == [{"stage": "x"}]
    with pytest.raises(Gone):
        cluster.write_status({**run, "metadata": {**run["metadata"], "uid": "another"}}, {})
    with pytest.raises(Gone):
        cluster.write_status({**run, "metadata": {**run["metadata"], "name": "none"}}, {})


def test_contract_of_deleting_what_is_not_there(any_cluster: Any) -> None:
    any_cluster.put_run(run_manifest())
    any_cluster.delete({"kind": "Job", "metadata": {"name": "none", "namespace": "default", "uid": "u"}})
