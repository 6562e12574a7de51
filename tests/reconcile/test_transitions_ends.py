"""The table of ends: what becomes of a pod or a workload → what its launch is ended for, what is counted, and what follows."""

from typing import Any

import pytest

from astra_jobs.api.v1alpha1.status import REASONS
from astra_operator.observed import End
from tests.reconcile.harness import Object, bad
from tests.reconcile.transition_kit import INDEX, RUNNING, Act, Row, Scene, check, corpus, fail, moving, shards, stopped, training

AGAIN = ["Start collect/1"]
ENDED = ["End Failed", "Remove Job"]


def crash(code: int, **state: Any) -> Act:
    return lambda scene: scene.cluster.finish(scene.pod, None, code, **state)


def last_chance(scene: Scene) -> None:
    corpus(scene, limits={"maxRestarts": 0})


def hurried(scene: Scene) -> None:
    corpus(scene, limits={"stallSeconds": 60, "maxRestarts": 0})


def gone_after_success(scene: Scene) -> None:
    scene.succeed(scene.pod)
    scene.condition_of_job("Complete", "CompletionsReached")
    scene.cluster.vanish(scene.pod)


def silent_job(kind: str, reason: str, message: str = "") -> Act:
    """A workload that is given up while no pod is left that tells why."""

    def event(scene: Scene) -> None:
        for pod in scene.pods(scene.key.name):
            scene.cluster.vanish(pod)
        scene.condition_of_job(kind, reason, message)

    return event


def init_fails(scene: Scene) -> None:
    ended = {"exitCode": 1, "reason": "Error", "message": "no master\ngave up", "startedAt": "2030-01-01T00:00:00Z"}
    scene.pod["status"] = {"phase": "Failed", "initContainerStatuses": [{"name": "init", "state": {"terminated": ended}}]}


JOBS = [
    Row("the store fails", corpus, fail, ENDED, moving("Restarting"), 10, AGAIN, restarts=1, says="spec: no store"),
    Row("the process crashes", corpus, crash(139), ENDED, moving("Restarting"), 10, AGAIN, restarts=1, says="ended with signal 11"),
    Row("it ends without a result", corpus, crash(0), ENDED, moving("Restarting"), 10, AGAIN, restarts=1, says="exit code 0 but no result"),
    Row("its init container fails", corpus, init_fails, ENDED, moving("Restarting"), 10, AGAIN, restarts=1, says="no master | gave up"),
    Row(
        "it uses too much memory",
        corpus,
        crash(137, reason="OOMKilled"),
        ["End OutOfMemory", "Remove Job"],
        moving("Restarting"),
        10,
        AGAIN,
        restarts=1,
        says="pod.resources.memory",
    ),
    Row(
        "it is stopped after a new checkpoint",
        corpus,
        lambda scene: fail(scene, 85, "Failed", "told to stop", checkpoint=7),
        ["End Preempted", "Remove Job", "Start collect/1"],
        RUNNING,
    ),
    Row(
        "it is stopped before any checkpoint",
        corpus,
        lambda scene: fail(scene, 85, "Failed", "told to stop"),
        ["End Preempted", "Remove Job"],
        moving("Restarting"),
        10,
        AGAIN,
        restarts=1,
    ),
    Row("its pod is evicted", corpus, lambda scene: scene.cluster.lose(scene.pod, "Evicted"), ["End Lost", "Remove Job", *AGAIN], RUNNING),
    Row(
        "its node is lost while it says something else",
        corpus,
        lambda scene: (fail(scene), scene.pod["status"].update(conditions=[{"type": "DisruptionTarget", "status": "True"}])),
        ["End Lost", "Remove Job", *AGAIN],
        RUNNING,
    ),
    Row("its pod is deleted", corpus, lambda scene: scene.cluster.vanish(scene.pod), ["End Vanished", "Remove Job", *AGAIN], RUNNING),
    Row(
        "its pod is gone and its job given up",
        corpus,
        silent_job("Failed", "BackoffLimitExceeded"),
        ["End Vanished", "Remove Job", *AGAIN],
        RUNNING,
    ),
    Row(
        "its job is deleted",
        corpus,
        lambda scene: (scene.cluster.vanish(scene.job()), scene.cluster.settle()),
        ["End Vanished", *AGAIN],
        RUNNING,
    ),
    Row(
        "its pod is gone before its result was read",
        corpus,
        gone_after_success,
        ["End Unread", "Remove Job", *AGAIN],
        RUNNING,
    ),
    Row(
        "it refuses its input",
        corpus,
        lambda scene: fail(scene, 78, "BadInput", "found 0 tools; give another command", where="sources[0].mcp"),
        ["End BadInput"],
        stopped("BadInput"),
        says="stage collect: sources[0].mcp: found 0 tools; give another command",
    ),
    Row(
        "it fails once more than it may",
        last_chance,
        crash(1, message="Traceback\n  File x\nValueError: no\n"),
        ["End Failed"],
        stopped("Failed"),
        says="ended with exit code 1: Traceback | File x | ValueError: no (restarts: 0, limits.maxRestarts is 0)",
    ),
    Row(
        "it uses too much memory once more than it may",
        last_chance,
        crash(137, reason="OOMKilled"),
        ["End OutOfMemory"],
        stopped("OutOfMemory"),
    ),
    Row(
        "it makes no progress",
        hurried,
        lambda scene: scene.cluster.advance(61),
        ["End Stuck", "Remove Job"],
        stopped("Stuck"),
        says="limits.stallSeconds",
    ),
    Row(
        "it takes too long",
        lambda scene: corpus(scene, limits={"deadlineSeconds": 100}),
        lambda scene: scene.cluster.advance(101),
        ["End Deadline", "Remove Job"],
        stopped("DeadlineExceeded"),
        says="limits.deadlineSeconds is 100",
    ),
    Row(
        "its job has a deadline of its own",
        last_chance,
        silent_job("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"),
        ["End Deadline", "Remove Job"],
        stopped("DeadlineExceeded"),
        says="longer than specified deadline",
    ),
]


def shard_fails(index: int, code: int = 75, times: int = 1, **state: Any) -> Act:
    """Let a shard fail, and each of its replacements after the Job controller's delay."""

    def event(scene: Scene) -> None:
        for turn in range(times):
            pod = scene.of_shard(index)[-1]
            result = None if state else bad("StoreUnavailable", "no store", code)
            scene.cluster.finish(pod, result, code, **state)
            scene.work()
            if turn + 1 < times:
                scene.wait(100)

    return event


def shard_evicted(scene: Scene) -> None:
    scene.cluster.lose(scene.of_shard(0)[-1], "Evicted")


def one_shard_silent(scene: Scene) -> None:
    for _ in range(2):
        assert "End Stuck" not in scene.steps
        scene.cluster.advance(40)
        scene.tell(scene.of_shard(0)[-1])
        scene.work()


def impatient(scene: Scene) -> None:
    shards(scene, limits={"stallSeconds": 60})


def few_tries(scene: Scene) -> None:
    shards(scene, limits={"maxRestarts": 1})


SHARDS = [
    Row("one shard fails: it is tried again alone", shards, shard_fails(0), [], RUNNING, restarts=0),
    Row("one shard is evicted", shards, shard_evicted, [], RUNNING),
    Row("one shard stops after a checkpoint", shards, shard_fails(0, 85), [], RUNNING),
    Row(
        "one shard fails once more than it may",
        few_tries,
        shard_fails(0, times=2),
        ["End Failed"],
        stopped("StoreUnavailable"),
        restarts=1,
        says="spec: no store (restarts: 1, limits.maxRestarts is 1)",
    ),
    Row("one shard refuses its input", shards, shard_fails(1, 78), ["End BadInput"], stopped("StoreUnavailable")),
    Row(
        "the job says that a shard refused its input, and no pod is left",
        shards,
        silent_job(
            "Failed", "PodFailurePolicy", "Container job for pod default/x failed with exit code 78 matching FailJob rule at index 2"
        ),
        ["End BadInput"],
        stopped("BadInput"),
        says="exit code 78",
    ),
    Row(
        "the job says that a shard failed too often, and no pod is left",
        few_tries,
        silent_job("Failed", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"),
        ["End Failed", "Remove Job"],
        moving("Restarting"),
        10,
        ["Start synthesise/1"],
        restarts=1,
        says="maximal number of failed indexes",
    ),
    Row(
        "one shard is silent while the other goes on",
        impatient,
        one_shard_silent,
        ["End Stuck", "Remove Job"],
        restarts=1,
        says="-1 made no",
    ),
]


def rank(scene: Scene, role: str) -> Object:
    return next(pod for pod in scene.pods("train") if role in pod["metadata"]["name"])


TRAIN = ["Start train/1"]


def rank_made_anew(scene: Scene) -> None:
    """A rank's pod is deleted, and the training operator makes another of the same name."""
    scene.cluster.advance(30)
    scene.cluster.vanish(rank(scene, "worker"))
    scene.cluster.settle()


def rank_made_anew_early(scene: Scene) -> None:
    for pod in scene.pods("train"):
        pod["status"] = {"phase": "Pending"}
    scene.job()["status"].pop("conditions")
    rank_made_anew(scene)


def master_done(scene: Scene) -> None:
    scene.succeed(rank(scene, "master"))
    scene.cluster.finish(rank(scene, "worker"), None, 1)


RANKS = [
    Row(
        "one rank dies: all end",
        training,
        lambda scene: scene.cluster.finish(rank(scene, "worker"), None, 137),
        ["End Failed", "Remove PyTorchJob"],
        moving("Restarting"),
        10,
        TRAIN,
        restarts=1,
        says="signal 9",
    ),
    Row(
        "one rank is evicted",
        training,
        lambda scene: scene.cluster.lose(rank(scene, "worker"), "Evicted"),
        ["End Lost", "Remove PyTorchJob", *TRAIN],
        RUNNING,
    ),
    Row("one rank is made anew while the others wait", training, rank_made_anew, ["End Lost", "Remove PyTorchJob", *TRAIN], RUNNING),
    Row("one rank is made anew before the others ran", training, rank_made_anew_early, [], RUNNING),
    Row("rank 0 has its artifact: how the others end is of no matter", training, master_done, [], {"Succeeded": "True Finished"}),
]


@pytest.mark.parametrize("row", JOBS + SHARDS + RANKS, ids=lambda row: row.name)
def test_what_an_end_is_worth(row: Row) -> None:
    check(row)


def test_a_shard_that_fails_is_replaced_after_a_delay_and_counted() -> None:
    scene = check(SHARDS[0])
    assert len(scene.of_shard(0)) == 1
    scene.wait(10)
    old, new = scene.of_shard(0)
    assert new["metadata"]["name"].startswith(old["metadata"]["name"] + "-")
    assert scene.status(scene.key).attempt.restarts == 1  # type: ignore[union-attr]
    scene.finish()
    assert scene.reasons(scene.key)["Succeeded"] == "True Finished"
    assert [name for name in scene.cluster.launched if "synthesise" in name] == ["uid-000001/envs-envs-1-synthesise-0"]


def test_what_was_tried_again_stays_counted_after_its_pods_are_gone() -> None:
    scene = Scene()
    shards(scene, limits={"maxRestarts": 1, "stallSeconds": 60})
    shard_fails(0)(scene)
    scene.wait(10)
    scene.start_all()
    scene.wait(61)
    end = next(iter(annotation(scene, "astra.dev/end")))
    assert (End.model_validate_json(end).cause, End.model_validate_json(end).retries) == ("Stuck", 1)
    assert scene.reasons(scene.key)["Stalled"] == "True Stuck", "one retry and one restart are more than maxRestarts"
    assert scene.status(scene.key).attempt.restarts == 1, "no restart followed the last end"  # type: ignore[union-attr]


def annotation(scene: Scene, name: str) -> list[str]:
    configs = [item for (kind, _, _), item in scene.cluster.objects.items() if kind == "ConfigMap"]
    return [item["metadata"]["annotations"][name] for item in configs if name in item["metadata"].get("annotations", {})]


def test_stacks_of_every_rank_are_kept_before_a_stuck_training_is_removed() -> None:
    scene = Scene()
    training(scene, limits={"stallSeconds": 60})
    for pod in scene.pods("train"):
        scene.cluster.dumps[pod["metadata"]["name"]] = "x" * 9000 + "\nFile loop.py in all_reduce\x00\n"
    scene.wait(61)
    assert "End Stuck" in scene.steps
    (kept,) = annotation(scene, "astra.dev/stacks")
    assert len(kept.encode()) <= 8192
    assert kept.count("File loop.py in all_reduce?") == 2
    assert "== rl-rl-1-train-0-master-0\n" in kept
    assert "\n== rl-rl-1-train-0-worker-0\n" in kept
    calls = [call for call, _ in scene.cluster.log]
    assert calls.index("stacks") < calls.index("delete")
    assert "annotation astra.dev/stacks of ConfigMap rl-rl-1-train-0" in scene.message(scene.key, "Reconciling")


def test_a_stuck_launch_that_does_not_answer_is_ended_all_the_same() -> None:
    scene = Scene()
    corpus(scene, limits={"stallSeconds": 60})
    scene.wait(61)
    assert "End Stuck" in scene.steps
    assert annotation(scene, "astra.dev/stacks") == []


def test_an_artifact_whose_pod_was_never_read_is_found_again_and_was_not_there_before() -> None:
    scene = Scene()
    corpus(scene)
    gone_after_success(scene)
    scene.finish(reused=True)
    assert scene.reasons(scene.key)["Succeeded"] == "True Finished"
    assert scene.status(scene.key).attempt.restarts == 0  # type: ignore[union-attr]


def test_news_of_a_pod_that_comes_after_that_of_its_job_is_waited_for() -> None:
    scene = Scene()
    corpus(scene)
    entry = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": "2030-01-01T00:00:00Z"}
    scene.job()["status"]["conditions"] = [entry]
    scene.steps.clear()
    scene.controller.wake_all()
    scene.controller.work()  # the job has failed, and its pod is still seen running
    assert scene.steps == []
    fail(scene, 78, "NothingKept", "no record left")
    scene.work()
    assert scene.reasons(scene.key)["Stalled"] == "True NothingKept"


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_job_names_its_own_reason(reason: str) -> None:
    scene = Scene()
    last_chance(scene)
    fail(scene, 78, reason, "why")
    scene.work()
    assert scene.reasons(scene.key)["Stalled"] == f"True {reason}"


def test_index_label_is_the_real_one() -> None:
    scene = Scene()
    shards(scene)
    assert {pod["metadata"]["labels"][INDEX] for pod in scene.pods("synthesise")} == {"0", "1"}
