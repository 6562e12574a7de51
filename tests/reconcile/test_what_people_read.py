"""What a person reads of a run: a phase, a percentage that never falls back for nothing, conditions with words, a few events."""

from typing import Any

import pytest

from astra_jobs.api.artifact import KINDS, Kind
from astra_jobs.api.v1alpha1.status import RunPhase
from astra_operator.clusters.base import Event, RunKey, Unreachable
from astra_operator.phase import phase_of
from tests.reconcile.harness import Player
from tests.reconcile.transition_kit import Scene, corpus, fail, queued, shards

TOOLS = RunKey("ToolCorpus", "default", "tools")


def phase(player: Player, key: RunKey = TOOLS) -> RunPhase | None:
    return player.status(key).phase


def events(player: Player, key: RunKey = TOOLS) -> list[Event]:
    uid = player.cluster.runs[key]["metadata"]["uid"]
    return [event for (owner, _), event in player.cluster.events.items() if owner == uid]


def told(player: Player, key: RunKey = TOOLS) -> list[str]:
    return [event.reason for event in events(player, key)]


# ---- the phase


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, "Pending"),
        ({"Succeeded": "Unknown Pending", "Reconciling": "True Pending"}, "Pending"),
        ({"Succeeded": "Unknown WaitingForInput", "Reconciling": "True WaitingForInput"}, "Waiting"),
        ({"Succeeded": "Unknown WaitingForQuota", "Reconciling": "True WaitingForQuota"}, "Waiting"),
        ({"Succeeded": "Unknown Running", "Reconciling": "True Running"}, "Running"),
        ({"Succeeded": "Unknown Restarting", "Reconciling": "True Restarting"}, "Running"),
        ({"Succeeded": "Unknown Running", "Reconciling": "True Running", "Suspended": "True Suspended"}, "Running"),
        ({"Succeeded": "Unknown Suspended", "Reconciling": "False Suspended", "Suspended": "True Suspended"}, "Suspended"),
        ({"Succeeded": "True Finished", "Suspended": "True Suspended"}, "Succeeded"),
        ({"Succeeded": "False OutOfMemory", "Stalled": "True OutOfMemory"}, "Failed"),
        ({"Succeeded": "Unknown LauncherMissing", "Stalled": "True LauncherMissing"}, "Stalled"),
    ],
)
def test_a_phase_follows_from_conditions_alone(conditions: dict[str, str], expected: str) -> None:
    assert phase_of({kind: (value.split()[0], value.split()[1]) for kind, value in conditions.items()}) == expected


def test_a_life_in_phases() -> None:
    scene = Scene()
    queued(scene)
    scene.cluster.advance(60)
    scene.work()
    seen = [phase(scene)]
    scene.cluster.let_in()
    scene.work()
    scene.start_all()
    seen.append(phase(scene))
    scene.again(suspend=True)
    scene.work()
    seen.append(phase(scene))
    scene.again(suspend=False)
    scene.work()
    scene.cluster.let_in()
    scene.work()
    fail(scene, 78, "NothingKept", "no record left")
    scene.work()
    seen.append(phase(scene))
    scene.again(retry="1", queue=None)
    scene.finish()
    seen.append(phase(scene))
    assert seen == ["Waiting", "Running", "Suspended", "Failed", "Succeeded"]


# ---- conditions (that each has words is looked at in every row of the tables: ``transition_kit.check``)


def test_suspended_says_what_is_asked_now_not_what_was_asked_before() -> None:
    player = Player()
    player.put("ToolCorpus")
    player.work()
    assert player.reasons(TOOLS)["Suspended"] == "False NotSuspended"
    for suspend, expected in ((True, "True Suspended"), (False, "False NotSuspended")):
        player.put("ToolCorpus", suspend=suspend)
        player.work()
        player.work()
        assert player.reasons(TOOLS)["Suspended"] == expected


# ---- progress


def tell(scene: Scene, step: int) -> None:
    """Let the run's newest pod say how far it is, and the operator write it down."""
    scene.cluster.advance(61)
    scene.tell(scene.pod, step)
    scene.work()


def shown(scene: Scene) -> str | None:
    progress = scene.status(scene.key).progress
    return progress.display if progress else None


def suspended(scene: Scene) -> None:
    scene.again(suspend=True)
    scene.work()
    assert shown(scene) == "55%"
    scene.again(suspend=False)


def preempted(scene: Scene) -> None:
    fail(scene, 85, "Preempted", "told to go", checkpoint=5)


def died(scene: Scene) -> None:
    fail(scene, 75)
    scene.work()
    scene.cluster.advance(10)


@pytest.mark.parametrize("interrupt", [suspended, preempted, died])
def test_progress_is_kept_until_a_launch_that_goes_on_has_read_its_checkpoint(interrupt: Any) -> None:
    scene = Scene()
    corpus(scene)
    tell(scene, 5)
    assert shown(scene) == "55%"
    interrupt(scene)
    scene.work()
    assert shown(scene) == "55%"
    scene.start_all()
    for _ in range(3):
        tell(scene, 0)
        assert shown(scene) == "55%", "it reads its checkpoint, which takes minutes where it is large"
    tell(scene, 4)
    assert shown(scene) == "44%", "that is where it goes on from"
    tell(scene, 6)
    assert shown(scene) == "66%"
    scene.finish()
    assert shown(scene) == "100%"


def test_shards_that_begin_one_by_one_take_nothing_back() -> None:
    scene = Scene()
    shards(scene)
    for pod in scene.pods(scene.key.name):
        scene.tell(pod, 6)
    scene.cluster.advance(61)
    for pod in scene.pods(scene.key.name):
        scene.tell(pod, 6)
    scene.work()
    assert shown(scene) == "66%"
    scene.again(suspend=True)
    scene.work()
    scene.again(suspend=False)
    scene.work()
    scene.start_all()
    scene.cluster.advance(40)
    scene.tell(scene.pods(scene.key.name)[0], 6)
    scene.work()
    assert shown(scene) == "66%"


# ---- events


@pytest.mark.parametrize("kind", KINDS)
def test_an_undisturbed_life_is_told_in_a_few_lines(kind: Kind) -> None:
    player = Player()
    for name in KINDS[: KINDS.index(kind) + 1]:
        key = player.put(name)
    player.finish()
    lines = told(player, key)
    assert lines.count("AttemptOpened") == 1
    assert lines[-1] == "Finished"
    assert len(lines) <= 6
    assert not any(event.warning for event in events(player, key))


def test_a_failure_a_wait_and_an_end_are_told_once_each() -> None:
    player = Player()
    player.put("ChainSynthesis")
    player.work()
    player.put("ToolCorpus", limits={"maxRestarts": 1})
    for _ in range(2):
        player.work()
        for pod in player.pods("tools", "Pending"):
            player.cluster.finish(pod, None, 1)
        player.work()
        player.cluster.advance(100)
    player.work()
    assert told(player) == ["AttemptOpened", "StageStarted", "Failed", "StageStarted", "Failed", "Failed"]
    assert [event.action for event in events(player)][-2:] == ["End", "Report"]
    assert "from the last checkpoint" in events(player)[3].note
    chains = RunKey("ChainSynthesis", "default", "chains")
    assert told(player, chains) == ["WaitingForInput"]
    for _ in range(5):
        player.restart()
        player.work()
    assert len(told(player)) == 6, "an operator that starts anew tells nothing again"


def test_a_run_does_not_need_its_events() -> None:
    def refuse(run: object, event: object) -> None:
        raise Unreachable("no answer")

    player = Player()
    player.cluster.event = refuse  # type: ignore[method-assign]
    player.put("ToolCorpus")
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"
    assert phase(player) == "Succeeded"
