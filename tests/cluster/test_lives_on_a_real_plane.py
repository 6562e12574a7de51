"""Twenty random lives from fixed seeds under real operators that are killed again and again: all end as on a calm day.

A calm day is the same story on the cluster in memory, with nobody killed. What faults of the API server do is not looked at here.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.cluster.lives_plane import World
from tests.cluster.lives_story import draw
from tests.cluster.lives_watch import played_twice
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ControlPlane
from tests.reconcile.harness import Object

SEEDS = range(20)
OPERATORS = 4
FEWEST_KILLS = 12


@pytest.fixture(scope="module")
def world(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All lives, led at the same time; a life that did not end as it should fails here, with what was seen."""
    plane.require_own()
    world = World(plane, [draw(seed) for seed in SEEDS], OPERATORS, tmp_path_factory.mktemp("lives"))
    with world.led():
        yield world


@pytest.mark.parametrize("seed", SEEDS)
def test_a_life_under_kills_ends_as_a_calm_one_and_nothing_runs_twice(world: World, seed: int) -> None:
    life = world.lives[seed]
    assert life.picture() == life.calm.end
    assert world.wrongs(life) == []


def test_operators_really_died_in_the_middle_of_work(world: World) -> None:
    deaths = [step for mortal in world.mortals for step in mortal.deaths]
    print(f"{world.seconds:.0f} s, {len(deaths)} kills after {dict(Counter(deaths))}")
    assert len(deaths) >= FEWEST_KILLS


def test_a_second_workload_two_at_once_and_what_nobody_owns_are_found(world: World) -> None:
    life = next(life for life in world.lives if any(item["kind"] == "Job" for item in life.objects()))
    job = next(item for item in life.objects() if item["kind"] == "Job")
    assert world.wrongs(life) == []
    path = f"/apis/batch/v1/namespaces/{life.namespace}/jobs"
    for name in ("by-hand-1", "by-hand-2"):
        assert world.plain.ask("POST", path, by_hand(job, name))["kind"] == "Job"
    wait_for("both have pods", lambda: sum("by-hand" in item["metadata"]["name"] for item in life.objects()) == 4)
    world.plain.ask("DELETE", f"{path}/by-hand-1?propagationPolicy=Background")
    wait_for("it is made again", lambda: world.plain.ask("POST", path, by_hand(job, "by-hand-1"))["kind"] == "Job", every=0.5)
    stray = {"metadata": {"name": "stray", "labels": job["metadata"]["labels"] | {"astra.dev/run-uid": "nobody"}}}
    late = {"metadata": {"name": "late", "labels": job["metadata"]["labels"] | {"astra.dev/attempt": "99"}}}
    for item in (stray, late):
        world.plain.ask("POST", f"/api/v1/namespaces/{life.namespace}/configmaps", item)
    for told in (
        "a second workload of its stage",
        "Job by-hand-1 was made 2 times",
        "came while by-hand-",
        "ConfigMap stray: its run is gone",
        "ConfigMap late: its attempt is over",
    ):
        wait_for(told, lambda told=told: any(told in wrong for wrong in world.wrongs(life)))


def test_a_second_pod_of_a_launch_is_found(world: World) -> None:
    events = next(found for life in world.lives if (found := world.recorder.of("Pod", life.namespace)))
    kind, pod = events[0]
    assert played_twice(events[:1]) == []
    again = pod | {"metadata": pod["metadata"] | {"uid": "another", "name": "another"}}
    assert len(played_twice([(kind, pod), ("ADDED", again)])) == 1


def by_hand(job: Object, name: str) -> Object:
    """Return a workload like one that the operator made, under another name."""
    labels, template = job["metadata"]["labels"], job["spec"]["template"]
    own = {key: value for key, value in template["metadata"]["labels"].items() if "controller-uid" not in key and "job-name" not in key}
    spec = {"backoffLimit": 0, "template": {"metadata": {"labels": own}, "spec": template["spec"]}}
    metadata = {"name": name, "labels": labels, "ownerReferences": job["metadata"]["ownerReferences"]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
