"""Random lives of runs whose tools run in sandbox pools, under kills and under faults: pools suffer, are slow, are removed by hand.

Whatever happens, the runs end as they would without pools, nothing is left of one, and no workload of a stage starts without its own.
"""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from astra_jobs.api.artifact import Kind
from tests.reconcile.harness import TEAM, Object, Player
from tests.reconcile.lagging import Lagging
from tests.reconcile.lives import PACE, Lives, Stocked, choices
from tests.reconcile.lives_lead import PIECES, lead, lead_and_record
from tests.reconcile.test_pools import pool_objects
from tests.reconcile.test_reconcile_under_faults import LivesUnderFaults
from tests.reconcile.test_reconcile_under_kills import Fragile, LivesUnderKills

CASTS: list[tuple[Kind, ...]] = [("EnvSynthesis",), ("SFTRun",), ("RLRun",), ("EnvSynthesis", "SFTRun", "RLRun")]
REMOVED = ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")
CRASHED = [{"name": "sandbox", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}}]
RESIZED: list[Object] = [{"sandbox": {"replicas": count}} for count in (1, 2, 4)]


def with_pools(player: Player) -> Player:
    player.cluster.teams["default"] = TEAM | {"isolation": "gVisor"}
    return player


class Pools(Lives):
    """What becomes of pools while their runs live. ``by_hand`` are the kinds of objects that somebody may remove."""

    by_hand: tuple[str, ...] = REMOVED

    @rule(choice=choices, what=st.sampled_from(["lost", "crashes", "is ready", "is not ready"]))
    def a_pods_pool(self, choice: int, what: str) -> None:
        for player in self.players:
            pods = sorted(player.cluster.pool_pods(), key=lambda pod: (pod["metadata"]["labels"]["astra.dev/pool"], pod["metadata"]["uid"]))
            if pods:
                suffer(player, pods[choice % len(pods)], what)

    @rule(choice=choices)
    def somebody_removes_an_object(self, choice: int) -> None:
        for player in self.players:
            found = sorted(slot for slot in player.cluster.objects if slot[0] in self.by_hand)
            if len(found) > 1:  # where all are removed at once, nothing tells of the Secret, which goes with the run then
                player.cluster.vanish(player.cluster.objects[found[choice % len(found)]])

    @rule(quick=st.booleans(), installed=st.booleans())
    def nodes_change(self, quick: bool, installed: bool) -> None:
        for player in self.players:
            player.cluster.pools_start = quick
            player.cluster.runtimes = {"gvisor"} if installed else set()

    @rule(choice=choices, change=st.sampled_from(RESIZED))
    def user_resizes(self, choice: int, change: Object) -> None:
        self.put(self.kind(choice), **change)

    def come_to_an_end(self) -> None:
        for player in self.players:
            player.cluster.pools_start, player.cluster.runtimes = True, {"gvisor"}
            for pod in player.cluster.pool_pods():
                suffer(player, pod, "is ready")
        super().come_to_an_end()
        for player in self.players:
            assert pool_objects(player) == []
            assert player.cluster.pool_pods() == []


def suffer(player: Player, pod: Object, what: str) -> None:
    if what == "lost":
        player.cluster.vanish(pod)
        return
    states: Any = [{"name": "sandbox", "ready": what == "is ready", "state": {"running": {"startedAt": "2030-01-01T00:00:00Z"}}}]
    pod["status"] = {"phase": "Running", "containerStatuses": CRASHED if what == "crashes" else states}


class PoolsUnderKills(Pools, LivesUnderKills):
    """Two clusters that are told the same; one loses its operator now and then."""

    @initialize(cast=st.sampled_from(CASTS))
    def start(self, cast: tuple[Kind, ...]) -> None:
        self.calm, self.fragile = with_pools(Player(PACE, Stocked())), with_pools(Fragile(PACE, Stocked()))  # type: ignore[assignment]
        self.begin(cast, (self.calm, self.fragile))
        self.work([])

    @invariant()
    def no_workload_starts_without_its_pool(self) -> None:
        for player in self.players:
            assert player.cluster.unserved == []


class PoolsUnderFaults(Pools, LivesUnderFaults):
    """One cluster; the operator sees it late and works in pieces. Nobody removes a policy, so that none may be missing."""

    by_hand = REMOVED[:-1]

    @initialize(cast=st.sampled_from(CASTS))
    def start(self, cast: tuple[Kind, ...]) -> None:
        self.cluster = Lagging()
        self.player = with_pools(Player(PACE, self.cluster))
        self.begin(cast, (self.player,))

    @invariant()
    def no_pod_of_a_pool_is_without_its_policy(self) -> None:
        if self.players:
            assert self.cluster.unguarded == []


def test_random_lives_with_pools_end_well() -> None:
    lead(PoolsUnderKills, lives=40, steps=25)


def test_random_lives_with_pools_end_well_under_faults() -> None:
    lead(PoolsUnderFaults, lives=40, steps=40)


@pytest.mark.bench
@pytest.mark.parametrize("piece", range(PIECES))
def test_thousands_of_random_lives_with_pools_end_well(piece: int) -> None:
    lead_and_record(PoolsUnderKills, piece, lives=1000 // PIECES, steps=40)
    lead_and_record(PoolsUnderFaults, piece, lives=1500 // PIECES, steps=60)
