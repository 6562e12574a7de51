"""The table of pods in which others have a hand: containers beside ours, ranks that wait, nodes that die."""

from collections.abc import Callable
from typing import Any

import pytest

from astra_jobs.api.result import JobResult
from astra_operator.clusters.base import format_time
from tests.reconcile.harness import Object, bad, good
from tests.reconcile.transition_kit import RUNNING, Act, Row, Scene, blocked, check, corpus, fail, moving, shards, stopped, training

EARLY = "2030-01-01T00:00:00Z"
LAUNCH = "tools-corpus-1-collect-0"
DONE = {"Succeeded": "True Finished"}
REMOVED = ["Remove Job"]
PROXY = {"name": "istio-proxy", "state": {"running": {"startedAt": EARLY}}}


def pending(scene: Scene, **spec: Any) -> None:
    """A ToolCorpus whose pod was made and has not started."""
    scene.put("ToolCorpus", **spec)
    scene.work()


def ended(code: int, result: JobResult | None, name: str = "job") -> Object:
    message = result.encode().decode() if result else ""
    reason = "Error" if code else "Completed"
    return {"name": name, "state": {"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": EARLY}}}


def beside(pod: Object, own: Object, first: bool, phase: str = "Running", **proxy: Any) -> None:
    """Show a pod in which a proxy stands before or after the job's container."""
    other = PROXY | ({"state": proxy} if proxy else {})
    states = [other, own] if first else [own, other]
    pod["status"] = pod["status"] | {"phase": phase, "startTime": EARLY, "containerStatuses": states}


def succeeds(first: bool = True, phase: str = "Running", **proxy: Any) -> Act:
    return lambda scene: beside(scene.pod, ended(0, good(scene.request(scene.pod), 0)), first, phase, **proxy)


def fails(code: int, first: bool = True) -> Act:
    return lambda scene: beside(scene.pod, ended(code, bad("StoreUnavailable", "no store", code)), first)


def rank(scene: Scene, role: str) -> Object:
    return next(pod for pod in scene.pods("train") if pod["metadata"]["labels"]["training.kubeflow.org/replica-type"] == role)


def master_done(scene: Scene) -> None:
    for pod in scene.pods("train"):
        master = pod is rank(scene, "master")
        beside(pod, ended(0, good(scene.request(pod), 0) if master else None, "pytorch"), first=True)


def shard_done_and_held(scene: Scene) -> None:
    for pod in scene.pods("synthesise"):
        beside(pod, ended(0, good(scene.request(pod), scene.shard(pod))), first=False)


def shard_failed_and_held(scene: Scene) -> None:
    beside(scene.of_shard(1)[-1], ended(75, bad("StoreUnavailable", "no store", 75)), first=True)


def native(state: Object, last: Object | None = None, **more: Any) -> Act:
    """A native sidecar that is not up: the pod's own container waits for it."""

    def event(scene: Scene) -> None:
        entry = {"name": "istio-proxy", "state": state, **more} | ({"lastState": {"terminated": last}} if last else {})
        scene.pod["spec"]["initContainers"] = [{"name": "istio-proxy", "restartPolicy": "Always"}]
        own = {"name": "job", "state": {"waiting": {"reason": "PodInitializing"}}}
        scene.pod["status"] = {"phase": "Pending", "startTime": EARLY, "initContainerStatuses": [entry], "containerStatuses": [own]}
        scene.cluster.advance(31)

    return event


def init(state: Object, phase: str = "Pending") -> Act:
    def event(scene: Scene) -> None:
        own = {"name": "job", "state": {"waiting": {"reason": "PodInitializing"}}}
        statuses = {"initContainerStatuses": [{"name": "init-pytorch", "state": state}], "containerStatuses": [own]}
        scene.pod["status"] = {"phase": phase, "startTime": EARLY} | statuses
        scene.cluster.advance(31)

    return event


BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container=istio-proxy pod=p_n(u)"}}

SIDECARS = [
    Row("its job succeeds and the proxy before it runs on", corpus, succeeds(first=True), REMOVED, DONE),
    Row("its job succeeds and the proxy after it runs on", corpus, succeeds(first=False), REMOVED, DONE),
    Row("its job succeeds and the proxy fails after it", corpus, succeeds(phase="Failed", terminated={"exitCode": 1}), [], DONE),
    Row(
        "its job fails and the proxy runs on",
        corpus,
        fails(75),
        ["End Failed", "Remove Job"],
        moving("Restarting"),
        10,
        ["Start collect/1"],
        restarts=1,
        says="spec: no store",
    ),
    Row("its job refuses its input and the proxy runs on", corpus, fails(78), ["End BadInput", "Remove Job"], stopped("StoreUnavailable")),
    Row("its ranks have ended and their proxies run on", training, master_done, ["Remove PyTorchJob"], DONE),
    Row(
        "its shards have ended and their proxies run on",
        shards,
        shard_done_and_held,
        ["Start merge/0", "Remove Job"],
        RUNNING,
    ),
    Row("one shard has failed and its proxy runs on: it is tried again alone", shards, shard_failed_and_held, ["Remove Pod"], RUNNING),
    Row(
        "a native sidecar ends again and again",
        pending,
        native(BACK_OFF, {"exitCode": 1}),
        [],
        moving("SidecarFailing"),
        says="istio-proxy: CrashLoopBackOff, back-off 5m0s, last with exit code 1",
    ),
    Row(
        "a native sidecar ends again and again, and is just being tried",
        pending,
        native({"running": {"startedAt": EARLY}}, {"exitCode": 1}, started=False),
        [],
        moving("SidecarFailing"),
        says="istio-proxy: ends again and again, last with exit code 1",
    ),
    Row(
        "a native sidecar is never ready",
        pending,
        native({"running": {"startedAt": EARLY}}, started=False),
        [],
        moving("Initialising"),
        says="sidecar istio-proxy is not ready yet",
    ),
    Row(
        "an init container takes long",
        pending,
        init({"running": {"startedAt": EARLY}}),
        [],
        moving("Initialising"),
        says="init container init-pytorch has not ended yet",
    ),
    Row(
        "an init container ends with the code that a job's bad input has",
        corpus,
        init({"terminated": {"exitCode": 78, "reason": "Error", "message": "no address"}}, "Failed"),
        ["End Failed", "Remove Job"],
        moving("Restarting"),
        restarts=1,
        says=f"init container init-pytorch of pod {LAUNCH}-0 ended with exit code 78: no address",
    ),
    Row(
        "the node refuses an init container",
        pending,
        init({"waiting": {"reason": "CreateContainerConfigError", "message": "container has runAsNonRoot and image will run as root"}}),
        [],
        blocked("ContainerRefused"),
        says="init-pytorch: CreateContainerConfigError container has runAsNonRoot",
    ),
]


# ---- ranks that wait


def half(scene: Scene, **spec: Any) -> None:
    """An RLRun of which one rank runs and the other waits for a node."""
    training(scene, limits={"stallSeconds": 60, "maxRestarts": 1} | spec)
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    rank(scene, "worker")["status"] = {"phase": "Pending", "conditions": [unscheduled]}
    scene.work()


def then(*acts: Callable[[Scene], object]) -> Act:
    def event(scene: Scene) -> None:
        for act in acts:
            act(scene)

    return event


def later(seconds: float) -> Act:
    return lambda scene: scene.wait(seconds)


def without_worker(scene: Scene) -> None:
    """The training operator may not make the second rank."""
    worker = rank(scene, "worker")
    del scene.cluster.objects["Pod", "default", worker["metadata"]["name"]]
    scene.job()["spec"]["pytorchReplicaSpecs"]["Worker"]["replicas"] = 0
    scene.job()["status"]["conditions"] = []
    scene.cluster.advance(3600)


GANGS = [
    Row("a rank waits for a node", half, later(3600), [], moving("WaitingForCapacity"), says="rl-rl-1-train-0-worker-0: 0/3 nodes"),
    Row(
        "a rank waits longer than it may",
        lambda scene: half(scene, pendingDeadlineSeconds=300),
        later(301),
        ["End PendingDeadline", "Remove PyTorchJob"],
        stopped("PendingDeadlineExceeded"),
        says="rl-rl-1-train-0-worker-0 waited for more than 300 s to start (limits.pendingDeadlineSeconds): WaitingForCapacity: 0/3",
    ),
    Row("its last rank runs after all", half, then(later(3600), lambda scene: scene.start_all(), later(59)), [], RUNNING),
    Row(
        "its last rank runs and then nothing happens",
        half,
        then(later(3600), lambda scene: scene.start_all(), later(61)),
        ["End Stuck", "Remove PyTorchJob"],
        moving("Restarting"),
        restarts=1,
    ),
    Row(
        "a rank was not made",
        lambda scene: training(scene, limits={"stallSeconds": 60}),
        without_worker,
        [],
        moving("Pending"),
        says="only 1 of 2 pods of rl-rl-1-train-0 were made",
    ),
    Row(
        "a shard waits for a node, and another hangs",
        lambda scene: shards(scene, limits={"stallSeconds": 60, "maxRestarts": 1}),
        then(lambda scene: scene.of_shard(1)[-1].update(status={"phase": "Pending"}), later(1), later(61)),
        ["End Stuck", "Remove Job"],
        moving("Restarting"),
        restarts=1,
    ),
]


# ---- nodes


def dies(scene: Scene) -> None:
    """A node goes; its pods are told to go after a while, and nobody on the node hears of it."""
    pod = scene.pod
    pod["spec"]["nodeName"] = "node-7"
    pod["metadata"]["deletionTimestamp"] = format_time(scene.cluster.clock)
    scene.cluster.dead.add(pod["metadata"]["name"])
    pod["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]


def silent(scene: Scene) -> None:
    scene.pod["spec"]["nodeName"] = "node-7"
    scene.pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "True"}]


def evicted(message: str, index: int = 0) -> Act:
    def event(scene: Scene) -> None:
        pod = scene.of_shard(index)[-1] if scene.key.kind == "EnvSynthesis" else scene.pod
        scene.cluster.lose(pod, "Evicted")
        pod["status"] |= {"message": message, "containerStatuses": [ended(137, None)]}

    return event


def shard_overflows_twice(scene: Scene) -> None:
    for _ in range(2):
        evicted(OVERFLOWS[0])(scene)
        scene.work()
        scene.start_all()


OVERFLOWS = [
    "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
    'Container job exceeded its local ephemeral storage limit "1Gi". ',
    'Usage of EmptyDir volume "out" exceeds the limit "1Gi". ',
]
PRESSURE = (
    "The node was low on resource: ephemeral-storage. Threshold quantity: 1, available: 0. Container job was using 9Gi, request is 1Gi. "
)

NODES = [
    Row(
        "its node does not answer", corpus, silent, [], moving("NodeLost"), says=f"pod {LAUNCH}-0 on node node-7: the node does not answer"
    ),
    Row(
        "its node does not answer for longer than a job may be silent",
        lambda scene: corpus(scene, limits={"stallSeconds": 60, "maxRestarts": 0}),
        then(silent, later(61)),
        ["End Lost", "Remove Job", "Start collect/1"],
        RUNNING,
    ),
    Row("its node has just died", corpus, then(dies, later(29)), [], RUNNING),
    Row(
        "its node has died",
        lambda scene: corpus(scene, limits={"maxRestarts": 0}),
        then(dies, later(31)),
        ["End Lost", "Remove Job"],
        moving("Restarting"),
        says=f"pod {LAUNCH}-0 on node node-7 was told to go",
    ),
    Row(
        "its node has been dead for long",
        lambda scene: corpus(scene, limits={"maxRestarts": 0}),
        then(dies, later(31), later(300)),
        ["End Lost", "Remove Job"],
        blocked("NodeLost"),
        says=f"kubectl delete pod {LAUNCH}-0 --force",
    ),
    Row(
        "its pod on a dead node is deleted by force",
        then(corpus, dies, later(31), later(300)),
        lambda scene: scene.cluster.dead.clear(),
        ["Start collect/1"],
        RUNNING,
    ),
    Row("its node has no storage left", corpus, evicted(PRESSURE), ["End Lost", "Remove Job", "Start collect/1"], RUNNING),
    *(
        Row(
            f"it overflows: {message[:24]}",
            corpus,
            evicted(message),
            ["End OutOfStorage", "Remove Job"],
            moving("Restarting"),
            10,
            ["Start collect/1"],
            restarts=1,
            says="more local storage than pod.resources.ephemeralStorage allows",
        )
        for message in OVERFLOWS
    ),
    Row(
        "it overflows once more than it may",
        lambda scene: corpus(scene, limits={"maxRestarts": 0}),
        evicted(OVERFLOWS[0]),
        ["End OutOfStorage"],
        stopped("OutOfStorage"),
    ),
    Row(
        "a shard overflows once more than it may, which its controller does not count",
        lambda scene: shards(scene, limits={"maxRestarts": 1}),
        shard_overflows_twice,
        ["End OutOfStorage", "Remove Job"],
        stopped("OutOfStorage"),
        restarts=1,
    ),
]


TABLE = [*SIDECARS, *GANGS, *NODES]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_what_others_do_to_pods(row: Row) -> None:
    check(row)


def lose_after(scene: Scene, seconds: float) -> None:
    scene.cluster.advance(seconds)
    scene.cluster.finish(scene.pod, None, 137)
    scene.pod["status"] |= {"reason": "Evicted", "message": PRESSURE}
    scene.work()


def test_losses_without_end_leave_a_bounded_number_of_objects_and_count_all_their_time() -> None:
    scene = Scene()
    corpus(scene, limits={"deadlineSeconds": 1200})
    most = 0
    for _ in range(40):
        lose_after(scene, 20)
        scene.wait(300)
        scene.start_all()
        most = max(most, len(scene.cluster.objects))
    assert most <= 14
    assert len(scene.cluster.launched) > 30
    while scene.status(scene.key).attempt.completion_time is None:  # type: ignore[union-attr]
        lose_after(scene, 20)
        scene.wait(300)
        scene.start_all()
    assert scene.reasons(scene.key)["Stalled"] == "True DeadlineExceeded"
    assert 55 <= len(scene.cluster.launched) <= 65, "20 s each of 1200"


def test_failures_are_counted_when_the_oldest_are_out_of_sight() -> None:
    scene = Scene()
    corpus(scene, limits={"maxRestarts": 20})
    while not scene.reasons(scene.key)["Stalled"].startswith("True"):
        fail(scene)
        scene.work()
        scene.wait(300)
        scene.start_all()
        assert len(scene.cluster.launched) <= 21
    assert len(scene.cluster.launched) == 21
    assert scene.status(scene.key).attempt.restarts == 20  # type: ignore[union-attr]
    assert "(restarts: 20, limits.maxRestarts is 20)" in scene.message(scene.key, "Stalled")
