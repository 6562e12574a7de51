"""The table of what only others tell: events of pods and Jobs that stand still, a queue, a namespace that is being deleted."""

import pytest

from astra_operator.causes import Warned
from astra_operator.clusters.base import format_time
from tests.reconcile.test_transitions_pods import EARLY, LAUNCH, later, pending, then
from tests.reconcile.transition_kit import RUNNING, Act, Row, Scene, blocked, check, corpus, moving, queued, shards


def warned(reason: str, message: str, about: str = f"{LAUNCH}-0") -> Act:
    return lambda scene: scene.cluster.warned.setdefault(about, []).append(Warned(reason, message, scene.cluster.clock))


def no_volumes(scene: Scene) -> None:
    """A pod whose node has not made its volumes and sandbox."""
    condition = {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": EARLY}
    scene.pod["status"] = {"phase": "Pending", "startTime": EARLY, "conditions": [condition]}
    scene.cluster.advance(31)


def no_pod(scene: Scene) -> None:
    """A Job of which no pod may be made."""
    del scene.cluster.objects["Pod", "default", scene.pod["metadata"]["name"]]
    scene.job()["spec"]["parallelism"] = 0
    scene.cluster.advance(31)


def refused(message: str) -> Act:
    return then(no_pod, warned("FailedCreate", f'Error creating: pods "{LAUNCH}-" is forbidden: {message}', LAUNCH))


def pull_fails(scene: Scene) -> None:
    own = {"name": "job", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}
    scene.pod["status"] = {"phase": "Pending", "startTime": EARLY, "containerStatuses": [own]}


def scheduler_says(message: str) -> Act:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return then(lambda scene: scene.pod.update(status={"phase": "Pending", "conditions": [condition]}), later(6))


MOUNTS = [
    ('MountVolume.SetUp failed for volume "key" : secret "k" not found', blocked("SecretMissing")),
    ('MountVolume.SetUp failed for volume "c" : mount failed: exit status 32', moving("VolumeUnavailable")),
    ("Unable to attach or mount volumes: unmounted volumes=[claim-data]: timed out waiting for the condition", moving("VolumeUnavailable")),
]
CREATIONS = [
    ('error looking up service account default/builder: serviceaccount "builder" not found', "ServiceAccountMissing", True),
    ("no PriorityClass with name high was found", "PriorityClassMissing", True),
    ("exceeded quota: team, requested: pods=1, used: pods=9, limited: pods=9", "QuotaRefused", False),
    ("failed quota: team: must specify limits.cpu for: job", "QuotaRefused", False),
    ("maximum memory usage per Container is 1Gi, but limit is 2Gi", "QuotaRefused", False),
    ('violates PodSecurity "restricted:latest": runAsNonRoot != true', "Refused", True),
    ('admission webhook "pods.example.com" denied the request: no label team', "Refused", True),
    ('pod rejected: RuntimeClass "gvisor" not found', "SandboxRuntimeMissing", False),
]
SCHEDULING = [
    ('0/3 nodes are available: persistentvolumeclaim "data" not found.', blocked("ClaimMissing")),
    ("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.", moving("VolumeUnavailable")),
    ("0/3 nodes are available: 3 Insufficient cpu.", moving("WaitingForCapacity")),
]

EVENTS = [
    *(Row(f"mounting: {text[:60]}", pending, then(no_volumes, warned("FailedMount", text)), [], to, says=text) for text, to in MOUNTS),
    Row(
        "its volume is at another node",
        pending,
        then(no_volumes, warned("FailedAttachVolume", 'Multi-Attach error for volume "pvc-1"')),
        [],
        moving("VolumeUnavailable"),
        says=f"pod {LAUNCH}-0: FailedAttachVolume: Multi-Attach error",
    ),
    Row(
        "its node has no such runtime",
        pending,
        then(no_volumes, warned("FailedCreatePodSandBox", 'no runtime for "runsc" is configured')),
        [],
        moving("SandboxRuntimeMissing"),
    ),
    *(
        Row(f"creating: {text[:40]}", pending, refused(text), [], (blocked if stands else moving)(reason), says=text)
        for text, reason, stands in CREATIONS
    ),
    Row(
        "the Secret that images are pulled with is missing",
        pending,
        then(pull_fails, warned("FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (hub)")),
        [],
        blocked("SecretMissing"),
        says="image pull secrets (hub)",
    ),
    Row("its image is taking long", pending, then(pull_fails, lambda scene: None), [], moving("ImageUnavailable")),
    *(Row(f"scheduling: {text[:70]}", pending, scheduler_says(text), [], to, says=text) for text, to in SCHEDULING),
]


# ---- queues


def deactivated(scene: Scene) -> None:
    for item in scene.cluster.objects.values():
        if item["kind"] == "Workload":
            item["spec"] = {"active": False}
            evicted = {"type": "Evicted", "status": "True", "reason": "DeactivatedDueToRequeuingLimitExceeded", "message": "exceeded 5"}
            item["status"]["conditions"].append(evicted)


def no_queue(scene: Scene) -> None:
    for item in scene.cluster.objects.values():
        if item["kind"] == "Workload":
            item["status"]["conditions"][0]["message"] = "LocalQueue team doesn't exist"


QUEUES = [
    Row(
        "its queue has thrown it out",
        queued,
        deactivated,
        [],
        blocked("QueueDeactivated"),
        says=f"(exceeded 5); once its cause is gone: kubectl -n default patch workload job-{LAUNCH} --type=merge",
    ),
    Row("its queue is not there", queued, no_queue, [], blocked("QueueMissing"), says="LocalQueue team doesn't exist"),
]


def going(scene: Scene) -> None:
    """A namespace that is being deleted: its pods go first, and their controller may make no new ones."""
    scene.cluster.ending.add("default")
    for pod in scene.pods(scene.key.name):
        pod["metadata"]["deletionTimestamp"] = format_time(scene.cluster.clock)
        scene.cluster.dead.add(pod["metadata"]["name"])


NAMESPACES = [
    Row("its namespace is deleted", shards, going, ["Remove Job"], blocked("NamespaceTerminating")),
    Row("its pods are told to go, and its namespace stays", shards, then(going, lambda scene: scene.cluster.ending.clear()), [], RUNNING),
]

TABLE = [*EVENTS, *QUEUES, *NAMESPACES]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_what_others_tell(row: Row) -> None:
    check(row)


def test_events_are_asked_for_only_when_nothing_else_tells() -> None:
    scene = Scene()
    corpus(scene)
    scene.finish()
    assert [call for call, _ in scene.cluster.log if call in ("warnings", "terminating")] == []
    scene = Scene()
    pending(scene)
    scheduler_says("0/3 nodes are available: 3 Insufficient cpu.")(scene)
    assert [call for call, _ in scene.cluster.log if call == "warnings"] == []


def test_a_standstill_that_events_explain_is_told_once() -> None:
    scene = Scene()
    pending(scene)
    then(no_volumes, warned("FailedMount", MOUNTS[1][0]))(scene)
    scene.work()
    before = len([call for call, _ in scene.cluster.log if call == "write_status"])
    for _ in range(10):
        scene.wait(30)
    assert len([call for call, _ in scene.cluster.log if call == "write_status"]) == before
