"""Processes as a real cluster's pods: shards that are tried again, last words, stacks, and ranks that end with their master."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from astra_operator.clusters.local import LocalCluster
from tests.unit.local.test_local_cluster import CONFIG, cluster, ended, job, message, pods, run_manifest, torch_job, until, work_of

__all__ = ["cluster"]
INDEXED = {"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "maxFailedIndexes": 0}
IGNORED = {"podFailurePolicy": {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [85]}}]}}
STUCK = (
    f"exec {sys.executable} -c 'import os; from pathlib import Path\n"
    "from astra_jobs.runtime.progress import FileProgress, serve\n"
    'server = serve(FileProgress(None), os.environ["POD_IP"], 9464)\n'
    'Path("ready").touch()\n'
    "while True: pass'"
)


def fallback(workload: dict[str, Any]) -> dict[str, Any]:
    workload["spec"]["template"]["spec"]["containers"][0]["terminationMessagePolicy"] = "FallbackToLogsOnError"
    return workload


def test_a_shard_that_stops_after_a_checkpoint_is_tried_again_alone(cluster: LocalCluster, tmp_path: Path) -> None:
    run = cluster.put_run(run_manifest())
    first = f"f={tmp_path}/tried; [ $JOB_COMPLETION_INDEX = 1 ] || [ -e $f ] || {{ touch $f; exit 85; }}"
    script = f"{first}; echo ok > result.json"
    cluster.apply([CONFIG, job(script, **INDEXED, **IGNORED)], run)
    until(cluster, lambda: len([pod for pod in pods(cluster, run) if pod["status"]["phase"] == "Succeeded"]) == 2)
    names = sorted(pod["metadata"]["name"] for pod in pods(cluster, run))
    assert len(names) == 3
    assert names[0] == "work-0"
    assert names[1].startswith("work-0-")
    work = work_of(cluster, run)
    until(cluster, lambda: cluster.tick() == set())
    assert ended(work) in ([], ["Complete"])


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo one; echo two >&2; exit 3", "one\ntwo"), ("echo one; echo mine > result.json; exit 3", "mine\n"), ("echo one", "")],
    ids=["log", "own words", "success"],
)
def test_the_end_of_the_log_stands_for_a_result_that_a_failed_job_did_not_write(cluster: LocalCluster, script: str, said: str) -> None:
    run = cluster.put_run(run_manifest())
    cluster.apply([CONFIG, fallback(job(script))], run)
    until(cluster, lambda: pods(cluster, run) and pods(cluster, run)[0]["status"]["phase"] in ("Failed", "Succeeded"))
    assert message(pods(cluster, run)[0]) == said


def test_a_hung_pod_tells_its_stacks(cluster: LocalCluster) -> None:
    run = cluster.put_run(run_manifest())
    work = job(STUCK)
    box = work["spec"]["template"]["spec"]["containers"][0]
    box["env"] = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "PYTHONPATH", "value": os.getcwd()},
    ]
    cluster.apply([CONFIG, work], run)
    cluster.tick()
    (pod,) = pods(cluster, run)
    until(cluster, (cluster.kubelet.home(pod["metadata"]["uid"]) / "root" / "ready").exists, 60)
    (pod,) = pods(cluster, run)
    assert "in <module>" in until(cluster, lambda: cluster.stacks(pod), 30)


def test_ranks_end_with_their_master(cluster: LocalCluster) -> None:
    run = cluster.put_run(run_manifest())
    cluster.apply([CONFIG, torch_job('[ "$RANK" = 0 ] || exec sleep 600; echo ok > result.json', 2)], run)
    until(cluster, lambda: [pod["status"]["phase"] for pod in pods(cluster, run)] == ["Succeeded"])


def test_a_pod_that_was_told_to_end_by_the_machine_is_disrupted(cluster: LocalCluster) -> None:
    run = cluster.put_run(run_manifest())
    cluster.apply([CONFIG, job("sleep 600")], run)
    cluster.tick()
    until(cluster, lambda: cluster.stop_all())
    (pod,) = pods(cluster, run)
    assert pod["status"]["conditions"] == [{"type": "DisruptionTarget", "status": "True", "reason": "Shutdown"}]
