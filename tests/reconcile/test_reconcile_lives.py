"""One life after another: what a user does, what nodes do, and what status and pods must then say."""

from collections.abc import Callable

import pytest

from astra_jobs.api.result import JobResult, ProgressReport
from astra_operator.clusters.base import RunKey
from astra_operator.frozen import Frozen, read_live
from tests.reconcile.harness import NAMES, SPECS, TEAM, Player, bad

TOOLS = RunKey("ToolCorpus", "default", "tools")
CHAINS = RunKey("ChainSynthesis", "default", "chains")


@pytest.fixture
def player() -> Player:
    return Player()


def all_five(player: Player) -> list[RunKey]:
    return [player.put(kind) for kind in SPECS]


def launches(player: Player) -> list[str]:
    return [name.split("/")[1] for name in player.cluster.launched]


def test_five_runs_end_in_order_and_say_so(player: Player) -> None:
    keys = all_five(player)
    player.finish()
    for key in keys:
        reasons = player.reasons(key)
        assert reasons["Succeeded"] == "True Finished"
        assert reasons["Ready"] == "True Finished"
        assert reasons["Reconciling"] == "False Finished"
        assert reasons["Stalled"] == "False Finished"
        assert reasons["InputsReady"] == "True InputsResolved"
        assert reasons["ServicesReady"] == "True NoServices"
        assert reasons["Outdated"] == "False CodeCurrent"
    order = launches(player)
    assert order.index("tools-corpus-1-collect-0") < order.index("chains-chains-1-synthesise-0") < order.index("sft-sft-1-prepare-0")
    assert "rl-rl-1-evaluate-0" not in order, "an RLRun without evaluation has no such stage"


def test_a_quiet_life_takes_at_most_six_status_writes(player: Player) -> None:
    all_five(player)
    player.finish()
    for name in NAMES.values():
        assert sum(call == ("write_status", name) for call in player.cluster.log) <= 6
    before = len(player.cluster.log)
    player.work()
    assert not [call for call in player.cluster.log[before:] if call[0] in ("apply", "delete", "write_status")], (
        "a finished run is left alone"
    )


def test_training_waits_only_for_what_it_reads(player: Player) -> None:
    all_five(player)
    player.finish(until=lambda: bool(player.pods("sft-sft-1-evaluate")))
    assert player.pods("rl-rl-1-prepare"), "reinforcement starts from the trained model while that is still being measured"


def test_a_run_waits_for_its_input_and_names_it(player: Player) -> None:
    player.put("ChainSynthesis")
    player.put("ToolCorpus", name="other")
    player.work()
    assert player.reasons(CHAINS)["InputsReady"] == "False WaitingForInput"
    assert player.reasons(CHAINS)["Reconciling"] == "True WaitingForInput"
    wait = player.message(CHAINS, "InputsReady")
    assert wait == 'spec.corpus.name: there is no ToolCorpus named "tools" in namespace "default"'
    player.put("ToolCorpus")
    player.work()
    assert player.message(CHAINS, "InputsReady") == 'spec.corpus.name: ToolCorpus "tools" has no artifact yet'
    player.finish()
    assert player.reasons(CHAINS)["Succeeded"] == "True Finished"


def test_an_invalid_spec_stalls_with_one_line_and_its_mend_starts_it(player: Player) -> None:
    player.put("ToolCorpus", filtrs={})
    player.work()
    assert player.reasons(TOOLS)["Stalled"] == "True InvalidSpec"
    assert player.message(TOOLS, "Stalled").startswith("spec.filtrs: ")
    assert "filters" in player.message(TOOLS, "Stalled")
    assert not player.cluster.launched
    player.put("ToolCorpus")
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"


def test_a_spec_spoilt_later_leaves_the_running_attempt_alone(player: Player) -> None:
    player.put("ToolCorpus")
    player.work()
    player.put("ToolCorpus", nonsense=1)
    player.work()
    assert player.reasons(TOOLS)["Stalled"] == "True InvalidSpec"
    assert [pod["metadata"]["name"] for pod in player.pods(phase="Pending")] == ["tools-corpus-1-collect-0-0"]
    player.finish()
    assert player.status(TOOLS).artifact is not None
    assert player.reasons(TOOLS)["Stalled"] == "True InvalidSpec"


def test_missing_team_settings_stall_the_run(player: Player) -> None:
    player.cluster.teams.clear()
    player.put("ToolCorpus")
    player.work()
    assert player.reasons(TOOLS)["Stalled"] == "True SettingsInvalid"
    assert "storeUrl" in player.message(TOOLS, "Stalled")
    player.cluster.teams["default"] = TEAM
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"


def test_a_changed_field_opens_an_attempt_and_keeps_the_old_artifact_until_the_new_one_is_there(player: Player) -> None:
    player.put("ToolCorpus")
    player.finish()
    old = player.status(TOOLS)
    player.put("ToolCorpus", seed=1)
    player.work()
    now = player.status(TOOLS)
    assert now.attempt is not None
    assert old.attempt is not None
    assert now.attempt.number == 2
    assert now.attempt.digest != old.attempt.digest
    assert now.artifact == old.artifact
    assert now.artifacts == {}
    assert player.reasons(TOOLS)["Ready"] == "False Running"
    assert [(past.number, past.outcome, past.artifact) for past in now.history] == [(1, "Succeeded", old.artifact)]
    player.finish()
    assert player.status(TOOLS).artifact != old.artifact
    assert not [item for kind, _, item in player.cluster.objects if "-1-" in item or item.endswith("-1")], "nothing of attempt 1 is left"


def test_history_keeps_five_attempts(player: Player) -> None:
    for seed in range(8):
        player.put("ToolCorpus", seed=seed)
        player.finish()
    assert [past.number for past in player.status(TOOLS).history] == [3, 4, 5, 6, 7]


def test_an_old_attempts_last_word_is_kept_when_the_spec_changes_at_once(player: Player) -> None:
    player.put("ToolCorpus")
    player.work()
    player.run_pods()
    player.put("ToolCorpus", seed=1)  # before the operator has seen the result
    player.work()
    status = player.status(TOOLS)
    assert status.artifact is not None
    assert [past.outcome for past in status.history] == ["Succeeded"]
    assert player.reasons(TOOLS)["Succeeded"] == "Unknown Running"


def test_operational_fields_and_written_out_defaults_open_no_attempt(player: Player) -> None:
    player.put("ChainSynthesis")
    player.put("ToolCorpus")
    player.finish()
    player.put("ChainSynthesis", shards=5, walks={"minLength": 2}, limits={"maxRestarts": 9}, pod={"resources": {"cpu": "2"}})
    player.finish()
    status = player.status(CHAINS)
    assert status.attempt is not None
    assert status.attempt.number == 1
    assert status.observed_generation == 2


def test_rerun_starts_again_and_downstream_follows(player: Player) -> None:
    player.put("ToolCorpus")
    player.put("ChainSynthesis")
    player.finish()
    player.put("ToolCorpus", rerun="again")
    player.finish()
    assert [player.status(key).attempt.number for key in (TOOLS, CHAINS)] == [2, 2]  # type: ignore[union-attr]
    assert player.status(TOOLS).history[0].digest != player.status(TOOLS).attempt.digest  # type: ignore[union-attr]


@pytest.mark.parametrize(("policy", "now", "in_the_end"), [("Finish", 1, 2), ("Replace", 2, 2), ("Ignore", 1, 1)])
def test_a_changed_input_is_followed_by_policy(player: Player, policy: str, now: int, in_the_end: int) -> None:
    player.put("ToolCorpus")
    player.put("ChainSynthesis", onInputChange=policy)
    player.finish(until=lambda: bool(player.pods("chains-chains-1-synthesise")))
    player.put("ToolCorpus", seed=1)
    player.work()
    player.run_pods("tools-")
    player.work()
    assert player.status(CHAINS).attempt.number == now  # type: ignore[union-attr]
    player.finish()
    assert player.status(CHAINS).attempt.number == in_the_end  # type: ignore[union-attr]
    assert player.reasons(CHAINS)["Succeeded"] == "True Finished"


def test_changing_two_runs_at_once_makes_the_lower_one_only_once_more(player: Player) -> None:
    all_five(player)
    player.finish()
    player.put("ToolCorpus", seed=1)
    player.put("RLRun", seed=1)
    player.finish()
    numbers = {kind: player.status(RunKey(kind, "default", name)).attempt.number for kind, name in NAMES.items()}  # type: ignore[union-attr]
    assert numbers == {"ToolCorpus": 2, "ChainSynthesis": 2, "EnvSynthesis": 1, "SFTRun": 2, "RLRun": 2}


def test_changing_the_last_run_leaves_the_others_alone(player: Player) -> None:
    all_five(player)
    player.finish()
    before = len(player.cluster.launched)
    player.put("RLRun", seed=1)
    player.finish()
    assert [name for name in launches(player)[before:] if not name.startswith("rl-")] == []


def test_a_run_applied_again_finds_everything_in_the_store(player: Player) -> None:
    player.put("ToolCorpus")
    player.put("ChainSynthesis")
    player.finish()
    first = player.status(CHAINS)
    player.cluster.remove_run(CHAINS)
    player.work()
    assert not [name for _, _, name in player.cluster.objects if name.startswith("chains-")]
    player.put("ChainSynthesis")
    player.finish(reused=True)
    assert player.reasons(CHAINS)["Succeeded"] == "True UpToDate"
    assert player.status(CHAINS).artifact == first.artifact
    assert player.status(CHAINS).attempt.digest == first.attempt.digest  # type: ignore[union-attr]


def test_up_to_date_needs_every_stage(player: Player) -> None:
    player.put("ToolCorpus")
    player.finish()
    player.put("ChainSynthesis")
    player.work()
    player.run_pods("synthesise", reused=True)
    player.work()
    player.run_pods("merge")
    player.work()
    assert player.reasons(CHAINS)["Succeeded"] == "True Finished"


def test_suspend_removes_the_pods_and_resume_goes_on_uncounted(player: Player) -> None:
    player.put("ToolCorpus")
    player.work()
    player.put("ToolCorpus", suspend=True)
    player.work()
    assert player.pods() == []
    assert not [kind for kind, _, _ in player.cluster.objects if kind == "Job"]
    reasons = player.reasons(TOOLS)
    assert reasons["Suspended"] == "True Suspended"
    assert reasons["Reconciling"] == "False Suspended"
    assert reasons["Succeeded"] == "Unknown Suspended"
    player.put("ToolCorpus")
    player.work()
    assert launches(player) == ["tools-corpus-1-collect-0", "tools-corpus-1-collect-1"]
    player.finish()
    assert player.status(TOOLS).attempt.restarts == 0  # type: ignore[union-attr]
    assert player.reasons(TOOLS)["Suspended"] == "False NotSuspended"


def test_a_run_created_suspended_starts_nothing(player: Player) -> None:
    player.put("ToolCorpus", suspend=True)
    player.work()
    assert player.cluster.launched == []
    assert player.reasons(TOOLS)["Suspended"] == "True Suspended"
    player.put("ToolCorpus")
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"


def fail(player: Player, result: JobResult | None, code: int, **state: object) -> None:
    """End the only living pod with a failure, wait out the delay, and let the next launch come."""
    (pod,) = [pod for pod in player.pods("tools-") if pod["status"]["phase"] in ("Pending", "Running")]
    player.cluster.finish(pod, result, code, **state)
    player.work()
    player.cluster.advance(player.settings.longest_restart_delay)
    player.work()


@pytest.mark.parametrize(
    ("end", "counted"),
    [
        (lambda player: fail(player, bad("StoreUnavailable", "no store", 75), 75), 1),
        (lambda player: fail(player, None, 1), 1),
        (lambda player: fail(player, None, 137), 1),
        (lambda player: fail(player, None, 137, reason="OOMKilled"), 1),
        (lambda player: fail(player, None, 0), 1),
        (lambda player: fail(player, bad("Failed", "told to stop", 85, checkpoint=20), 85), 0),
        (lambda player: fail(player, bad("Failed", "told to stop", 85), 85), 1),
        (lambda player: lose(player, "NodeLost"), 0),
        (lambda player: lose(player, "Evicted"), 0),
        (lambda player: vanish(player), 0),
    ],
    ids=["transient", "crash", "signal", "memory", "no-result", "preempted", "preempted-early", "node-lost", "evicted", "vanished"],
)
def test_a_failed_launch_is_started_again_as_a_whole(player: Player, end: Callable[[Player], None], counted: int) -> None:
    player.put("ToolCorpus")
    player.work()
    end(player)
    assert launches(player) == ["tools-corpus-1-collect-0", "tools-corpus-1-collect-1"]
    assert player.status(TOOLS).attempt.restarts == counted  # type: ignore[union-attr]
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"


def lose(player: Player, reason: str) -> None:
    (pod,) = player.pods("tools-")
    player.cluster.lose(pod, reason)
    player.work()


def vanish(player: Player) -> None:
    player.cluster.vanish({"kind": "Job", "metadata": {"name": "tools-corpus-1-collect-0"}})
    player.work()


def test_a_second_preemption_without_a_newer_checkpoint_counts(player: Player) -> None:
    player.put("ToolCorpus")
    player.work()
    for checkpoint, counted in [(5, 0), (5, 1), (9, 1)]:
        fail(player, bad("Failed", "told to stop", 85, checkpoint=checkpoint), 85)
        assert player.status(TOOLS).attempt.restarts == counted  # type: ignore[union-attr]


def test_bad_input_is_never_tried_again_until_the_spec_changes(player: Player) -> None:
    player.put("ToolCorpus")
    player.work()
    fail(player, bad("ToolServerUnavailable", "found 0 tools; give another command", 78, where="sources[0].mcp.command"), 78)
    assert launches(player) == ["tools-corpus-1-collect-0"]
    reasons = player.reasons(TOOLS)
    assert reasons["Stalled"] == "True ToolServerUnavailable"
    assert reasons["Succeeded"] == "False ToolServerUnavailable"
    assert player.message(TOOLS, "Stalled") == "stage collect: sources[0].mcp.command: found 0 tools; give another command"
    assert player.pods("tools-"), "the failed pod is kept for its log"
    player.put("ToolCorpus", seed=1)
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"
    assert [past.outcome for past in player.status(TOOLS).history] == ["ToolServerUnavailable"]


def test_restarts_are_limited_and_raising_the_limit_goes_on(player: Player) -> None:
    player.put("ToolCorpus", limits={"maxRestarts": 2})
    player.work()
    for _ in range(3):
        fail(player, bad("StoreUnavailable", "no store", 75), 75)
    assert len(player.cluster.launched) == 3
    assert player.reasons(TOOLS)["Stalled"] == "True StoreUnavailable"
    assert "limits.maxRestarts is 2" in player.message(TOOLS, "Stalled")
    player.put("ToolCorpus", limits={"maxRestarts": 3})
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"


def test_restarts_wait_longer_each_time(player: Player) -> None:
    player.put("ToolCorpus", limits={"maxRestarts": 9})
    player.work()
    for wait in (10, 20, 40):
        (pod,) = player.pods("tools-")
        player.cluster.finish(pod, None, 1)
        player.work()
        count = len(player.cluster.launched)
        assert player.reasons(TOOLS)["Reconciling"] == "True Restarting"
        player.cluster.advance(wait - 1)
        player.work()
        assert len(player.cluster.launched) == count
        player.cluster.advance(1)
        player.work()
        assert len(player.cluster.launched) == count + 1


def test_one_dead_rank_ends_all_of_them(player: Player) -> None:
    all_five(player)
    player.finish(until=lambda: bool(player.pods("rl-rl-1-train-0")))
    master, worker = player.pods("rl-rl-1-train-0")
    player.cluster.start(master)
    player.cluster.finish(worker, None, 137)
    player.work()
    player.cluster.advance(10)
    player.work()
    assert [pod["metadata"]["name"] for pod in player.pods("rl-rl-1-train")] == ["rl-rl-1-train-1-master-0", "rl-rl-1-train-1-worker-0"]
    player.finish()
    assert player.reasons(RunKey("RLRun", "default", "rl"))["Succeeded"] == "True Finished"


def test_a_workload_without_progress_is_started_again_as_stuck(player: Player) -> None:
    player.put("ToolCorpus", limits={"stallSeconds": 60, "maxRestarts": 0})
    player.work()
    (pod,) = player.pods()
    player.cluster.start(pod)
    for _ in range(3):  # reports keep it alive, however long it takes
        player.cluster.advance(50)
        time = player.cluster.clock.timestamp()
        player.cluster.reports[pod["metadata"]["name"]] = ProgressReport(step=1, total=9, time=time)
        player.work()
    assert player.reasons(TOOLS)["Succeeded"] == "Unknown Running"
    player.cluster.advance(61)
    player.work()
    assert player.reasons(TOOLS)["Stalled"] == "True Stuck"
    assert player.pods() == [], "a stuck pod holds its memory until it is removed"


def test_an_attempt_that_takes_too_long_is_given_up_and_waiting_does_not_count(player: Player) -> None:
    player.put("ToolCorpus", limits={"deadlineSeconds": 100})
    player.work()
    player.cluster.advance(1000)  # pending
    player.work()
    (pod,) = player.pods()
    player.cluster.start(pod)
    player.cluster.advance(60)
    player.put("ToolCorpus", limits={"deadlineSeconds": 100}, suspend=True)
    player.work()
    player.cluster.advance(1000)  # suspended
    player.put("ToolCorpus", limits={"deadlineSeconds": 100})
    player.work()
    (pod,) = player.pods()
    player.cluster.start(pod)
    player.cluster.advance(39)
    player.work()
    assert player.reasons(TOOLS)["Reconciling"] == "True Running"
    player.cluster.advance(2)
    player.work()
    assert player.reasons(TOOLS)["Stalled"] == "True DeadlineExceeded"
    assert player.pods() == []


def test_what_keeps_a_pod_from_starting_is_lifted_into_the_conditions(player: Player) -> None:
    player.put("ToolCorpus")
    player.work()
    (pod,) = player.pods()
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "needs 9 CPU, 2 are free"}
    pod["status"] = {"phase": "Pending", "conditions": [condition]}
    player.cluster.advance(6)
    player.work()
    assert player.reasons(TOOLS)["Reconciling"] == "True WaitingForCapacity"
    assert "needs 9 CPU" in player.message(TOOLS, "Reconciling")
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    pod["status"] = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
    player.work()
    assert player.reasons(TOOLS)["Reconciling"] == "True ImageUnavailable"


def test_progress_is_written_at_most_every_thirty_seconds(player: Player) -> None:
    player.put("ToolCorpus")
    player.work()
    (pod,) = player.pods()
    player.cluster.start(pod)
    seen = []
    for step in range(1, 10):
        player.cluster.advance(10)
        report = ProgressReport(step=step, total=10, message="servers", time=player.cluster.clock.timestamp())
        player.cluster.reports[pod["metadata"]["name"]] = report
        player.work()
        progress = player.status(TOOLS).progress
        assert progress is not None
        seen.append(progress.step)
    assert seen == [1, 1, 1, 4, 4, 4, 7, 7, 7]
    assert progress.percent == 70
    assert progress.eta_seconds == 30


def test_a_newer_version_outdates_an_attempt_and_does_nothing_else(player: Player) -> None:
    player.put("ToolCorpus")
    player.finish()
    player.restart(code_version="2.0")
    player.finish()
    assert player.reasons(TOOLS)["Outdated"] == "True CodeChanged"
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"
    assert len(player.cluster.launched) == 1


def test_a_frozen_attempt_outlives_a_schema_that_no_longer_takes_its_spec(player: Player) -> None:
    player.put("ToolCorpus")
    player.finish()
    player.cluster.runs[TOOLS]["spec"]["nonsense"] = 1
    frozen = player.cluster.objects["ConfigMap", "default", "tools-corpus-1"]
    record = Frozen.model_validate_json(frozen["data"]["attempt.json"])
    written = read_live(player.cluster.runs[TOOLS]).written
    frozen["data"]["attempt.json"] = record.model_copy(update={"written": written}).model_dump_json(by_alias=True)
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"


def test_a_name_taken_by_a_run_that_is_still_being_removed_is_waited_for(player: Player) -> None:
    player.put("ToolCorpus")
    player.work()
    left = dict(player.cluster.objects)
    player.cluster.remove_run(TOOLS)
    player.put("ToolCorpus")
    player.controller.wake(TOOLS)
    player.controller.work()  # the old objects are still there, with another owner
    assert player.cluster.objects == left
    player.cluster.advance(10)
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"


def test_results_outlive_their_pods(player: Player) -> None:
    player.put("ToolCorpus")
    player.finish()
    for pod in player.pods():
        player.cluster.vanish(pod)
    player.cluster.vanish({"kind": "Job", "metadata": {"name": "tools-corpus-1-collect-0"}})
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"
    assert len(player.cluster.launched) == 1
