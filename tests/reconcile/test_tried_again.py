"""``spec.retry``: a run that was given up goes on, from where it was, with a fresh budget; no clock is in it."""

import pytest

from astra_operator.clusters.base import RunKey, Unreachable
from tests.reconcile.harness import Player, bad

TOOLS = RunKey("ToolCorpus", "default", "tools")


def retry(player: Player, value: str) -> None:
    run = player.cluster.runs[TOOLS]
    player.cluster.put_run({**run, "metadata": {"name": "tools"}, "spec": run["spec"] | {"retry": value}})


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
    retry(player, "1")
    give_up(player, code, times)
    assert len(player.cluster.launched) == 2 * times, "the budget is fresh, and it is a budget"
    retry(player, "2")
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
    retry(player, "1")
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"


def test_a_value_that_was_honoured_changes_nothing_when_it_is_applied_again() -> None:
    player = Player()
    player.put("ToolCorpus", retry="1")
    give_up(player, 78, 1)
    for _ in range(3):
        retry(player, "1")
        player.work()
    assert player.reasons(TOOLS)["Stalled"].startswith("True")
    assert len(player.cluster.launched) == 1


def test_a_value_that_is_taken_back_costs_no_more_than_another_budget() -> None:
    player = Player()
    player.put("ToolCorpus", limits={"maxRestarts": 2})
    give_up(player, 75, 3)
    retry(player, "1")
    fail(player, 75)
    retry(player, "")
    for _ in range(9):
        fail(player, 75)
        player.cluster.advance(player.settings.longest_restart_delay)
    assert player.reasons(TOOLS)["Stalled"].startswith("True")
    assert len(player.cluster.launched) <= 6


def test_a_run_at_work_is_not_disturbed_and_begins_a_fresh_budget() -> None:
    player = Player()
    player.put("ToolCorpus", limits={"maxRestarts": 1})
    fail(player, 75)
    player.cluster.advance(player.settings.longest_restart_delay)
    player.work()
    before = [pod["metadata"]["uid"] for pod in player.pods()]
    retry(player, "1")
    player.work()
    assert [pod["metadata"]["uid"] for pod in player.pods()] == before
    give_up(player, 75, 3)
    assert len(player.cluster.launched) == 4, "two under the old value, of which neither counts, and two under the new"


def test_a_retry_is_no_new_attempt_and_no_other_digest() -> None:
    player = Player()
    player.put("ToolCorpus", retry="7")
    player.finish()
    digest = player.status(TOOLS).attempt
    retry(player, "8")
    player.finish()
    assert player.status(TOOLS).attempt == digest
    other = Player()
    other.put("ToolCorpus")
    other.finish()
    found = other.status(TOOLS).attempt
    assert digest is not None
    assert found is not None
    assert digest.digest == found.digest


def test_a_run_that_succeeded_is_left_alone() -> None:
    player = Player()
    player.put("ToolCorpus")
    player.finish()
    retry(player, "1")
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
