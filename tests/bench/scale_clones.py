"""Thousands of runs as the operator leaves them: it carries one of each sort through to its end, and the rest are copies of those.

A copy has a spec, digests, names and UIDs of its own, so nothing that is read twice is the same text. Only two things of it are not the
operator's or a controller's work: its Jobs are marked as managed by somebody else, or the Job controller would begin them anew, and its
pods are bound to their node from the start.
"""

import json
from dataclasses import dataclass
from typing import Any

from astra_jobs.api.artifact import Kind
from astra_operator.frozen import attempt_digest, read_live
from tests.bench.scale import POPULATING, Object, Scale, at_once
from tests.reconcile.harness import manifest

SEED = 700_000_000
"""The originals' seed: a number that stands in no other place of an object, so that it can be replaced as text."""
MANAGED_BY = "astra.dev/copied"
_FILLED_IN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "generateName", "annotations", "finalizers")


@dataclass(frozen=True)
class Sort:
    """One sort of runs: how many there are, with how many children each. One that waits has no attempt."""

    kind: Kind
    count: int
    children: int
    changes: Object

    @property
    def original(self) -> str:
        """Return the name of the run that is copied; copies' names are as long."""
        return f"{self.kind.lower()}-original"

    def copy(self, number: int) -> str:
        """Return the name of a copy."""
        return f"{self.kind.lower()}-copy{number:04d}"


SORTS = (
    Sort("ToolCorpus", 4_020, 4, {}),
    Sort("EnvSynthesis", 560, 7, {"shards": 1}),
    Sort("ChainSynthesis", 420, 0, {"corpus": {"name": "nobody"}, "shards": 1}),
)
RUNS, CHILDREN = sum(sort.count for sort in SORTS), sum(sort.count * sort.children for sort in SORTS)


def populate(scale: Scale) -> None:
    """Let the operator carry out the originals, stop it, and copy them until there are as many as is said."""
    with scale.operator() as operator:
        for sort in SORTS:
            scale.team.put(sort.kind, sort.original, seed=SEED, **sort.changes)
        for sort in SORTS:
            scale.team.wait(f"the end of {sort.original}", lambda sort=sort: _ended(scale, sort), 120)
        operator.stop()
    children = [item for kind in ("ConfigMap", "Job", "Pod") for item in scale.objects(kind)]
    copiers = [Copier(scale, sort, children) for sort in SORTS]
    wanted = [(copier, number) for copier in copiers for number in range(1, copier.sort.count)]
    at_once(lambda work: work[0].copy(work[1]), wanted, POPULATING)
    scale.team.wait("kwok has played every pod", lambda: not _unplayed(scale), 900)


def _ended(scale: Scale, sort: Sort) -> bool:
    conditions = scale.team.run(sort.original, sort.kind.lower()).get("status", {}).get("conditions", [])
    wanted = {"Succeeded": "True"} if sort.children else {"InputsReady": "False"}
    return all(any(item["type"] == kind and item["status"] == value for item in conditions) for kind, value in wanted.items())


def _unplayed(scale: Scale) -> str:
    return scale.team.kubectl("get", "pods", "--field-selector=status.phase!=Succeeded", "-o", "name")


class Copier:
    """Makes copies of one original."""

    def __init__(self, scale: Scale, sort: Sort, children: list[Object]) -> None:
        self.scale = scale
        self.sort = sort
        run = scale.team.run(sort.original, sort.kind.lower())
        self._uid: str = run["metadata"]["uid"]
        own = [item for item in children if item["metadata"]["labels"]["astra.dev/run-uid"] == self._uid]
        assert len(own) == sort.children, [f"{item['kind']} {item['metadata']['name']}" for item in own]
        self._jobs = [item["metadata"]["uid"] for item in own if item["kind"] == "Job"]
        self._identity = identity(run)
        self._status = json.dumps(run["status"])
        self._children = json.dumps([stripped(item) for item in own])

    def copy(self, number: int) -> None:
        """Make one copy: the run, its children as their controllers left them, and its status."""
        name = self.sort.copy(number)
        made = self.scale.create(manifest(self.sort.kind, name, seed=SEED + number, **self.sort.changes))
        words = {self.sort.original: name, str(SEED): str(SEED + number), self._uid: made["metadata"]["uid"]}
        words |= dict(zip(self._identity, identity(made), strict=True))
        jobs: dict[str, str] = {}
        for item in json.loads(replaced(self._children, words)):
            self._make(item, jobs)
        self.scale.put_status(made, json.loads(replaced(self._status, words)))

    def _make(self, item: Object, jobs: dict[str, str]) -> None:
        status, uid = item.pop("status", None), item.pop("uid")
        if item["kind"] == "Pod":
            item = json.loads(replaced(json.dumps(item), jobs))
        made = self.scale.create(item)
        if item["kind"] == "Job":
            jobs[uid] = made["metadata"]["uid"]
            self.scale.put_status(made, status)


def identity(run: Object) -> tuple[str, str]:
    """Return what of an attempt follows from its spec alone: its digest, and that of what was written."""
    live = read_live(run)
    assert live.spec is not None, live.problem
    return attempt_digest(run["kind"], live.spec, ()), live.written


def stripped(item: Object) -> Object:
    """Return an object as it can be made again, with its old UID and status beside."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in _FILLED_IN}
    copy: dict[str, Any] = item | {"metadata": metadata, "uid": item["metadata"]["uid"]}
    if item["kind"] == "Pod":
        index = {key: value for key, value in (item["metadata"].get("annotations") or {}).items() if key.startswith("batch.")}
        metadata["annotations"] = index
        del copy["status"]
    if item["kind"] == "Job":
        template = item["spec"]["template"]
        labels = {key: value for key, value in template["metadata"]["labels"].items() if key.startswith(("astra", "app."))}
        spec = {key: value for key, value in item["spec"].items() if key != "selector"}
        copy["spec"] = spec | {"managedBy": MANAGED_BY, "template": {"metadata": {"labels": labels}, "spec": template["spec"]}}
    return copy


def replaced(text: str, words: dict[str, str]) -> str:
    """Return a text with every word replaced."""
    for old, new in words.items():
        text = text.replace(old, new)
    return text
