"""The table of wishes: what a user, a clock or a new version changes → which steps follow, and what is left alone."""

from typing import Any

import pytest

from astra_jobs.api.v1alpha1.status import REASONS
from tests.reconcile import test_transitions_ends as ends
from tests.reconcile import test_transitions_events as events
from tests.reconcile import test_transitions_pods as pods
from tests.reconcile import test_transitions_pools as pools
from tests.reconcile import test_transitions_waits as waits
from tests.reconcile.transition_kit import RUNNING, Act, Row, Scene, check, corpus, done, fail, moving, stock, stopped

FINISHED = {"Succeeded": "True Finished", "Ready": "True Finished", "Reconciling": "False Finished", "Stalled": "False Finished"}
UP_TO_DATE = {kind: value.replace("Finished", "UpToDate") for kind, value in FINISHED.items()}
SUSPENDED = {
    "Suspended": "True Suspended",
    "Reconciling": "False Suspended",
    "Succeeded": "Unknown Suspended",
    "Stalled": "False Suspended",
}
OPENS = ["Open 2", "Remove ConfigMap, Job", "Start collect/0"]


def again(**changes: Any) -> Act:
    return lambda scene: scene.again(**changes)


def suspended(scene: Scene) -> None:
    corpus(scene)
    scene.again(suspend=True)
    scene.work()


def given_up(scene: Scene) -> None:
    """A ToolCorpus that refused its input."""
    corpus(scene)
    fail(scene, 78, "NothingKept", "no record left")
    scene.work()


def overspent(scene: Scene) -> None:
    """A ToolCorpus that may not be started again."""
    corpus(scene, limits={"maxRestarts": 0})
    fail(scene)
    scene.work()
    scene.cluster.advance(100)


def retry(scene: Scene) -> None:
    scene.again(retry="1")


def reading(scene: Scene) -> None:
    """A ChainSynthesis whose shards run on the corpus of another."""
    stock(scene, "ToolCorpus", "tools")
    scene.key = scene.put("ChainSynthesis", "chains")
    scene.work()
    scene.start_all()


def read_to_the_end(scene: Scene) -> None:
    reading(scene)
    scene.run_pods("synthesise")
    scene.work()
    scene.run_pods("merge")
    scene.work()


def new_input(scene: Scene) -> None:
    for key, run in scene.cluster.runs.items():
        if key.kind == "ToolCorpus":
            run["status"] = run["status"] | {"artifact": run["status"]["artifact"] | {"digest": "sha256:" + "9" * 64}}


def with_policy(policy: str) -> Act:
    def given(scene: Scene) -> None:
        reading(scene)
        scene.again(onInputChange=policy)
        scene.work()

    return given


def found(scene: Scene) -> None:
    scene.succeed(scene.pod, reused=True)


def gone_quiet(scene: Scene) -> None:
    """All objects of a finished run but its attempt are removed by somebody who tidies up."""
    for slot in [slot for slot in scene.cluster.objects if slot[0] in ("Job", "Pod")]:
        del scene.cluster.objects[slot]


WISHES = [
    Row(
        "it is applied",
        lambda scene: None,
        lambda scene: scene.put("ToolCorpus"),
        ["Open 1", "Start collect/0"],
        RUNNING | {"Suspended": "False NotSuspended"},
    ),
    Row("its stage ends well", corpus, lambda scene: scene.succeed(scene.pod), [], FINISHED),
    Row("its stage was in the store", corpus, found, [], UP_TO_DATE),
    Row("it is suspended", corpus, again(suspend=True), ["End Suspended", "Remove Job"], SUSPENDED),
    Row("it is resumed", suspended, again(suspend=False), ["Start collect/1"], RUNNING | {"Suspended": "False NotSuspended"}),
    Row("it is edited while suspended", suspended, again(seed=1), [], SUSPENDED),
    Row(
        "it is resumed after that",
        lambda scene: (suspended(scene), scene.again(seed=1)),
        again(suspend=False),
        ["Open 2", "Remove ConfigMap", "Start collect/0"],
        RUNNING,
    ),
    Row("it is suspended once it is done", done, again(suspend=True), [], FINISHED | {"Suspended": "True Suspended"}),
    Row("it is edited while it runs", corpus, again(seed=1), OPENS, RUNNING),
    Row("it is edited once it is done", done, again(seed=1), OPENS, RUNNING),
    Row("it is to run again", done, again(rerun="once more"), OPENS, RUNNING),
    Row("an operational field is edited", corpus, again(limits={"maxRestarts": 9}), [], RUNNING),
    Row("its edit is wrong: the attempt goes on", corpus, again(filtrs={}), [], stopped("InvalidSpec")),
    Row(
        "it may be restarted more often",
        overspent,
        again(limits={"maxRestarts": 1}),
        ["Remove Job", "Start collect/1"],
        RUNNING,
        restarts=1,
    ),
    Row("it is edited after it refused its input", given_up, again(seed=1), OPENS, RUNNING),
    Row("it is to be tried again", given_up, retry, ["Remove Job", "Start collect/1"], RUNNING),
    Row("its input changes, and it ends first", with_policy("Finish"), new_input, [], RUNNING),
    Row(
        "its input changes, and it starts anew",
        with_policy("Replace"),
        new_input,
        ["Open 2", "Remove ConfigMap, Job", "Start synthesise/0"],
        RUNNING,
    ),
    Row("its input changes, and it does not care", with_policy("Ignore"), new_input, [], RUNNING),
    Row(
        "its input changes after its end",
        read_to_the_end,
        new_input,
        ["Open 2", "Remove ConfigMap, Job", "Start synthesise/0"],
        RUNNING,
    ),
    Row(
        "a newer version is installed",
        done,
        lambda scene: scene.restart(code_version="2.0"),
        [],
        FINISHED | {"Outdated": "True CodeChanged"},
    ),
    Row("its finished objects are tidied away", done, gone_quiet, [], FINISHED),
    Row("the operator dies while it runs", corpus, lambda scene: scene.restart(), [], RUNNING),
    Row("its status is written over", corpus, lambda scene: scene.cluster.runs[scene.key].update(status={"x": 1}), [], RUNNING),
]


@pytest.mark.parametrize("row", WISHES, ids=lambda row: row.name)
def test_what_a_change_does(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("spec", [{}, {"suspend": True}, {"nonsense": 1}], ids=["good", "suspended", "wrong"])
def test_a_run_of_another_controller_is_not_touched(spec: dict[str, Any]) -> None:
    scene = Scene()
    scene.put("ToolCorpus", managedBy="example.com/other", **spec)
    scene.work()
    assert scene.cluster.objects == {}
    assert scene.cluster.runs[scene.key]["status"] == {}
    assert {call for call, _ in scene.cluster.log} <= {"list_runs", "get_run"}


def test_a_run_that_names_this_controller_is_carried_out() -> None:
    scene = Scene()
    scene.put("ToolCorpus", managedBy="astra.dev/operator")
    scene.finish()
    assert scene.reasons(scene.key)["Succeeded"] == "True Finished"


def writes(scene: Scene) -> int:
    return sum(call == "write_status" for call, _ in scene.cluster.log)


def all_rows() -> list[Row]:
    return [
        *WISHES,
        *ends.JOBS,
        *ends.SHARDS,
        *ends.RANKS,
        *waits.INPUTS,
        *waits.PODS,
        *waits.CLUSTER,
        *waits.QUEUE,
        *pools.TABLE,
        *pods.TABLE,
        *events.TABLE,
    ]


@pytest.mark.parametrize("row", [*ends.JOBS, *ends.SHARDS, *ends.RANKS], ids=lambda row: row.name)
def test_a_restart_takes_at_most_three_writes_and_a_life_six(row: Row) -> None:
    scene = Scene()
    row.given(scene)
    first = writes(scene)
    assert first <= 5
    row.event(scene)
    scene.work()
    scene.wait(max(row.wait, 1))
    assert writes(scene) - first <= 3


@pytest.mark.parametrize("given", [corpus, waits.queued, waits.admitted, waits.training], ids=lambda given: given.__name__)
def test_an_undisturbed_life_takes_at_most_six_writes(given: Act) -> None:
    scene = Scene()
    given(scene)
    scene.cluster.let_in()
    scene.finish()
    assert writes(scene) <= 6


NAMED_BY_JOBS = {
    "Superseded",
    "InputUnavailable",
    "StoreUnavailable",
    "JudgeUnreliable",
    "TooManyUnscored",
    "ToolServerUnavailable",
    "NothingKept",
    "LearningStarved",
}
ELSEWHERE = {
    "ReferenceCycle": "no kind refers upwards: tests/unit/operator/test_references.py plays it with a table of its own",
    "NameTaken": "tests/reconcile/test_names_taken.py puts the objects of others into the cluster",
}


def test_every_reason_that_the_operator_sets_is_in_a_table() -> None:
    told = {value.split()[1] for row in all_rows() for value in row.conditions.values()}
    assert set(REASONS) - told - NAMED_BY_JOBS - set(ELSEWHERE) == set()


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in all_rows()]
    assert len(names) == len(set(names))


def test_a_wait_is_told_once() -> None:
    scene = Scene()
    waits.pending(scene)
    waits.container("ErrImagePull")(scene)
    scene.work()
    assert scene.reasons(scene.key)["Reconciling"] == moving("ImageUnavailable")["Reconciling"]
    before = writes(scene)
    for _ in range(5):
        scene.wait(30)
    assert writes(scene) == before
