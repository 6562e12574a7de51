"""One scripted life, with the operator killed at every single call that changes the cluster: all end the same."""

from collections.abc import Callable

import pytest

from astra_operator.clusters.base import RunKey, Unreachable
from astra_operator.settings import OperatorSettings
from tests.reconcile.harness import Killed, Player, bad

PACE = OperatorSettings(poll=10, progress_interval=30, first_restart_delay=0, code_version="1.0")
TOOLS, CHAINS = RunKey("ToolCorpus", "default", "tools"), RunKey("ChainSynthesis", "default", "chains")
WRITES = ("apply", "delete", "write_status")


def life(player: Player, work: Callable[[], None]) -> None:
    """Fail, be preempted, be suspended, be edited, fail for good, be mended."""
    limits = {"maxRestarts": 1}
    player.put("ToolCorpus")
    player.put("ChainSynthesis", limits=limits)
    work()
    player.run_pods("tools")
    work()
    player.cluster.finish(player.pods("chains")[0], bad("StoreUnavailable", "no store", 75), 75)
    work()
    player.put("ChainSynthesis", limits=limits, suspend=True)
    work()
    player.put("ChainSynthesis", limits=limits)
    work()
    player.run_pods("synthesise")
    work()
    player.put("ToolCorpus", seed=1)
    work()
    player.run_pods()
    work()
    player.run_pods("chains")
    work()
    player.cluster.finish(player.pods("chains")[0], bad("NothingKept", "no record left", 78), 78)
    work()
    player.put("ChainSynthesis", limits=limits, rerun="again")
    for _ in range(4):
        work()
        player.run_pods()
    work()


def final(player: Player) -> list[object]:
    seen: list[object] = [sorted(name for kind, _, name in player.cluster.objects if kind == "ConfigMap" and name.count("-") == 2)]
    for key in (TOOLS, CHAINS):
        status = player.status(key)
        assert status.attempt is not None
        conditions = [(item.type, item.status, item.reason) for item in status.conditions]
        history = [(past.number, past.outcome, past.artifact) for past in status.history]
        seen += [
            conditions,
            status.attempt.number,
            status.attempt.digest,
            status.attempt.restarts,
            status.artifact,
            status.artifacts,
            history,
        ]
    return seen


def lived(fault: Callable[[str, str], None]) -> Player:
    player = Player(PACE)
    player.cluster.fault = fault
    life(player, player.survive)
    return player


def test_a_kill_at_any_write_changes_nothing_in_the_end() -> None:
    calls: list[str] = []
    calm = lived(lambda moment, call: calls.append(call) if moment == "before" and call in WRITES else None)
    expected = final(calm)
    assert len(calls) > 40
    for nth in range(1, len(calls) + 1):  # a death before write n+1 leaves what one after write n does
        left = nth

        def fault(when: str, call: str) -> None:
            nonlocal left
            if when == "after" and call in WRITES:
                left -= 1
                if left == 0:
                    raise Killed

        player = lived(fault)
        assert final(player) == expected, f"killed after write {nth} ({calls[nth - 1]})"
        assert len(set(player.cluster.launched)) == len(player.cluster.launched)
        assert player.cluster.overlaps == []


@pytest.mark.parametrize("call", ["get_run", "children", "team"])
def test_a_failing_read_is_tried_again(call: str) -> None:
    player, left = Player(PACE), [3]

    def fault(when: str, what: str) -> None:
        if what == call and when == "before" and left[0] and player.cluster.log:
            left[0] -= 1
            raise Unreachable("no answer")

    key = player.put("ToolCorpus")
    player.controller.wake(key)
    player.cluster.fault = fault
    for _ in range(9):
        player.controller.work()
        player.cluster.advance(60)
        player.cluster.log.append(("time", ""))
    player.finish()
    assert player.reasons(key)["Succeeded"] == "True Finished"
