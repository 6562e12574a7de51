"""Two operators on one namespace: only the holder of the Lease writes, and the other takes over when the holder dies, leaves or stalls."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import OperatorTeam
from tests.cluster.plane.plane import ControlPlane

LEASE = 4.0
USERS = ("operator-a", "operator-b")


class Pair:
    """Two operators that the audit log tells apart; the first holds the Lease."""

    def __init__(self, plane: ControlPlane, folder: Path, lease: float = LEASE) -> None:
        self.team = OperatorTeam(plane, "pair")
        self.operators = {
            user: OperatorProcess(self.team.other_identity(user), [self.team.namespace], folder, user, ASTRA_LEASE_SECONDS=str(lease))
            for user in USERS
        }
        self.start("operator-a")
        self.team.wait("the first holds the Lease", self.team.holder)
        self.start("operator-b")

    def start(self, user: str) -> None:
        self.operators[user].start()

    def close(self) -> None:
        for operator in self.operators.values():
            operator.close()

    def put(self, name: str) -> None:
        """Apply a run and wait for its Job."""
        self.team.put("ToolCorpus", name)
        self.team.wait_for_job(f"{name}-corpus-1-collect-0", 60)

    def writers(self, since: int) -> set[str]:
        """Return who wrote anything but the Lease."""
        return {user for user in USERS if self.team.writes(user, since)}


@pytest.fixture
def pair(plane: ControlPlane, tmp_path: Path) -> Iterator[Pair]:
    plane.require_own()
    pair = Pair(plane, tmp_path)
    try:
        yield pair
    finally:
        pair.close()


def test_only_the_holder_writes_and_after_its_death_the_other_takes_over(pair: Pair) -> None:
    mark = pair.team.plane.audit_mark()
    pair.put("one")
    assert pair.writers(mark) == {"operator-a"}
    holder, mark = pair.team.holder(), pair.team.plane.audit_mark()
    pair.operators["operator-a"].kill()
    pair.put("two")
    assert pair.team.holder() != holder
    assert pair.writers(mark) == {"operator-b"}
    assert pair.team.settled("one")["status"]["attempt"]["number"] == 1


def test_after_an_orderly_end_the_other_takes_over_without_waiting_for_the_lease_to_end(plane: ControlPlane, tmp_path: Path) -> None:
    plane.require_own()
    pair = Pair(plane, tmp_path, lease=3600)
    try:
        assert pair.operators["operator-a"].stop() == 0
        pair.team.wait("the other holds the Lease", pair.team.holder)
        mark = pair.team.plane.audit_mark()
        pair.put("one")
        assert pair.writers(mark) == {"operator-b"}
    finally:
        pair.close()


def test_a_holder_that_was_stopped_past_its_lease_writes_nothing_any_more(pair: Pair) -> None:
    pair.put("one")
    paused = pair.operators["operator-a"]
    paused.signal(signal.SIGSTOP)
    pair.put("two")  # by the other
    mark = pair.team.plane.audit_mark()
    calls = paused_calls(pair, mark)
    paused.signal(signal.SIGCONT)
    pair.put("three")
    pair.team.put("ToolCorpus", "one", seed=7)
    pair.team.settled("one")
    pair.team.wait("the paused one is awake again", lambda: paused_calls(pair, mark) > calls)
    pair.team.wait("and knows that it holds nothing", lambda: "lost the Lease" in paused.log())
    assert pair.writers(mark) == {"operator-b"}
    assert paused.healthy() or "no event" not in paused.problems()


def paused_calls(pair: Pair, mark: int) -> int:
    return len(pair.team.calls("operator-a", mark))
