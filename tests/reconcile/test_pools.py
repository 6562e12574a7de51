"""Sandbox pools over whole lives: what is left of them, what they cost, what a job is told, and what a death in between changes."""

import base64
from collections.abc import Callable

import pytest

from astra_jobs.api.artifact import Kind
from astra_jobs.api.v1alpha1.sandbox import SandboxPool
from astra_operator.clusters.base import Object, Refused, RunKey, Unreachable
from astra_operator.desired.sandbox import size_mark
from tests.reconcile.harness import TEAM, Killed, Player, bad
from tests.reconcile.lives import PACE
from tests.reconcile.test_transitions_pools import KINDS, POOL, environments, gvisor, no_more_waiting, served, starting
from tests.reconcile.transition_kit import Scene, stock

ENVS = RunKey("EnvSynthesis", "default", "envs")
WRITES = ("apply", "delete", "write_status")


def pool_objects(player: Player) -> list[str]:
    return sorted(kind for kind, _, _ in player.cluster.objects if kind in KINDS)


def test_a_pool_is_there_as_long_as_its_stage_and_another_for_the_next() -> None:
    scene = Scene()
    served(scene)
    assert pool_objects(scene) == sorted(KINDS)
    assert {name for kind, _, name in scene.cluster.objects if kind == "Deployment"} == {POOL}
    scene.run_pods()
    scene.work()
    assert pool_objects(scene) == sorted(KINDS)
    assert {name for kind, _, name in scene.cluster.objects if kind == "Deployment"} == {"envs-envs-1-merge-sandbox"}
    scene.finish()
    assert pool_objects(scene) == []
    assert scene.cluster.pool_pods() == []
    assert scene.reasons(ENVS)["Succeeded"] == "True Finished"


def test_only_stages_that_run_tools_have_one() -> None:
    scene = Scene()
    gvisor(scene)
    for kind in ("ToolCorpus", "ChainSynthesis", "EnvSynthesis", "SFTRun"):
        scene.put(kind)  # type: ignore[arg-type]
    scene.put("RLRun", evaluation={"environments": [{"name": "envs"}]})
    scene.finish()
    made = {what.partition("/")[2] for call, what in scene.cluster.log if call == "apply" and what.startswith("Deployment/")}
    assert made == {
        "envs-envs-1-synthesise-sandbox",
        "envs-envs-1-merge-sandbox",
        "sft-sft-1-evaluate-sandbox",
        "rl-rl-1-train-sandbox",
        "rl-rl-1-evaluate-sandbox",
    }
    assert scene.cluster.unserved == []


def test_a_job_is_told_where_its_tools_run_and_mounts_the_key() -> None:
    scene = Scene()
    served(scene)
    pod = scene.pods("envs")[0]
    told = scene.request(pod)
    assert told.isolation == "gVisor"
    assert told.sandbox is not None
    assert told.sandbox.to_dict() == {"urls": [f"http://{POOL}.default.svc:8080"], "keyFile": "/astra/sandbox/key", "isolation": "gVisor"}
    (secret,) = [item for (kind, _, _), item in scene.cluster.objects.items() if kind == "Secret"]
    volume = next(volume for volume in pod["spec"]["volumes"] if volume["name"] == "sandbox")
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    assert len(base64.b64decode(secret["data"]["key"])) >= 32
    (mount,) = [mount for mount in pod["spec"]["containers"][0]["volumeMounts"] if mount["name"] == "sandbox"]
    assert mount == {"name": "sandbox", "mountPath": "/astra/sandbox", "readOnly": True}


def test_without_isolation_a_job_is_told_nothing_of_a_sandbox() -> None:
    scene = Scene()
    environments(scene)
    scene.work()
    pod = scene.pods("envs")[0]
    assert scene.request(pod).sandbox is None
    assert not [volume for volume in pod["spec"]["volumes"] if "secret" in volume]


def test_what_was_frozen_stays_when_the_team_changes_its_mind() -> None:
    scene = Scene()
    served(scene)
    scene.cluster.teams["default"] = TEAM | {"isolation": "gVisor", "runtimeClass": "other", "sandboxImage": "tools:9"}
    scene.finish()
    templates = [item["spec"]["template"]["spec"] for item in scene.cluster.objects.values() if item["kind"] == "Deployment"]
    assert templates == []
    classes = {what for call, what in scene.cluster.log if call == "has_runtime"}
    assert classes == {"gvisor"}
    assert scene.reasons(ENVS)["Succeeded"] == "True Finished"


def test_a_pool_gets_its_new_size_and_keeps_its_key() -> None:
    scene = Scene()
    served(scene)
    key = next(item["metadata"]["uid"] for (kind, _, _), item in scene.cluster.objects.items() if kind == "Secret")
    scene.again(sandbox={"replicas": 5})
    scene.work()
    assert len(scene.cluster.pool_pods()) == 5
    assert next(item["metadata"]["uid"] for (kind, _, _), item in scene.cluster.objects.items() if kind == "Secret") == key
    assert size_mark(SandboxPool(replicas=5)) != size_mark(SandboxPool())
    assert scene.status(ENVS).attempt.number == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Secret"])
def test_what_is_refused_of_a_pool_is_made_once_it_is_allowed(kind: str) -> None:
    scene = Scene()
    gvisor(scene)
    apply = scene.cluster._apply_one

    def refuse(item: Object, owner: Object) -> bool:
        if item["kind"] == kind:
            raise Refused(f"exceeded quota: {kind}")
        return apply(item, owner)

    scene.cluster._apply_one = refuse  # type: ignore[method-assign]
    environments(scene)
    scene.work()
    assert scene.reasons(ENVS)["Stalled"] == "True QuotaRefused"
    assert scene.reasons(ENVS)["ServicesReady"] == "False QuotaRefused"
    assert scene.pods() == []
    scene.cluster._apply_one = apply  # type: ignore[method-assign]
    scene.wait(60)
    assert scene.reasons(ENVS)["ServicesReady"] == "True ServicesReady"
    scene.finish()
    assert pool_objects(scene) == []


def test_a_user_may_have_a_pool_tried_again_that_came_too_late() -> None:
    scene = Scene()
    starting(scene, limits={"pendingDeadlineSeconds": 300})
    no_more_waiting(scene)
    scene.work()
    assert pool_objects(scene) == []
    scene.again(retry="1")
    scene.cluster.pools_start = True
    scene.finish()
    assert scene.reasons(ENVS)["Succeeded"] == "True Finished"


def test_a_pool_that_is_drained_keeps_its_policy_until_its_last_pod_is_gone() -> None:
    scene = Scene()
    served(scene)
    scene.again(suspend=True)
    seen = []
    for _ in range(9):
        scene.controller.wake_all()
        scene.controller.work()
        seen.append((bool(scene.cluster.pool_pods()), "NetworkPolicy" in pool_objects(scene)))
        scene.cluster.settle()
    assert (True, False) not in seen
    assert seen[-1] == (False, False)


def test_a_terminating_pod_of_a_pool_does_not_hold_the_next_stage_up() -> None:
    scene = Scene()
    served(scene)
    scene.run_pods()
    scene.controller.wake_all()
    scene.controller.work()  # nothing is settled: the old pods are on their way out for ever
    assert "Remove Deployment, PodDisruptionBudget, Secret, Service" in scene.steps
    assert scene.steps[-1] == "Serve merge"
    assert scene.cluster.pool_pods(POOL)


def test_a_removed_run_leaves_nothing() -> None:
    scene = Scene()
    served(scene)
    scene.cluster.remove_run(ENVS)
    scene.work()
    assert scene.cluster.objects == {}


@pytest.mark.parametrize(("kind", "most"), [("EnvSynthesis", 6), ("SFTRun", 6), ("RLRun", 6)])
def test_an_undisturbed_life_with_pools_takes_at_most_six_writes(kind: Kind, most: int) -> None:
    scene = Scene()
    gvisor(scene)
    for name, other in (("chains", "ChainSynthesis"), ("envs", "EnvSynthesis"), ("sft", "SFTRun")):
        if other != kind:
            stock(scene, other, name)
    more = {"evaluation": {"environments": [{"name": "envs"}]}} if kind == "RLRun" else {}
    scene.key = scene.put(kind, **more)
    scene.finish()
    assert scene.reasons(scene.key)["Succeeded"] == "True Finished"
    assert sum(call == "write_status" for call, _ in scene.cluster.log) <= most


# ---- deaths


def life(player: Player, work: Callable[[], None]) -> None:
    """Fail once, be suspended and resumed, be changed while it runs, and come to an end."""
    player.put("EnvSynthesis")
    work()
    player.cluster.finish(player.pods("envs")[0], bad("StoreUnavailable", "no store", 75), 75)
    work()
    player.put("EnvSynthesis", suspend=True)
    work()
    player.put("EnvSynthesis")
    work()
    player.put("EnvSynthesis", seed=1)
    for _ in range(4):
        work()
        player.run_pods()
    work()


def lived(fault: Callable[[str, str], None]) -> Player:
    player = Player(PACE)
    gvisor(player)  # type: ignore[arg-type]
    player.cluster.fault = fault
    life(player, player.survive)
    return player


def final(player: Player) -> object:
    status = player.status(ENVS)
    conditions = [(item.type, item.status, item.reason) for item in status.conditions]
    kinds = sorted(kind for kind, _, _ in player.cluster.objects if kind != "ConfigMap")  # a death may use up a request
    return conditions, status.attempt.number, status.artifact, kinds  # type: ignore[union-attr]


@pytest.mark.parametrize("lost", [False, True], ids=["it dies", "the answer is lost"])
def test_a_death_at_any_write_changes_nothing_in_the_end(lost: bool) -> None:
    calls: list[str] = []
    calm = lived(lambda moment, call: calls.append(call) if moment == "before" and call in WRITES else None)
    assert pool_objects(calm) == []
    assert len(calls) > 50
    for nth in range(1, len(calls) + 1):
        left = nth

        def fault(when: str, call: str) -> None:
            nonlocal left
            if when == "after" and call in WRITES:
                left -= 1
                if left == 0:
                    raise Unreachable("no answer") if lost else Killed

        player = lived(fault)
        for _ in range(2):
            player.cluster.advance(60)
            player.work()
        assert final(player) == final(calm), f"after write {nth} ({calls[nth - 1]})"
        assert (player.cluster.unserved, player.cluster.unguarded, player.cluster.overlaps) == ([], [], [])
        assert len(set(player.cluster.launched)) == len(player.cluster.launched)
