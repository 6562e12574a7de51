"""The Job controller in small: shards that retry by themselves, pod failure policies, suspension. No process runs here."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from astra_operator.clusters.base import format_time
from astra_operator.clusters.local_controllers import missing_pods, surplus_pods, workload_status
from astra_operator.desired.launchers import indexed_job, job
from astra_operator.desired.pod import PodNeeds

Object = dict[str, Any]
NOW = datetime(2030, 1, 1, tzinfo=UTC)
NEEDS = PodNeeds("request", "image", {"l": "1"})


class Shards:
    """An Indexed Job as the operator builds it, with its pods and a clock."""

    def __init__(self, shards: int = 2, retries: int = 2) -> None:
        self.item = indexed_job("w", NEEDS, shards, retries)
        self.item["metadata"] |= {"namespace": "default", "uid": "w1"}
        self.pods: list[Object] = []
        self.now = NOW
        self.control()

    def control(self, seconds: float = 0) -> list[str]:
        """Let time pass and the controller work; return the names of the pods that it makes."""
        self.now += timedelta(seconds=seconds)
        fresh = missing_pods(self.item, self.pods, self.now)
        self.pods += fresh
        self.item["status"] = workload_status(self.item, self.pods, self.now)
        return [pod["metadata"]["name"] for pod in fresh]

    def end(self, name: str, code: int | None, disrupted: bool = False) -> None:
        pod = next(pod for pod in self.pods if pod["metadata"]["name"] == name)
        ended = {"exitCode": code, "finishedAt": format_time(self.now)}
        pod["status"] = {"phase": "Failed" if code or code is None else "Succeeded"}
        if code is not None:
            pod["status"]["containerStatuses"] = [{"name": "job", "state": {"terminated": ended}}]
        if disrupted:
            pod["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]

    @property
    def conditions(self) -> list[str]:
        return [f"{item['type']} {item['reason']}" for item in self.item["status"].get("conditions", []) if item["status"] == "True"]


def test_a_failed_shard_gets_another_pod_of_another_name_after_a_growing_delay() -> None:
    shards = Shards()
    last = "w-0"
    for delay in (10, 20):
        shards.end(last, 75)
        assert shards.control(delay - 1) == []
        (last,) = shards.control(1)
        assert last.startswith("w-0-")
        assert len(last) == len("w-0-") + 5
    assert len({pod["metadata"]["name"] for pod in shards.pods}) == 4
    assert shards.conditions == []


def test_a_shard_that_failed_too_often_ends_the_job_once_the_others_have_ended() -> None:
    shards = Shards(retries=1)
    shards.end("w-0", 75)
    (last,) = shards.control(10)
    shards.end(last, 1)
    assert shards.control() == []
    assert shards.conditions == ["FailureTarget MaxFailedIndexesExceeded"]
    assert [pod["metadata"]["name"] for pod in surplus_pods(shards.item, shards.pods)] == ["w-1"]
    shards.end("w-1", 85)
    shards.control()
    assert shards.conditions == ["FailureTarget MaxFailedIndexesExceeded", "Failed MaxFailedIndexesExceeded"]
    assert shards.control(1000) == []


@pytest.mark.parametrize(("code", "disrupted"), [(85, False), (143, True), (None, True)], ids=["stopped", "evicted", "lost"])
def test_what_is_nobodys_fault_is_replaced_at_once_and_for_ever(code: int | None, disrupted: bool) -> None:
    shards = Shards(retries=0)
    last = "w-1"
    for _ in range(5):
        shards.end(last, code, disrupted)
        (last,) = shards.control()
    assert shards.conditions == []


def test_bad_input_ends_all_of_it() -> None:
    shards = Shards(shards=3)
    shards.end("w-1", 78)
    assert shards.control() == []
    assert shards.conditions == ["FailureTarget PodFailurePolicy"]
    message = shards.item["status"]["conditions"][0]["message"]
    assert message == "Container job for pod default/w-1 failed with exit code 78 matching FailJob rule at index 2"


def test_a_shard_that_has_succeeded_is_remembered_without_its_pod() -> None:
    shards = Shards()
    shards.end("w-0", 0)
    shards.control()
    assert shards.item["status"]["completedIndexes"] == "0"
    shards.pods = [pod for pod in shards.pods if pod["metadata"]["name"] != "w-0"]
    assert shards.control(100) == []
    shards.end("w-1", 0)
    shards.control()
    assert shards.conditions == ["Complete CompletionsReached"]


def test_a_job_that_is_suspended_ends_its_pods_and_makes_them_anew() -> None:
    shards = Shards()
    began = shards.item["status"]["startTime"]
    shards.item["spec"]["suspend"] = True
    shards.control(5)
    assert shards.conditions == ["Suspended SuspendedTrue"]
    assert "startTime" not in shards.item["status"]
    assert len(surplus_pods(shards.item, shards.pods)) == 2
    shards.pods = []
    shards.item["spec"]["suspend"] = False
    assert shards.control(5) == ["w-0", "w-1"]
    assert shards.item["status"]["startTime"] > began


def test_a_plain_job_tries_once() -> None:
    item = job("w", NEEDS)
    item["metadata"] |= {"namespace": "default", "uid": "w1"}
    (pod,) = missing_pods(item, [], NOW)
    pod["status"] = {"phase": "Failed"}
    assert missing_pods(item, [pod], NOW + timedelta(hours=1)) == []
    status = workload_status(item, [pod], NOW)
    assert [condition["reason"] for condition in status["conditions"]] == ["BackoffLimitExceeded"]
