"""The table of sandbox pools of stages that wait in a queue: a pool has no pods while its workload has no quota."""

from typing import Any

import pytest

from tests.reconcile.test_transitions_pools import GONE, POOL, SERVED, apply, gvisor, served
from tests.reconcile.transition_kit import RUNNING, Act, Row, Scene, check, moving, stopped

SLEEPS = {"ServicesReady": "False WaitingForQuota"}


def waits(scene: Scene, **spec: Any) -> None:
    """An EnvSynthesis whose queue has not let it in yet."""
    gvisor(scene)
    apply(scene, queue="team", **spec)


def let_in(scene: Scene) -> None:
    scene.cluster.let_in()


def works(scene: Scene, **spec: Any) -> None:
    """An EnvSynthesis that its queue has let in, and whose shards and pool run."""
    waits(scene, **spec)
    let_in(scene)
    scene.work()
    scene.start_all()


def never_answers(scene: Scene, **limits: Any) -> None:
    scene.cluster.pools_start = False
    works(scene, limits={"stallSeconds": 60} | limits)


def later(seconds: float) -> Act:
    return lambda scene: scene.wait(seconds)


def answers(scene: Scene) -> None:
    scene.wait(3600)
    scene.cluster.pools_start = True
    scene.work()


def both(*acts: Act) -> Act:
    return lambda scene: [act(scene) for act in acts]


TABLE = [
    Row(
        "it has just got into its queue",
        gvisor,
        lambda scene: apply(scene, queue="team"),
        [
            "Open 1",
            "Serve synthesise",
            "Start synthesise/0",
        ],
        RUNNING | SLEEPS,
    ),
    Row("it waits in its queue", waits, lambda scene: scene.cluster.advance(6), [], moving("WaitingForQuota") | SLEEPS),
    Row("its queue lets it in", waits, let_in, ["Serve synthesise"], RUNNING | SERVED),
    Row("its queue takes the quota back", works, lambda scene: scene.cluster.preempt(), ["Serve synthesise"], moving("Preempted") | SLEEPS),
    Row(
        "its user takes it out of its queue's hands before it is let in",
        waits,
        lambda scene: scene.again(suspend=True),
        ["End Suspended", "Remove Job", GONE, "Remove NetworkPolicy, Secret"],
        {"Suspended": "True Suspended"},
    ),
    Row("its pool does not answer for long: nobody is blamed", never_answers, later(3600), [], {"Reconciling": "True Running"}),
    Row(
        "its pool does not answer for longer than it may",
        lambda scene: never_answers(scene, pendingDeadlineSeconds=300),
        later(301),
        ["End PendingDeadline", "Remove Job", GONE, "Remove NetworkPolicy, Secret"],
        stopped("PendingDeadlineExceeded"),
        says=f"sandbox pool {POOL} was not ready for more than 300 s",
    ),
    Row("its pool answers at last: the clock begins", never_answers, both(answers, later(59)), [], RUNNING | SERVED),
    Row(
        "its pool answers at last and then nothing happens",
        never_answers,
        both(answers, later(61)),
        ["End Stuck", "Remove Job"],
        moving("Restarting"),
        restarts=1,
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_what_becomes_of_a_pool_in_a_queue(row: Row) -> None:
    scene = check(row)
    assert scene.cluster.unserved == []


def test_no_pod_of_a_pool_is_there_before_the_queue_lets_its_workload_in_nor_after_it_took_it_back() -> None:
    scene = Scene()
    waits(scene)
    scene.wait(100)
    assert scene.cluster.pool_pods() == []
    assert {name for kind, _, name in scene.cluster.objects if kind == "Deployment"} == {POOL}
    let_in(scene)
    scene.work()
    assert len(scene.cluster.pool_pods()) == 2
    scene.cluster.preempt()
    scene.work()
    assert scene.cluster.pool_pods() == []
    while not scene.reasons(scene.key)["Succeeded"].startswith("True"):
        let_in(scene)
        scene.work()
        scene.run_pods()
        scene.work()
    assert scene.cluster.pool_pods() == []


def test_without_a_queue_a_pool_answers_before_its_workload_is_made() -> None:
    scene = Scene()
    served(scene)
    calls = [what for call, what in scene.cluster.log if call == "apply"]
    assert calls.index(f"Deployment/{POOL}") < calls.index("Job/envs-envs-1-synthesise-0")
    assert scene.cluster.unserved == []
