"""The annotation astra.dev/retry: a run that was given up goes on, from where it was, with a fresh budget."""

import pytest

from astra_operator.clusters.base import RunKey, Unreachable, format_time
from tests.reconcile.harness import Player, bad

TOOLS = RunKey("ToolCorpus", "default", "tools")


def annotate(player: Player, value: str = "") -> None:
    player.cluster.advance(1)
    player.cluster.runs[TOOLS]["metadata"]["annotations"] = {"astra.dev/retry": value or format_time(player.cluster.clock)}


def fail(player: Player, code: int) -> None:
    player.work()
    for pod in player.pods(phase="Pending"):
        player.cluster.finish(pod, bad("Failed", "no", code), exit_code=code)
    player.work()


def give_up(player: Player, code: int, times: int) -> None:
    for _ in range(times):
        fail(player, code)
        player.cluster.advance(player.settings.longest_restart_delay)
    player.work()
    assert player.reasons(TOOLS)["Stalled"].startswith("True")


@pytest.mark.parametrize(("code", "times"), [(78, 1), (75, 3)])
def test_it_goes_on_in_the_same_attempt_with_a_fresh_budget(code: int, times: int) -> None:
    player = Player()
    player.put("ToolCorpus", limits={"maxRestarts": 2})
    give_up(player, code, times)
    before = player.status(TOOLS).attempt
    annotate(player)
    give_up(player, code, times)
    assert len(player.cluster.launched) == 2 * times, "the budget is fresh, and it is a budget"
    annotate(player)
    player.finish()
    now = player.status(TOOLS)
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"
    assert before is not None
    assert now.attempt is not None
    assert (now.attempt.number, now.attempt.digest) == (before.number, before.digest)


def test_time_that_was_spent_is_forgiven_too() -> None:
    player = Player()
    player.put("ToolCorpus", limits={"deadlineSeconds": 100})
    player.work()
    player.cluster.start(player.pods()[0])
    player.cluster.advance(200)
    player.work()
    assert player.reasons(TOOLS)["Stalled"] == "True DeadlineExceeded"
    annotate(player)
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"


@pytest.mark.parametrize("value", ["now", "2031-01-01", "2029-01-01T00:00:00Z"])
def test_a_wish_that_is_older_or_no_time_changes_nothing(value: str) -> None:
    player = Player()
    player.put("ToolCorpus")
    give_up(player, 78, 1)
    annotate(player, value)
    player.work()
    assert player.reasons(TOOLS)["Stalled"].startswith("True")
    assert len(player.cluster.launched) == 1


def test_a_run_that_succeeded_is_left_alone() -> None:
    player = Player()
    player.put("ToolCorpus")
    player.finish()
    annotate(player)
    player.finish()
    assert len(player.cluster.launched) == 1


def test_a_status_whose_answer_was_lost_wakes_who_waits_for_it() -> None:
    player = Player()
    player.put("ToolCorpus")
    chains = player.put("ChainSynthesis")
    player.work()
    player.run_pods("tools-")
    player.cluster.settle()

    def lose(when: str, what: str) -> None:
        if (when, what) == ("after", "write_status") and player.status(TOOLS).artifact:
            player.cluster.fault = lambda when, what: None
            raise Unreachable("no answer")

    player.cluster.fault = lose
    player.controller.wake(TOOLS)
    player.controller.work()
    assert player.status(TOOLS).artifact, "it was written"
    assert player.reasons(chains)["Succeeded"] == "Unknown WaitingForInput"
    player.cluster.advance(10)
    player.controller.work()  # nothing but its own back-off wakes the corpus now
    assert player.reasons(chains)["InputsReady"] == "True InputsResolved"
