"""Random lives, once undisturbed and once with the reconciler killed at random calls of the cluster, up to three times in a row.

Both must look the same after every step; nothing is ever executed twice; at the end every run has the artifact that a fresh
cluster would have made from the final specs.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from astra_jobs.api.artifact import Kind
from astra_jobs.api.v1alpha1.status import Status
from tests.reconcile.harness import Killed, Player
from tests.reconcile.lives import CASTS, PACE, Lives, Stocked, alive, place
from tests.reconcile.lives_lead import PIECES, lead, lead_and_record

Kill = tuple[int, str]


class Fragile(Player):
    """A player whose controller dies at the n-th call that changes the cluster, before or after it takes effect.

    A death at a reading call leaves what a death right after the writing call before it leaves, so only those are counted.
    """

    def work_with_kills(self, kills: Sequence[Kill]) -> None:
        for call, moment in kills:
            self._arm(call, moment)
            try:
                self.work()
            except Killed:
                self.restart()
        self.cluster.fault = lambda when, what: None
        self.work()

    def _arm(self, call: int, moment: str) -> None:
        left = call

        def fault(when: str, what: str) -> None:
            nonlocal left
            if when == moment and what in ("apply", "delete", "write_status"):
                left -= 1
                if left == 0:
                    raise Killed

        self.cluster.fault = fault


def picture(player: Player) -> list[Any]:
    """What people see: statuses without messages (they name launches), and which pods live."""
    told: list[Any] = []
    for key, run in player.cluster.runs.items():
        status = Status.model_validate(run["status"])
        conditions = {item.type: (item.status, item.reason, item.observed_generation) for item in status.conditions}
        attempt = (status.attempt.number, status.attempt.digest, status.attempt.restarts) if status.attempt else None
        history = [item.model_dump() for item in status.history]
        told += [(key, name, conditions[name]) for name in sorted(conditions)]
        told.append((key, attempt, status.stage, status.artifact, status.artifacts, history))
    return [*told, [(place(pod), pod["status"]["phase"]) for pod in alive(player)]]


class LivesUnderKills(Lives):
    """Two clusters that are told the same; one loses its operator now and then."""

    @initialize(cast=st.sampled_from(CASTS))
    def start(self, cast: tuple[Kind, ...]) -> None:
        self.calm, self.fragile = Player(PACE, Stocked()), Fragile(PACE, Stocked())
        self.begin(cast, (self.calm, self.fragile))
        self.work([])

    @rule(kills=st.lists(st.tuples(st.integers(1, 8), st.sampled_from(["before", "after"])), max_size=3))
    def work(self, kills: list[Kill]) -> None:
        self.calm.work()
        self.fragile.work_with_kills(kills)
        calm, fragile = picture(self.calm), picture(self.fragile)
        assert calm == fragile, [(one, other) for one, other in zip(calm, fragile, strict=True) if one != other]

    def teardown(self) -> None:
        if self.players:
            self.come_to_an_end()


def test_random_lives_end_well() -> None:
    lead(LivesUnderKills, lives=100, steps=25)


@pytest.mark.bench
@pytest.mark.parametrize("piece", range(PIECES))
def test_thousands_of_random_lives_end_well(piece: int) -> None:
    lead_and_record(LivesUnderKills, piece, lives=3000 // PIECES, steps=40)
