"""A life told in advance: what a user does to a small cast of runs, drawn from a fixed seed, and how pods end.

Led on a cluster in memory it says what people must see in the end; `lives_plane` leads the same on a real one. The moments of acts
and kills are no part of it, so what depends on them (how many attempts and restarts there were) is no part of the end either.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from astra_jobs.api.artifact import Kind
from astra_jobs.api.request import StageRequest
from astra_jobs.api.result import JobResult
from astra_jobs.api.v1alpha1.status import Status
from astra_operator.clusters.base import RunKey
from astra_operator.desired.naming import LABEL_KIND, LABEL_STAGE
from tests.reconcile.harness import NAMES, SETTINGS, SPECS, Object, Player, bad, good, manifest

CASTS: list[tuple[Kind, ...]] = [("ToolCorpus",), ("ToolCorpus", "ChainSynthesis"), ("ToolCorpus", "ChainSynthesis", "SFTRun")]
LIMITS = {"maxRestarts": 50}
SPOILT = 666
"""With this seed in its spec a run's input is bad, and it stalls."""
TRANSIENT = 75
BAD_INPUT = 78


@dataclass(frozen=True)
class Act:
    """What a user does: a run gets a spec, or goes."""

    kind: Kind
    spec: Object | None
    after: float = 0.0
    """Seconds between the act before and this one."""

    def on(self, put: Callable[[Kind, Object], Any], remove: Callable[[Kind], Any]) -> None:
        """Do it."""
        remove(self.kind) if self.spec is None else put(self.kind, self.spec)


@dataclass(frozen=True)
class Story:
    """``acts`` come in a hurry, and leave every run as it will succeed; when all have, the ``last`` ones decide how it ends."""

    seed: int
    cast: tuple[Kind, ...]
    acts: tuple[Act, ...]
    last: tuple[Act, ...]


def draw(seed: int, hurried: int = 7) -> Story:
    """Draw the story of a seed."""
    chance = random.Random(seed)
    cast = CASTS[seed % len(CASTS)]
    specs: dict[Kind, Object] = {kind: _first(kind) for kind in cast}
    acts = [Act(kind, specs[kind]) for kind in chance.sample(cast, len(cast))]
    for _ in range(hurried):
        kind = chance.choice(cast)
        change = chance.choice(
            [{"seed": chance.randrange(4)}, {"suspend": True}, {"suspend": False}, {"rerun": str(chance.random())}, None]
        )
        specs[kind] = _first(kind) if change is None else specs[kind] | change
        acts.append(Act(kind, None if change is None else specs[kind], chance.uniform(0.1, 2.5)))
    specs = {kind: spec | {"suspend": False} for kind, spec in specs.items()}
    acts += [Act(kind, spec) for kind, spec in specs.items()]
    return Story(seed, cast, tuple(acts), tuple(_last(chance, specs)))


def _first(kind: Kind) -> Object:
    spec = {key: value for key, value in SPECS[kind].items() if key != "evaluation"} | {"limits": LIMITS, "suspend": False}
    return spec | {"training": {"ranks": 2}} if kind == "SFTRun" else spec


def _last(chance: random.Random, specs: dict[Kind, Object]) -> Iterable[Act]:
    """Yield how a life ends that went well: so, anew, paused, spoilt, or without its first run."""
    kind = chance.choice(list(specs))
    match chance.choice(["so", "anew", "paused", "spoilt", "gone"]):
        case "anew":
            yield Act(kind, specs[kind] | {"rerun": "last"})
        case "paused":
            yield Act(kind, specs[kind] | {"suspend": True, "seed": 9})
        case "spoilt":
            yield Act(kind, specs[kind] | {"seed": SPOILT})
        case "gone":
            yield Act("ToolCorpus", None)


def written(kind: Kind, spec: Object) -> Object:
    """Return a run's manifest."""
    return manifest(kind) | {"spec": spec}


def pod_end(seed: int, workload: str, request: StageRequest, shard: int) -> tuple[JobResult | None, int]:
    """Say how a pod ends: bad input as the spec says, a failure for some launches, else with what was asked for."""
    if request.spec.get("seed") == SPOILT:
        return bad("NothingKept", "no record left", BAD_INPUT), BAD_INPUT
    # Failed shards are tried again by the Job controller, ten seconds later at least: that is another test's business.
    if request.shards == 1 and random.Random(f"{seed} {workload}").random() < 0.25:
        return bad("StoreUnavailable", "no store", TRANSIENT), TRANSIENT
    return good(request, shard), 0


def told(run: Object | None) -> Any:
    """Return what people see of a run, numbers of attempts and restarts left out; None where there is no run, "" while it is stale."""
    if run is None:
        return None
    status = run.get("status") or {}
    if status.get("observedGeneration") != run["metadata"]["generation"]:
        return ""
    seen = Status.model_validate(status)
    conditions = sorted((item.type, item.status, item.reason) for item in seen.conditions)
    return conditions, seen.attempt and seen.attempt.digest, seen.stage, seen.artifact, seen.artifacts


class Calm:
    """The story on a cluster in memory, whose operator is never killed."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.player = Player(SETTINGS)
        self._lead(story.acts)
        self.middle = self.picture()
        self._lead(story.last)
        self.end = self.picture()

    def picture(self) -> dict[Kind, Any]:
        """Return what people see of every run."""
        return {kind: told(self.player.cluster.runs.get(_key(kind))) for kind in self.story.cast}

    def _lead(self, acts: tuple[Act, ...]) -> None:
        for act in acts:
            act.on(self._put, lambda kind: self.player.cluster.remove_run(_key(kind)))
            self.player.work()
        for _ in range(100):
            self.player.work()
            if not self._end_pods():
                if self.player.controller.queue.wait() is None:
                    return
                self.player.cluster.advance(SETTINGS.longest_restart_delay)
        raise AssertionError(f"seed {self.story.seed} does not come to rest")

    def _put(self, kind: Kind, spec: Object) -> None:
        self.player.cluster.put_run(written(kind, spec))

    def _end_pods(self) -> int:
        alive = [pod for pod in self.player.pods() if pod["status"]["phase"] in ("Pending", "Running")]
        for pod in alive:
            workload = pod["metadata"]["ownerReferences"][0]["name"]
            self.player.cluster.finish(pod, *pod_end(self.story.seed, workload, self.player.request(pod), self.player.shard(pod)))
        return len(alive)


def _key(kind: Kind) -> RunKey:
    return RunKey(kind, "default", NAMES[kind])


def orphans(runs: Iterable[Object], objects: Iterable[Object]) -> list[str]:
    """Name everything that is there and should not be: of no live run, of an attempt that is over, or a stage's second workload."""
    attempts = {run["metadata"]["uid"]: run.get("status", {}).get("attempt", {}).get("number") for run in runs}
    stages: set[tuple[str, ...]] = set()
    found = []
    for item in objects:
        metadata = item["metadata"]
        labels, name = metadata["labels"], f"{item['kind']} {metadata['name']}"
        uid = labels["astra.dev/run-uid"]
        if uid not in attempts:
            found.append(f"{name}: its run is gone")
        elif labels["astra.dev/attempt"] != str(attempts[uid]):
            found.append(f"{name}: its attempt is over, the run is at {attempts[uid]}")
        if item["kind"] in ("Job", "PyTorchJob"):
            stage = (uid, labels[LABEL_KIND], labels[LABEL_STAGE])
            if stage in stages:
                found.append(f"{name}: a second workload of its stage")
            stages.add(stage)
            if [owner["uid"] for owner in metadata["ownerReferences"]] != [uid]:
                found.append(f"{name}: its owner is not its run")
    return found
