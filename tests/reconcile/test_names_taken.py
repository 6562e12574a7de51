"""A child's name that somebody else's object has: the run says so, names the object and the remedy, and goes on once it is gone."""

from typing import Any

import pytest

from astra_jobs.api.artifact import Kind
from astra_operator.clusters.base import RunKey
from tests.reconcile.harness import TEAM, Object, Player

POOLS = TEAM | {"isolation": "gVisor", "runtimeClass": "gvisor", "networkPolicy": "Enforced"}
OLD = {"apiVersion": "astra.dev/v1alpha1", "kind": "ToolCorpus", "name": "tools", "uid": "uid-old", "controller": True}


def put(player: Player, kind: str, name: str, **metadata: Any) -> Object:
    """Put an object into the cluster that is not the run's."""
    item = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default", "uid": f"foreign-{name}"} | metadata}
    player.cluster.objects[kind, "default", name] = item
    return item


def take_away(player: Player, item: Object) -> None:
    del player.cluster.objects[item["kind"], "default", item["metadata"]["name"]]


def look_again(player: Player) -> None:
    player.cluster.advance(61)
    player.controller.work()
    player.work()


def stands(player: Player, key: RunKey) -> None:
    assert player.reasons(key)["Stalled"] == "True NameTaken"
    assert player.reasons(key)["Succeeded"] == "Unknown NameTaken"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("ConfigMap", "tools-corpus-1"), ("ConfigMap", "tools-corpus-1-collect-0"), ("Job", "tools-corpus-1-collect-0")],
)
def test_a_run_says_whose_object_has_the_name_and_goes_on_once_it_is_gone(kind: str, name: str) -> None:
    player = Player()
    foreign = put(player, kind, name)
    key = player.put("ToolCorpus")
    player.work()
    stands(player, key)
    said = player.message(key, "Stalled")
    assert f"{kind} {name} exists" in said
    assert "remove or rename it" in said
    before = dict(foreign)
    for _ in range(3):
        look_again(player)
    stands(player, key)
    assert player.cluster.objects[kind, "default", name] == before, "nothing that is not the run's own is touched"
    take_away(player, foreign)
    look_again(player)
    player.finish()
    assert player.reasons(key)["Succeeded"] == "True Finished"
    attempt = player.status(key).attempt
    assert attempt is not None
    assert attempt.restarts == 0


@pytest.mark.parametrize("kind", ["NetworkPolicy", "Service", "PodDisruptionBudget", "Deployment"])
def test_every_object_of_a_pool_is_named(kind: str) -> None:
    player = Player()
    player.cluster.teams["default"] = dict(POOLS)
    player.cluster.runtimes |= {"gvisor"}
    foreign = put(player, kind, "envs-envs-1-synthesise-sandbox")
    key = player.put("EnvSynthesis")
    player.work()
    stands(player, key)
    assert f"{kind} envs-envs-1-synthesise-sandbox" in player.message(key, "Stalled")
    take_away(player, foreign)
    look_again(player)
    assert player.reasons(key)["Stalled"].startswith("False")


def test_what_an_orphaning_deletion_left_is_named_with_one_command_that_removes_it_all() -> None:
    player = Player()
    labels = {"app.kubernetes.io/managed-by": "astra-operator", "astra.dev/run-uid": "uid-before"}
    left = put(player, "ConfigMap", "tools-corpus-1", labels=labels)
    key = player.put("ToolCorpus")
    player.work()
    stands(player, key)
    assert "--cascade=orphan" in player.message(key, "Stalled")
    assert "-n default -l astra.dev/run-uid=uid-before" in player.message(key, "Stalled")
    take_away(player, left)
    look_again(player)
    player.finish()
    assert player.reasons(key)["Succeeded"] == "True Finished"


@pytest.mark.parametrize("metadata", [{"ownerReferences": [OLD]}, {"deletionTimestamp": "2030-01-01T00:00:00Z"}])
def test_what_an_earlier_run_of_the_name_leaves_has_a_minute_to_go_by_itself(metadata: Object) -> None:
    player = Player()
    player.cluster.settle = lambda: None  # type: ignore[method-assign]  # no garbage collector
    put(player, "ConfigMap", "tools-corpus-1", **metadata)
    key = player.put("ToolCorpus")
    player.work()
    assert not player.cluster.runs[key]["status"], "nothing to report yet"
    player.cluster.advance(61)
    player.controller.work()
    stands(player, key)
    assert "ConfigMap tools-corpus-1" in player.message(key, "Stalled")


@pytest.mark.parametrize(("kind", "name"), [("EnvSynthesis", "4envs"), ("SFTRun", "7b-base"), ("RLRun", "1")])
def test_an_older_run_whose_name_its_children_cannot_bear_says_so(kind: Kind, name: str) -> None:
    player = Player()
    key = player.put(kind, name)
    player.work()
    assert player.reasons(key)["Stalled"] == "True InvalidSpec"
    assert f'metadata.name: found "{name}": must begin with a letter' in player.message(key, "Stalled")
    assert player.cluster.objects == {}
