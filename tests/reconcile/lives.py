"""Random lives of runs: what users and nodes may do, as rules of a state machine. Whoever derives from it adds what the operator suffers.

A life is played to all of ``players`` alike. It has a cast: the kinds that live, from one to all five. What they read and is not in
the cast has ended before the story begins, so that a life of one kind is as cheap as it can be.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from astra_jobs.api.artifact import KINDS, Artifact, Kind
from astra_jobs.api.base import digest_of
from astra_jobs.api.result import ProgressReport
from astra_jobs.api.v1alpha1.status import REASONS, Status
from astra_operator.clusters.base import RunKey, key_of
from astra_operator.clusters.memory import MemoryCluster
from astra_operator.settings import OperatorSettings
from tests.reconcile.harness import NAMES, SPECS, Object, Player, bad, manifest

PACE = OperatorSettings(poll=10, progress_interval=30, first_restart_delay=0, code_version="1.0")
LIMITS = {"maxRestarts": 2, "stallSeconds": 100, "deadlineSeconds": 100_000}
CASTS: list[tuple[Kind, ...]] = [
    ("ToolCorpus",),
    ("ChainSynthesis",),
    ("EnvSynthesis",),
    ("SFTRun",),
    ("RLRun",),
    ("ToolCorpus", "ChainSynthesis"),
    ("SFTRun", "RLRun"),
    tuple(KINDS),
]
choices = st.integers(0, 9)


class Stocked(MemoryCluster):
    """A cluster in which one run of every kind has ended before the story begins; nobody works on those, but they can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.stock = {RunKey(kind, "default", NAMES[kind]): _ended(kind) for kind in KINDS}

    def get_run(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return super().get_run(kind, namespace, name) or self.stock.get(RunKey(kind, namespace, name))


def _ended(kind: Kind) -> Object:
    artifact = Artifact(uri=f"memory://store/{kind}", digest=digest_of(kind))
    metadata = {"name": NAMES[kind], "namespace": "default", "uid": f"uid-{kind}", "generation": 1}
    status = Status(observed_generation=1, conditions=[], artifact=artifact)
    return manifest(kind) | {"metadata": metadata, "status": status.to_dict()}


def place(pod: Object) -> tuple[str, ...]:
    """Name a pod by what it does, its own name left out: a kill may use up a restart number, and a replacement's is drawn."""
    labels = pod["metadata"]["labels"]
    role = labels.get("training.kubeflow.org/replica-type", "")
    index = labels.get("batch.kubernetes.io/job-completion-index") or labels.get("training.kubeflow.org/replica-index", "0")
    return (*(labels[f"astra.dev/{key}"] for key in ("kind", "run", "attempt", "stage")), role, index)


def alive(player: Player) -> list[Object]:
    return sorted((pod for pod in player.pods() if pod["status"]["phase"] in ("Pending", "Running")), key=place)


def _start(player: Player, pod: Object) -> None:
    if pod["status"]["phase"] == "Pending":
        player.cluster.start(pod)


def _hang(player: Player, pod: Object) -> None:
    _start(player, pod)
    player.cluster.reports[pod["metadata"]["name"]] = ProgressReport(step=1, total=9, time=player.cluster.clock.timestamp())


def _remove_workload(player: Player, pod: Object) -> None:
    owner = pod["metadata"]["ownerReferences"][0]
    player.cluster.vanish({"kind": owner["kind"], "metadata": {"name": owner["name"]}})


def _fail(code: int, checkpoint: int | None = None, reported: bool = True) -> Callable[[Player, Object], None]:
    result = bad("StoreUnavailable", "no store", code, checkpoint) if reported else None
    return lambda player, pod: player.cluster.finish(pod, result, code)


ENDS: dict[str, Callable[[Player, Object], None]] = {
    "start": _start,
    "succeed": lambda player, pod: player.succeed(pod),
    "find it in the store": lambda player, pod: player.succeed(pod, reused=True),
    "hang": _hang,
    "fail": _fail(75),
    "crash": _fail(1, reported=False),
    "killed": _fail(137, reported=False),
    "bad input": _fail(78),
    "preempted": _fail(85, 1),
    "preempted later": _fail(85, 3),
    "lost": lambda player, pod: player.cluster.lose(pod),
    "vanish": lambda player, pod: player.cluster.vanish(pod),
    "vanish with its workload": _remove_workload,
}
CHANGES: list[Object] = [{"seed": seed} for seed in range(4)]
CHANGES += [{"suspend": True}, {"suspend": False}, {"suspend": True}, {"suspend": False}]
CHANGES += [{"limits": LIMITS | {"maxRestarts": count}} for count in (0, 1, 3)]
CHANGES += [{"onInputChange": "Finish"}, {"onInputChange": "Replace"}]
CHANGES += [{"rerun": token} for token in ("", "a", "b")]


class Lives(RuleBasedStateMachine):
    """Users and nodes."""

    players: tuple[Player, ...] = ()
    kinds: tuple[Kind, ...] = ()

    def begin(self, cast: tuple[Kind, ...], players: tuple[Player, ...]) -> None:
        """Apply every run of the cast."""
        self.players, self.kinds = players, cast
        self.specs: dict[Kind, Object] = {}
        for player in players:
            for kind in cast:
                player.cluster.stock.pop(RunKey(kind, "default", NAMES[kind]), None)
        for kind in cast:
            self.put(kind, limits=LIMITS)

    def put(self, kind: Kind, **changes: Any) -> None:
        self.specs[kind] = self.specs.get(kind, SPECS[kind]) | changes
        for player in self.players:
            player.put(kind, **self.specs[kind])

    def kind(self, choice: int) -> Kind:
        return self.kinds[choice % len(self.kinds)]

    # Few rules, each with many choices: a rule is picked with equal chance, and a life in which nobody works goes nowhere.

    @rule(choice=choices, change=st.sampled_from(CHANGES))
    def user_edits(self, choice: int, change: Object) -> None:
        self.put(self.kind(choice), **change)

    @rule(choice=choices, what=st.sampled_from(["remove", "apply again", "spoil"]))
    def user_acts(self, choice: int, what: str) -> None:
        kind = self.kind(choice)
        if what == "apply again":
            self.put(kind)
        for player in self.players:
            if what == "remove":
                player.cluster.remove_run(RunKey(kind, "default", NAMES[kind]))
            elif what == "spoil":
                player.put(kind, **self.specs[kind], nonsense=1)

    @rule(choice=choices, end=st.sampled_from(list(ENDS)))
    def pod_ends(self, choice: int, end: str) -> None:
        for player in self.players:
            pods = alive(player)
            if pods:
                ENDS[end](player, pods[choice % len(pods)])

    @rule()
    def all_pods_succeed(self) -> None:
        for player in self.players:
            player.run_pods()

    @rule(seconds=st.sampled_from([5, 50, 150]))
    def time_passes(self, seconds: int) -> None:
        for player in self.players:
            player.cluster.advance(seconds)

    # ---- what must hold at any time

    @invariant()
    def nothing_runs_twice(self) -> None:
        for player in self.players:
            twice = [name for name, count in Counter(player.cluster.launched).items() if count > 1]
            assert not twice, f"launched again: {twice}"
            assert not player.cluster.overlaps

    @invariant()
    def status_is_sound(self) -> None:
        for player in self.players:
            for run in player.cluster.runs.values():
                status = Status.model_validate(run["status"])
                assert all(item.reason in REASONS for item in status.conditions)
                truths = {item.type for item in status.conditions if item.status == "True"}
                assert not {"Reconciling", "Stalled"} <= truths
                assert not {"Succeeded", "Stalled"} <= truths

    # ---- what must hold in the end

    def come_to_an_end(self) -> None:
        """Mend every run and let it finish: it has the artifact that a fresh cluster makes from the final specs, and nothing more."""
        for kind in self.kinds:
            self.put(kind, suspend=False, limits=LIMITS | {"maxRestarts": 1000})
        for player in self.players:
            player.finish()
            for key in self._keys():
                if player.reasons(key)["Stalled"].startswith("True"):
                    self.specs[key.kind] = self.specs[key.kind] | {"rerun": "final"}
        for kind in self.kinds:
            self.put(kind)
        fresh = fresh_ends(json.dumps(self.specs))
        for player in self.players:
            player.finish()
            for key in self._keys():
                assert player.reasons(key)["Succeeded"].startswith("True"), (key, player.reasons(key))
                status = player.status(key)
                assert (status.artifact, status.artifacts) == fresh[key.kind], key
            no_orphan(player)
        self.nothing_runs_twice()

    def _keys(self) -> Iterator[RunKey]:
        return (RunKey(kind, "default", NAMES[kind]) for kind in self.kinds)


@lru_cache(maxsize=4096)
def fresh_ends(specs: str) -> dict[Kind, Any]:
    """Return the artifacts that a fresh cluster makes from specs (JSON, by kind, in the order of the cast); many lives end alike."""
    fresh = Player(PACE, Stocked())
    keys = [fresh.put(kind, **spec) for kind, spec in json.loads(specs).items()]
    fresh.finish()
    return {key.kind: (fresh.status(key).artifact, fresh.status(key).artifacts) for key in keys}


def no_orphan(player: Player) -> None:
    """After the end each run owns one attempt, and of each stage one launch's workload; nothing else is there."""
    uids = {run["metadata"]["uid"]: key_of(run) for run in player.cluster.runs.values()}
    attempts: Counter[str] = Counter()
    stages: Counter[tuple[str, str]] = Counter()
    for (kind, _, _), item in player.cluster.objects.items():
        labels = item["metadata"]["labels"]
        assert labels["astra.dev/run-uid"] in uids
        if kind == "ConfigMap" and "attempt.json" in item["data"]:
            attempts[labels["astra.dev/run-uid"]] += 1
        if kind in ("Job", "PyTorchJob"):
            stages[labels["astra.dev/run-uid"], labels["astra.dev/stage"]] += 1
    assert all(count == 1 for count in attempts.values()), attempts
    assert all(count == 1 for count in stages.values()), stages
