"""The table of waits: what holds a run up, as its conditions tell it, and what then lets it go on."""

from typing import Any

import pytest

from astra_operator.clusters.base import Conflict, Refused
from tests.reconcile.harness import TEAM
from tests.reconcile.transition_kit import (
    RUNNING,
    Act,
    Row,
    Scene,
    admitted,
    blocked,
    check,
    corpus,
    fail,
    moving,
    queued,
    stock,
    stopped,
    training,
)

START = ["Open 1", "Start collect/0"]
PENDING = {"reason": "Unschedulable", "message": "0/3 nodes are available"}
UNSCHEDULED = {"conditions": [{"type": "PodScheduled", "status": "False", **PENDING}]}


def nothing(scene: Scene) -> None:
    """An empty namespace."""


def pending(scene: Scene, **spec: Any) -> None:
    """A ToolCorpus whose pod was made and has not started."""
    scene.put("ToolCorpus", **spec)
    scene.work()


def waits(status: dict[str, Any]) -> Act:
    return lambda scene: scene.pod.update(status={"phase": "Pending"} | status)


def container(reason: str, message: str = "told", kind: str = "containerStatuses") -> Act:
    return waits({kind: [{"name": "x", "state": {"waiting": {"reason": reason, "message": message}}}]})


def no_sandbox(seconds: float) -> Act:
    condition = {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": "2030-01-01T00:00:00Z"}

    def event(scene: Scene) -> None:
        scene.pod["status"] = {"phase": "Pending", "startTime": "2030-01-01T00:00:00Z", "conditions": [condition]}
        scene.cluster.advance(seconds)

    return event


def no_pod(scene: Scene) -> None:
    """The Job controller may make no pod: the namespace's quota of pods is used up, say."""
    del scene.cluster.objects["Pod", "default", scene.pod["metadata"]["name"]]
    scene.job()["spec"]["parallelism"] = 0
    scene.cluster.advance(31)


def without(kind: str) -> Act:
    def event(scene: Scene) -> None:
        scene.cluster.served.discard(kind)
        if kind == "PyTorchJob":
            training(scene)
        else:
            queued(scene)

    return event


def refusing(scene: Scene) -> None:
    scene.cluster.refusal = "exceeded quota: team, requested: count/jobs.batch=1"
    pending(scene)


def allowed(scene: Scene) -> None:
    refusing(scene)
    scene.cluster.refusal = ""
    scene.cluster.advance(60)


def installed(scene: Scene) -> None:
    scene.cluster.served |= {"PyTorchJob", "Workload"}
    scene.cluster.advance(60)


def circle(scene: Scene) -> None:
    scene.key = scene.put("SFTRun", "sft", data=[{"name": "chains"}], evaluation=None, model={"run": {"name": "sft"}})


def patient(scene: Scene) -> None:
    pending(scene, limits={"pendingDeadlineSeconds": 300})


def too_late(scene: Scene) -> None:
    waits(UNSCHEDULED)(scene)
    scene.cluster.advance(301)


def never_made(scene: Scene) -> None:
    no_pod(scene)
    scene.cluster.advance(300)


GAVE_UP = {"Stalled": "True PendingDeadlineExceeded", "Succeeded": "False PendingDeadlineExceeded"}

INPUTS = [
    Row(
        "its input does not exist",
        nothing,
        lambda scene: setattr(scene, "key", scene.put("ChainSynthesis", "chains")),
        [],
        moving("WaitingForInput") | {"InputsReady": "False WaitingForInput", "Outdated": "Unknown Pending"},
        says='there is no ToolCorpus named "tools"',
    ),
    Row(
        "its input appears",
        lambda scene: (setattr(scene, "key", scene.put("ChainSynthesis", "chains")), scene.work()),
        lambda scene: stock(scene, "ToolCorpus", "tools"),
        ["Open 1", "Start synthesise/0"],
        RUNNING | {"InputsReady": "True InputsResolved", "ServicesReady": "True NoServices", "Outdated": "False CodeCurrent"},
    ),
    Row("its spec is wrong", nothing, lambda scene: pending(scene, filtrs={}), [], stopped("InvalidSpec"), says="spec.filtrs: "),
    Row("its spec is mended", lambda scene: pending(scene, filtrs={}), lambda scene: scene.again(filtrs=None), START, RUNNING),
    Row(
        "its team has no settings",
        lambda scene: scene.cluster.teams.clear(),
        pending,
        [],
        stopped("SettingsInvalid"),
        says="astra-team",
    ),
    Row(
        "its team gets settings",
        lambda scene: (scene.cluster.teams.clear(), pending(scene)),
        lambda scene: scene.cluster.teams.update(default=dict(TEAM)),
        START,
        RUNNING,
    ),
]

PODS = [
    Row("its pod is on its way", pending, container("ContainerCreating"), [], RUNNING),
    Row("no node has room, as yet", pending, waits(UNSCHEDULED), [], RUNNING),
    Row(
        "no node has room",
        pending,
        lambda scene: (waits(UNSCHEDULED)(scene), scene.cluster.advance(6)),
        [],
        moving("WaitingForCapacity"),
        says="0/3 nodes are available",
    ),
    Row("its image cannot be pulled", pending, container("ImagePullBackOff"), [], moving("ImageUnavailable"), says="ImagePullBackOff told"),
    Row(
        "the image of an init container cannot be pulled",
        pending,
        container("ErrImagePull", kind="initContainerStatuses"),
        [],
        moving("ImageUnavailable"),
    ),
    Row(
        "a Secret of its environment is missing",
        pending,
        container("CreateContainerConfigError", 'secret "s" not found'),
        [],
        blocked("SecretMissing"),
        says='secret "s" not found',
    ),
    Row(
        "its node makes no sandbox, says the node",
        pending,
        container("FailedCreatePodSandBox", "no runtime for gvisor"),
        [],
        moving("SandboxRuntimeMissing"),
        says="no runtime for gvisor",
    ),
    Row("its node has made no sandbox yet", pending, no_sandbox(20), [], RUNNING),
    Row(
        "its node has made no sandbox for long",
        pending,
        no_sandbox(31),
        [],
        moving("WaitingForNode"),
        says="kubectl describe pod tools-corpus-1-collect-0-0",
    ),
    Row("no pod is made", pending, no_pod, [], moving("Pending"), says="kubectl describe job tools-corpus-1-collect-0"),
    Row(
        "its pod starts after all",
        lambda scene: (pending(scene), container("ErrImagePull")(scene), scene.work()),
        lambda scene: scene.cluster.start(scene.pod),
        [],
        RUNNING,
    ),
    Row(
        "its pod has waited longer than it may",
        patient,
        too_late,
        ["End PendingDeadline", "Remove Job"],
        GAVE_UP,
        says="limits.pendingDeadlineSeconds): WaitingForCapacity: 0/3 nodes",
    ),
    Row(
        "its pod was not made for longer than it may",
        patient,
        never_made,
        ["End PendingDeadline", "Remove Job"],
        GAVE_UP,
        says="it was never made",
    ),
    Row(
        "it may wait longer now",
        lambda scene: (patient(scene), too_late(scene), scene.work()),
        lambda scene: scene.again(limits={"pendingDeadlineSeconds": 9999}),
        ["Start collect/1"],
        RUNNING,
    ),
]

CLUSTER = [
    Row(
        "the training operator is missing",
        nothing,
        without("PyTorchJob"),
        ["Open 1", "Start prepare/0"],
        blocked("LauncherMissing"),
        says="install the Kubeflow training operator, or set spec.launcher: Job",
    ),
    Row("the training operator is installed", without("PyTorchJob"), installed, ["Start train/0"], RUNNING),
    Row("Kueue is missing", nothing, without("Workload"), ["Open 1"], blocked("QueueMissing"), says="spec.queue: team: "),
    Row("Kueue is installed", without("Workload"), installed, ["Start collect/0"], RUNNING),
    Row("the cluster refuses what would be made", nothing, refusing, [], blocked("QuotaRefused"), says="exceeded quota: team"),
    Row("the cluster takes it now", nothing, allowed, START, RUNNING),
]

QUEUE = [
    Row("its queue has just got it", nothing, queued, START, RUNNING),
    Row(
        "its queue has no quota",
        queued,
        lambda scene: scene.cluster.advance(6),
        [],
        moving("WaitingForQuota"),
        says="queue team: insufficient quota",
    ),
    Row("its queue lets it in", lambda scene: (queued(scene), scene.wait(100)), lambda scene: scene.cluster.let_in(), [], RUNNING),
    Row(
        "its queue takes the quota back",
        admitted,
        lambda scene: scene.cluster.preempt(),
        [],
        moving("Preempted"),
        says="queue team: preempted to accommodate",
    ),
    Row("its pod ends because of that", admitted, lambda scene: (scene.cluster.preempt(), fail(scene, 85)), [], moving("Preempted")),
    Row(
        "it is let in again",
        lambda scene: (admitted(scene), scene.cluster.preempt(), scene.work()),
        lambda scene: scene.cluster.let_in(),
        [],
        RUNNING,
    ),
    Row(
        "it fails in its queue as elsewhere",
        admitted,
        fail,
        ["End Failed", "Remove Job"],
        moving("Restarting"),
        10,
        ["Start collect/1"],
        restarts=1,
    ),
    Row(
        "its user suspends it while it waits",
        queued,
        lambda scene: scene.again(suspend=True),
        ["End Suspended", "Remove Job"],
        {"Suspended": "True Suspended"},
    ),
    Row(
        "somebody suspends its Job by hand",
        corpus,
        lambda scene: scene.job()["spec"].update(suspend=True),
        [],
        moving("Pending"),
        says="somebody has suspended Job",
    ),
]


@pytest.mark.parametrize("row", INPUTS + PODS + CLUSTER + QUEUE, ids=lambda row: row.name)
def test_what_holds_a_run_up(row: Row) -> None:
    check(row)


def test_time_in_a_queue_is_no_time_spent() -> None:
    scene = Scene()
    queued(scene, limits={"deadlineSeconds": 100, "pendingDeadlineSeconds": 100})
    scene.wait(1000)
    scene.cluster.let_in()
    scene.work()
    scene.start_all()
    scene.wait(50)
    assert scene.reasons(scene.key)["Reconciling"] == "True Running"
    scene.wait(51)
    assert scene.reasons(scene.key)["Stalled"] == "True DeadlineExceeded"


def test_a_preempted_workload_goes_on_in_the_same_launch_and_uncounted() -> None:
    scene = Scene()
    admitted(scene)
    for _ in range(3):
        scene.cluster.preempt()
        scene.wait(100)
        assert scene.pods("tools") == []
        scene.cluster.let_in()
        scene.wait(100)
        scene.start_all()
    scene.finish()
    assert [name.split("/")[1] for name in scene.cluster.launched] == ["tools-corpus-1-collect-0"]
    assert scene.status(scene.key).attempt.restarts == 0  # type: ignore[union-attr]
    assert scene.reasons(scene.key)["Succeeded"] == "True Finished"


def test_a_pod_that_was_told_to_go_when_its_quota_comes_back_is_no_failure() -> None:
    scene = Scene()
    admitted(scene)
    pod = scene.pod
    scene.cluster.preempt()
    scene.work()
    fail(scene, 85) if scene.pods("tools") else None
    pod["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    pod["status"]["phase"] = "Failed"
    scene.cluster.objects["Pod", "default", pod["metadata"]["name"]] = pod
    scene.cluster.let_in()
    scene.steps.clear()
    scene.controller.wake_all()
    scene.controller.work()  # the old pod is still there, failed and on its way out
    assert scene.steps == []
    scene.work()
    assert scene.reasons(scene.key)["Reconciling"] == "True Running"


def test_a_refused_run_asks_rarely() -> None:
    scene = Scene()
    refusing(scene)
    before = len(scene.cluster.log)
    for _ in range(60):
        scene.cluster.advance(1)
        scene.controller.work()
    asked = [call for call, _ in scene.cluster.log[before:] if call in ("admit", "apply")]
    assert len(asked) <= 1
    assert scene.cluster.objects == {}
    assert [call for call, _ in scene.cluster.log[before:] if call in ("delete", "write_status")] == []


def test_nothing_is_made_of_what_is_refused() -> None:
    scene = Scene()
    refusing(scene)
    assert scene.cluster.objects == {}


@pytest.mark.parametrize(("refused", "allowed"), [("apply", 1), ("apply", 2)], ids=["request", "workload"])
def test_a_launch_of_which_a_part_is_refused_leaves_nothing(refused: str, allowed: int) -> None:
    def fault(moment: str, call: str) -> None:
        if moment == "before" and call == refused and sum(name == refused for name, _ in scene.cluster.log) >= allowed:
            raise Refused("exceeded quota: team")

    scene = Scene()
    scene.cluster.fault = fault
    pending(scene)
    assert [slot[2] for slot in scene.cluster.objects] == ["tools-corpus-1"]
    assert scene.reasons(scene.key)["Stalled"] == "True QuotaRefused"
    assert "exceeded quota" in scene.message(scene.key, "Stalled")


def asked_of(scene: Scene, since: int = 0) -> list[tuple[str, str]]:
    return [(call, what) for call, what in scene.cluster.log[since:] if call in ("admit", "apply", "delete")]


def test_a_first_launch_costs_no_dry_run() -> None:
    scene = Scene()
    pending(scene)
    assert asked_of(scene) == [
        ("apply", "ConfigMap/tools-corpus-1"),
        ("apply", "ConfigMap/tools-corpus-1-collect-0"),
        ("apply", "Job/tools-corpus-1-collect-0"),
    ]


def test_the_request_of_a_refused_workload_goes_and_a_dry_run_asks_from_then_on() -> None:
    refused: list[str] = []

    def fault(moment: str, call: str) -> None:
        made = sum(name == "apply" for name, _ in scene.cluster.log)
        if moment == "before" and (call == "admit" or (call == "apply" and made == 2)):
            refused.append(call)
            raise Refused("exceeded quota: team")

    scene = Scene()
    scene.cluster.fault = fault
    pending(scene)
    request = "ConfigMap/tools-corpus-1-collect-0"
    assert asked_of(scene)[1:] == [("apply", request), ("delete", request)]
    scene.cluster.advance(61)
    scene.controller.work()
    assert refused[0] == "apply"
    assert set(refused[1:]) == {"admit"}
    scene.cluster.fault = lambda moment, call: None
    scene.wait(61)
    assert scene.reasons(scene.key)["Reconciling"] == "True Running"
    assert scene.cluster.get_run(*scene.key)["status"]["attempt"]["restarts"] == 0


def test_a_workload_whose_name_is_taken_for_a_while_costs_no_restart() -> None:
    taken: list[str] = []

    def fault(moment: str, call: str) -> None:
        if moment == "before" and call == "apply" and sum(name == "apply" for name, _ in scene.cluster.log) == 2:
            taken.append(call)
            raise Conflict("Job default/tools-corpus-1-collect-0 belongs to another owner")

    scene = Scene()
    scene.cluster.fault = fault
    pending(scene)
    assert set(taken) == {"apply"}
    assert [slot[2] for slot in scene.cluster.objects] == ["tools-corpus-1"]
    scene.cluster.fault = lambda moment, call: None
    scene.wait(10)
    assert ("Job", "default", "tools-corpus-1-collect-0") in scene.cluster.objects
    assert scene.cluster.get_run(*scene.key)["status"]["attempt"]["restarts"] == 0
