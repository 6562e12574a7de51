"""Which pods a workload needs and what its status says: the Job and PyTorchJob controllers, without processes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from astra_operator.clusters.local_controllers import add_ranks, missing_pods, surplus_pods, workload_status

NOW = datetime(2030, 1, 1, tzinfo=UTC)
Object = dict[str, Any]


def workload(kind: str, spec: Object) -> Object:
    metadata = {"name": "w", "namespace": "default", "uid": "w1"}
    return {"apiVersion": "x/v1", "kind": kind, "metadata": metadata, "spec": spec}


TEMPLATE: Object = {
    "metadata": {"labels": {"l": "1"}},
    "spec": {"containers": [{"name": "job", "command": ["true"], "env": [{"name": "RANK", "value": "own"}]}]},
}


def job(**spec: Any) -> Object:
    return workload("Job", {"template": TEMPLATE} | spec)


def torch_job(workers: int) -> Object:
    replicas = {"Master": {"replicas": 1, "template": TEMPLATE}, "Worker": {"replicas": workers, "template": TEMPLATE}}
    return workload("PyTorchJob", {"pytorchReplicaSpecs": replicas, "nprocPerNode": "1"})


def env(pod: Object) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in pod["spec"]["containers"][0]["env"]}


def phase(pod: Object, value: str) -> Object:
    return {**pod, "status": {"phase": value}}


def final(status: Object) -> list[tuple[str, str]]:
    return [(item["type"], item["reason"]) for item in status.get("conditions", []) if item["status"] == "True"]


def test_plain_job_has_one_pod_with_the_templates_labels() -> None:
    (pod,) = missing_pods(job(), [], NOW)
    assert pod["metadata"]["name"] == "w-0"
    assert pod["metadata"]["labels"] == {"l": "1", "batch.kubernetes.io/job-name": "w"}
    assert pod["metadata"]["ownerReferences"][0]["uid"] == "w1"
    assert missing_pods(job(), [pod], NOW) == []


def test_indexed_job_keeps_to_its_parallelism() -> None:
    item = job(completions=3, parallelism=2, completionMode="Indexed")
    first = missing_pods(item, [], NOW)
    assert [env(pod)["JOB_COMPLETION_INDEX"] for pod in first] == ["0", "1"]
    assert first[1]["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == "1"
    later = missing_pods(item, [phase(first[0], "Succeeded"), phase(first[1], "Running")], NOW)
    assert [pod["metadata"]["name"] for pod in later] == ["w-2"]


def test_suspended_workloads_get_no_pods() -> None:
    assert missing_pods(job(suspend=True), [], NOW) == []
    item = torch_job(1)
    item["spec"]["runPolicy"] = {"suspend": True}
    assert missing_pods(item, [], NOW) == []


def test_pytorch_job_tells_every_rank_where_the_master_is() -> None:
    item = torch_job(2)
    pods = missing_pods(item, [], NOW)
    assert [pod["metadata"]["name"] for pod in pods] == ["w-master-0", "w-worker-0", "w-worker-1"]
    add_ranks(item, pods, "127.1.2.3", 4321)
    values = [env(pod) for pod in pods]
    assert [value["PET_NODE_RANK"] for value in values] == ["0", "1", "2"]
    assert {value["WORLD_SIZE"] for value in values} == {"3"}
    assert {value["MASTER_ADDR"] for value in values} == {"127.1.2.3"}
    assert {value["PET_MASTER_PORT"] for value in values} == {values[0]["MASTER_PORT"]} == {"4321"}
    assert {value["RANK"] for value in values} == {"own"}, "what a pod says itself is left alone"


def test_status_of_jobs() -> None:
    item = job(completions=2, parallelism=2, completionMode="Indexed")
    pods = missing_pods(item, [], NOW)
    assert workload_status(item, [], NOW) == {"startTime": "2030-01-01T00:00:00Z", "active": 0, "succeeded": 0, "failed": 0}
    running = workload_status(item, [phase(pods[0], "Running"), phase(pods[1], "Succeeded")], NOW)
    assert (running["active"], running["succeeded"], final(running)) == (1, 1, [])
    assert final(workload_status(item, [phase(pod, "Succeeded") for pod in pods], NOW)) == [("Complete", "CompletionsReached")]
    item["status"] = workload_status(item, [phase(pods[0], "Failed"), pods[1]], NOW)
    assert final(item["status"]) == [("FailureTarget", "BackoffLimitExceeded")], "a job is not Failed before its last pod has ended"
    assert surplus_pods(item, pods[1:]) == pods[1:]
    lost = workload_status(item, [phase(pods[0], "Failed")], NOW)
    assert final(lost) == [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]


def test_status_of_pytorch_jobs_follows_the_master() -> None:
    item = torch_job(1)
    master, worker = missing_pods(item, [], NOW)
    running = workload_status(item, [phase(master, "Running"), phase(worker, "Succeeded")], NOW)
    assert final(running) == [("Running", "PyTorchJobRunning")]
    item["status"] = running
    assert final(workload_status(item, [phase(master, "Succeeded"), phase(worker, "Running")], NOW)) == [
        ("Succeeded", "PyTorchJobSucceeded")
    ]
    assert final(workload_status(item, [phase(master, "Running"), phase(worker, "Failed")], NOW)) == [("Failed", "PyTorchJobFailed")]


def test_a_final_condition_is_final() -> None:
    item = job()
    (pod,) = missing_pods(item, [], NOW)
    item["status"] = workload_status(item, [phase(pod, "Failed")], NOW)
    assert workload_status(item, [phase(pod, "Succeeded")], NOW + timedelta(days=365)) == item["status"]
    assert missing_pods(item, [], NOW) == []
