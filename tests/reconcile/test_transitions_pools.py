"""The table of sandbox pools: what becomes of a stage's pool → which steps follow, and what the conditions say of it."""

from typing import Any

import pytest

from astra_operator.clusters.base import format_time
from tests.reconcile.harness import TEAM, Object
from tests.reconcile.transition_kit import RUNNING, Act, Row, Scene, blocked, check, moving, stock, training

POOL = "envs-envs-1-synthesise-sandbox"
SERVED, NONE = {"ServicesReady": "True ServicesReady"}, {"ServicesReady": "True NoServices"}
START = ["Open 1", "Serve synthesise", "Start synthesise/0"]
GONE = "Remove Deployment, PodDisruptionBudget, Secret, Service"
POLICY = "Remove NetworkPolicy, Secret"
KINDS = ("NetworkPolicy", "Service", "Secret", "PodDisruptionBudget", "Deployment")


def gvisor(scene: Scene, **settings: str) -> None:
    """A team whose tools run in pools."""
    scene.cluster.teams["default"] = TEAM | {"isolation": "gVisor"} | settings


def environments(scene: Scene, **spec: Any) -> None:
    """An EnvSynthesis that was just applied."""
    scene.key = scene.put("EnvSynthesis", **spec)


def apply(scene: Scene, **spec: Any) -> None:
    environments(scene, **spec)
    scene.work()


def served(scene: Scene, **spec: Any) -> None:
    """An EnvSynthesis whose pool answers and of which two shards run."""
    gvisor(scene)
    apply(scene, **spec)
    scene.start_all()


def starting(scene: Scene, **spec: Any) -> None:
    """An EnvSynthesis whose pool was made, and of which no pod runs yet."""
    gvisor(scene)
    scene.cluster.pools_start = False
    apply(scene, **spec)


def merging(scene: Scene) -> None:
    served(scene)
    scene.run_pods("synthesise")
    scene.work()


def reinforcing(scene: Scene, **spec: Any) -> None:
    """An RLRun of which two ranks run beside their pool."""
    gvisor(scene)
    training(scene, **spec)


def start_pool(scene: Scene) -> None:
    scene.cluster.pools_start = True


def pool_pod(scene: Scene) -> Object:
    return scene.cluster.pool_pods()[0]


def waits(status: Object) -> Act:
    return lambda scene: [pod.update(status={"phase": "Pending"} | status) for pod in scene.cluster.pool_pods()]


def container(reason: str, message: str = "told") -> Act:
    return waits({"containerStatuses": [{"name": "sandbox", "state": {"waiting": {"reason": reason, "message": message}}}]})


def ends_again(message: str, code: int) -> Act:
    ended = {"exitCode": code, "reason": "Error", "message": message}
    states = [{"name": "sandbox", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}]
    return lambda scene: [pod.update(status={"phase": "Running", "containerStatuses": states}) for pod in scene.cluster.pool_pods()]


UNSCHEDULED = waits({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]})


def no_sandbox(scene: Scene) -> None:
    told = {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": format_time(scene.cluster.clock)}
    waits({"startTime": format_time(scene.cluster.clock), "conditions": [told]})(scene)
    scene.cluster.advance(31)


def one_of_two(scene: Scene) -> None:
    """One pod of the pool answers, and no node has room for the other."""
    starting(scene)
    pool_pod(scene)["status"] = {"phase": "Running", "containerStatuses": [{"ready": True, "state": {"running": {}}}]}


def lose_all(scene: Scene) -> None:
    scene.cluster.pools_start = False
    for pod in scene.cluster.pool_pods():
        scene.cluster.vanish(pod)


def by_hand(kind: str) -> Act:
    """Somebody removes an object of the pool."""

    def event(scene: Scene) -> None:
        (item,) = [item for item in scene.cluster.objects.values() if item["kind"] == kind]
        scene.cluster.vanish(item)

    return event


def again(**changes: Any) -> Act:
    return lambda scene: scene.again(**changes)


def fail_shard(scene: Scene) -> None:
    """One shard of a stage that may not try again ends the launch."""
    scene.cluster.finish(scene.pod, None, 1)


def first(*acts: Act) -> Act:
    """Do one after the other, and work after each."""

    def given(scene: Scene) -> None:
        for act in acts:
            act(scene)
            scene.work()

    return given


def without_runtime(scene: Scene) -> None:
    gvisor(scene)
    scene.cluster.runtimes.clear()


def no_more_waiting(scene: Scene) -> None:
    UNSCHEDULED(scene)
    scene.cluster.advance(301)


PENDING = {"Stalled": "True PendingDeadlineExceeded", "ServicesReady": "False PendingDeadlineExceeded"}

MADE = [
    Row("it runs tools in its own process", lambda scene: None, environments, ["Open 1", "Start synthesise/0"], RUNNING | NONE),
    Row("its pool answers at once", gvisor, environments, START, RUNNING | SERVED, says=f"{POOL}: gVisor"),
    Row(
        "nothing enforces its policy",
        lambda scene: gvisor(scene, networkPolicy="Unenforced"),
        environments,
        START,
        SERVED,
        says="nothing enforces its NetworkPolicy",
    ),
    Row(
        "its pool is starting",
        lambda scene: (gvisor(scene), setattr(scene.cluster, "pools_start", False)),
        environments,
        START[:2],
        moving("WaitingForServices") | {"ServicesReady": "False WaitingForServices"},
        says=f"sandbox pool {POOL} is starting",
    ),
    Row("its pool has started", starting, start_pool, START[2:], RUNNING | SERVED),
    Row("one pod of its pool answers, as yet", one_of_two, lambda scene: None, [], moving("WaitingForServices")),
    Row("one pod of its pool is enough in the end", one_of_two, lambda scene: scene.cluster.advance(61), START[2:], RUNNING | SERVED),
    Row("a stage without tools needs none", gvisor, lambda scene: stocked(scene), ["Open 1", "Start prepare/0"], RUNNING | NONE),
]

HELD_UP = [
    Row(
        "there is no such RuntimeClass",
        without_runtime,
        environments,
        ["Open 1"],
        blocked("SandboxRuntimeMissing") | {"ServicesReady": "False SandboxRuntimeMissing"},
        says="there is no RuntimeClass gvisor; install gVisor",
    ),
    Row(
        "the RuntimeClass is made",
        lambda scene: (without_runtime(scene), apply(scene)),
        lambda scene: (scene.cluster.runtimes.add("gvisor"), scene.cluster.advance(60)),
        START[1:],
        RUNNING | SERVED,
    ),
    Row("no node has room for its pool, as yet", starting, UNSCHEDULED, [], moving("WaitingForServices")),
    Row(
        "no node has room for its pool",
        starting,
        lambda scene: (UNSCHEDULED(scene), scene.cluster.advance(6)),
        [],
        moving("WaitingForCapacity") | {"ServicesReady": "False WaitingForCapacity"},
        says="0/3 nodes are available",
    ),
    Row(
        "the image of its pool cannot be pulled",
        starting,
        container("ImagePullBackOff"),
        [],
        moving("ImageUnavailable") | {"ServicesReady": "False ImageUnavailable"},
    ),
    Row(
        "the node of its pool makes no sandbox, says the node",
        starting,
        container("FailedCreatePodSandBox", "no runtime for runsc"),
        [],
        moving("SandboxRuntimeMissing") | {"ServicesReady": "False SandboxRuntimeMissing"},
        says="no runtime for runsc",
    ),
    Row("the node of its pool has made no sandbox for long", starting, no_sandbox, [], moving("WaitingForNode")),
    Row(
        "its pool is not in gVisor after all",
        starting,
        ends_again("not started: sandbox wall gvisor does not hold: no kernel message; run the pod", 78),
        [],
        blocked("SandboxRuntimeMissing") | {"ServicesReady": "False SandboxRuntimeMissing"},
        says="sandbox wall gvisor does not hold",
    ),
    Row(
        "its pool crashes",
        starting,
        ends_again("Traceback\nMemoryError", 1),
        [],
        moving("ServiceFailing") | {"ServicesReady": "False ServiceFailing"},
        says="ends again and again: MemoryError",
    ),
    Row(
        "the cluster lets no pod of its pool be made",
        starting,
        lambda scene: (setattr(scene.cluster, "pool_refusal", "pods x is forbidden: weaker than gVisor"), lose_all(scene)),
        [],
        blocked("Refused") | {"ServicesReady": "False Refused"},
        says="weaker than gVisor",
    ),
    Row(
        "its RuntimeClass vanishes under it",
        starting,
        lambda scene: (setattr(scene.cluster, "pool_refusal", 'pod rejected: RuntimeClass "gvisor" not found'), lose_all(scene)),
        [],
        blocked("SandboxRuntimeMissing"),
    ),
    Row(
        "its pool has waited longer than it may",
        lambda scene: starting(scene, limits={"pendingDeadlineSeconds": 300}),
        no_more_waiting,
        ["Forgo synthesise/0", GONE, POLICY],
        PENDING,
        says="was not ready for more than 300 s (limits.pendingDeadlineSeconds): WaitingForCapacity: ",
    ),
    Row(
        "its pool may wait longer now",
        first(lambda scene: starting(scene, limits={"pendingDeadlineSeconds": 300}), no_more_waiting, start_pool),
        again(limits={"pendingDeadlineSeconds": 9999}),
        ["Serve synthesise", "Start synthesise/1"],
        RUNNING | SERVED,
    ),
]

RUNS = [
    Row("a pod of its pool is lost", served, lambda scene: scene.cluster.vanish(pool_pod(scene)), [], RUNNING | SERVED),
    Row("all pods of its pool are lost", served, lose_all, [], RUNNING | {"ServicesReady": "False WaitingForServices"}),
    Row("its pool comes back", first(served, lose_all), start_pool, [], RUNNING | SERVED),
    *(Row(f"somebody removes its {kind}", served, by_hand(kind), ["Serve synthesise"], RUNNING) for kind in KINDS if kind != "Secret"),
    Row("its pool is to be larger", served, again(sandbox={"replicas": 5}), ["Serve synthesise"], RUNNING | SERVED),
    Row("its team chooses another isolation", served, lambda scene: scene.cluster.teams.update(default=dict(TEAM)), [], RUNNING | SERVED),
    Row(
        "it is started again",
        reinforcing,
        fail_shard,
        ["End Failed", "Remove PyTorchJob"],
        moving("Restarting") | SERVED,
        10,
        ["Start train/1"],
        restarts=1,
    ),
]

ENDS = [
    Row(
        "the next stage has a pool of its own",
        served,
        lambda scene: scene.run_pods("synthesise"),
        [GONE, "Serve merge", POLICY, "Start merge/0"],
        RUNNING | SERVED,
    ),
    Row("it is done", merging, lambda scene: scene.run_pods("merge"), [GONE, POLICY], {"Succeeded": "True Finished"} | NONE),
    Row(
        "its user suspends it",
        served,
        again(suspend=True),
        ["End Suspended", "Remove Job", GONE, POLICY],
        {"Suspended": "True Suspended", "ServicesReady": "False Suspended"},
    ),
    Row("its user suspends it before its pool answers", starting, again(suspend=True), [GONE, POLICY], {"Suspended": "True Suspended"}),
    Row(
        "its user resumes it",
        first(served, again(suspend=True)),
        again(suspend=False),
        ["Serve synthesise", "Start synthesise/1"],
        RUNNING | SERVED,
    ),
    Row(
        "it is given up",
        lambda scene: reinforcing(scene, limits={"maxRestarts": 0}),
        fail_shard,
        ["End Failed", "Remove PyTorchJob", GONE, POLICY],
        {"Stalled": "True Failed", "ServicesReady": "False Failed"},
    ),
    Row(
        "its user changes it",
        served,
        again(seed=1),
        ["Open 2", "Remove ConfigMap, Job", GONE, "Serve synthesise", POLICY, "Start synthesise/0"],
        RUNNING | SERVED,
    ),
]

TABLE = [*MADE, *HELD_UP, *RUNS, *ENDS]


def stocked(scene: Scene) -> None:
    stock(scene, "SFTRun", "sft")
    stock(scene, "EnvSynthesis", "envs")
    scene.key = scene.put("RLRun")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_what_becomes_of_a_pool(row: Row) -> None:
    scene = check(row)
    assert (scene.cluster.unserved, scene.cluster.unguarded) == ([], [])
