"""What a pass costs when there is nothing to do: an operator that starts anew looks at every run once, and must be through soon."""

import json
import threading
import time

import pytest

from astra_operator import observed
from astra_operator.clusters.base import RunKey
from tests.patience import patience
from tests.reconcile.harness import SPECS, Object, Player
from tests.reconcile.transition_kit import Scene, shards

RUNS, SECONDS = 5000, 10.0
PASSES = 40


@pytest.mark.bench
def test_a_start_over_five_thousand_finished_runs_takes_ten_seconds_of_one_core() -> None:
    player = Player()
    keys = [player.put(kind) for kind in SPECS]
    player.finish()
    cluster = player.cluster
    # As the real cluster answers: every read decodes its own copy; and nothing is in the caches yet.
    runs = {key: json.dumps(cluster.runs[key]) for key in keys}
    uids = {key: cluster.runs[key]["metadata"]["uid"] for key in keys}
    children = {uid: [json.dumps(item) for item in cluster.children(uid)] for uid in uids.values()}
    cluster.get_run = lambda kind, namespace, name: json.loads(runs[RunKey(kind, namespace, name)])  # type: ignore[method-assign]
    cluster.children = lambda uid: [json.loads(item) for item in children[uid]]  # type: ignore[method-assign]
    before = len([call for call, _ in cluster.log if call in ("apply", "delete", "write_status")])
    assert min(_seconds(player, keys) for _ in range(3)) * RUNS < SECONDS
    assert len([call for call, _ in cluster.log if call in ("apply", "delete", "write_status")]) == before


def test_many_shards_are_asked_at_once() -> None:
    scene, together = Scene(), threading.Barrier(6)
    shards(scene, shards=6)

    def progress(pod: Object) -> None:
        together.wait(patience())  # breaks, and fails the pass, unless all six are asked side by side

    scene.cluster.progress = progress  # type: ignore[method-assign]
    scene.wait(10)
    assert not together.broken
    assert scene.reasons(scene.key)["Reconciling"] == "True Running"


def _seconds(player: Player, keys: list[RunKey]) -> float:
    """Return the time of a processor that one pass takes, in the mean over the five kinds."""
    started = time.process_time()
    for _ in range(PASSES):
        for cached in (observed._read_frozen, observed._read_request, observed._read_end):
            cached.cache_clear()
        for key in keys:
            assert player.controller.reconciler.reconcile(key).changed is False
    return (time.process_time() - started) / (PASSES * len(keys))
