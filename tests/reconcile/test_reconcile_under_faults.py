"""Random lives of runs whose operator has a bad time: late watches, calls that fail or lose their answer, deaths, long absences.

Whatever it went through, once things are well again every run ends as it would have on a calm day; nothing is executed twice.
"""

import random
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from astra_jobs.api.artifact import Kind
from astra_operator.clusters.base import Unreachable
from tests.reconcile.harness import Killed, Player
from tests.reconcile.lagging import STREAMS, Lagging
from tests.reconcile.lives import CASTS, PACE, Lives
from tests.reconcile.lives_lead import PIECES, lead, lead_and_record

WRITES = ("apply", "delete", "write_status")


class LivesUnderFaults(Lives):
    """One cluster; the operator sees it late and works in pieces."""

    @initialize(cast=st.sampled_from(CASTS))
    def start(self, cast: tuple[Kind, ...]) -> None:
        self.cluster = Lagging()
        self.player = Player(PACE, self.cluster)
        self.begin(cast, (self.player,))

    @rule(streams=st.sets(st.sampled_from(STREAMS), min_size=1), settled=st.booleans())
    def some_streams_deliver(self, streams: set[str], settled: bool) -> None:
        if settled:
            self.cluster.settle()
        for stream in sorted(streams):
            self.cluster.deliver(stream)
        self._operate()

    @rule(rounds=st.integers(1, 5), succeed=st.booleans())
    def all_goes_well_for_a_while(self, rounds: int, succeed: bool) -> None:
        for _ in range(rounds):
            self.cluster.settle()
            self.cluster.deliver_all()
            self._operate()
            if succeed:
                self.player.run_pods()

    @rule()
    def pods_succeed_and_the_workload_says_so_first(self) -> None:
        self.cluster.settle()
        self.player.run_pods()
        self.cluster.settle()
        for stream in ("Job", "PyTorchJob"):
            self.cluster.deliver(stream)
        self._operate()

    @rule(
        seed=st.integers(0, 999),
        failing=st.sampled_from([0.05, 0.3, 1.0]),
        seconds=st.sampled_from([0, 1, 10, 100]),
        rounds=st.integers(0, 3),
    )
    def calls_fail(self, seed: int, failing: float, seconds: int, rounds: int) -> None:
        """Let calls fail at random, before or after they took effect."""
        chance = random.Random(seed)

        def fault(when: str, what: str) -> None:
            if when == "before":
                self.cluster.lossy = chance.random() < failing / 2
            if self.cluster.lossy if when == "after" else chance.random() < failing / 2:
                self.cluster.lossy = False
                raise Unreachable(f"{what} failed {when} it took effect")

        self._suffer(fault)
        self.cluster.advance(seconds)
        self.all_goes_well_for_a_while(rounds, succeed=True)

    @rule(call=st.integers(1, 6), moment=st.sampled_from(["before", "after"]), rounds=st.integers(0, 3))
    def operator_dies(self, call: int, moment: str, rounds: int) -> None:
        left = call

        def fault(when: str, what: str) -> None:
            nonlocal left
            left -= when == moment and what in WRITES
            if not left:
                raise Killed

        self._suffer(fault)
        self.all_goes_well_for_a_while(rounds, succeed=False)

    def _suffer(self, fault: Callable[[str, str], None]) -> None:
        self.cluster.fault = fault
        try:
            self._operate()
        except Killed:
            self.player.restart()
            self.cluster.deliver_all()  # a new process begins with a full list
        finally:
            self.cluster.fault, self.cluster.lossy = lambda when, what: None, False

    def _operate(self) -> None:
        for key in list(self.cluster.seen_runs):
            self.player.controller.wake(key)
        self.player.controller.work()

    @invariant()
    def no_success_was_taken_for_a_loss(self) -> None:
        if self.players:
            assert not self.cluster.wrong

    def teardown(self) -> None:
        if not self.players:
            return
        self.cluster.deliver_all()
        settle = self.cluster.settle

        def settle_and_tell() -> None:
            settle()
            self.cluster.deliver_all()

        self.cluster.settle = settle_and_tell
        self.come_to_an_end()


def test_random_lives_end_well_whatever_the_operator_went_through() -> None:
    lead(LivesUnderFaults, lives=120, steps=40)


@pytest.mark.bench
@pytest.mark.parametrize("piece", range(PIECES))
def test_thousands_of_random_lives_end_well_under_faults(piece: int) -> None:
    lead_and_record(LivesUnderFaults, piece, lives=4000 // PIECES, steps=60)
