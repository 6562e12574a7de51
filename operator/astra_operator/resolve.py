"""References of a run to other runs → inputs by role, or the one line that says what it waits for.

An input is taken when the run it names has settled: a run that is about to make a new artifact still shows its old one,
and an attempt opened on that would be done twice.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from astra_jobs.api.artifact import Artifact, Kind
from astra_jobs.api.request import Input
from astra_operator.clusters.base import Object, RunKey, key_of
from astra_operator.stages import product_stage


@dataclass(frozen=True)
class ReferenceField:
    """A field of a kind's spec that names another run; ``path`` ends in a reference or, with [], in a list of them."""

    path: str
    role: str
    kind: Kind


REFERENCES: dict[Kind, tuple[ReferenceField, ...]] = {
    "ToolCorpus": (),
    "ChainSynthesis": (ReferenceField("corpus", "corpus", "ToolCorpus"),),
    "EnvSynthesis": (),
    "SFTRun": (
        ReferenceField("data[]", "data", "ChainSynthesis"),
        ReferenceField("evaluation.environments[]", "evaluation", "EnvSynthesis"),
    ),
    "RLRun": (
        ReferenceField("model.run", "model", "SFTRun"),
        ReferenceField("environments[]", "environments", "EnvSynthesis"),
        ReferenceField("evaluation.environments[]", "evaluation", "EnvSynthesis"),
    ),
}
Table = Mapping[Kind, tuple[ReferenceField, ...]]
Lookup = Callable[[RunKey], Object | None]


@dataclass(frozen=True)
class Reference:
    """One reference of one run: the field as the user's file spells it, the input role, and the run it names."""

    field: str
    role: str
    target: RunKey


@dataclass(frozen=True)
class Resolution:
    """Every input, or why there is none: reason WaitingForInput or ReferenceCycle, and one line for people."""

    inputs: tuple[Input, ...] | None
    reason: str = "InputsResolved"
    message: str = ""


def references(run: Object, table: Table = REFERENCES) -> tuple[Reference, ...]:
    """List a run's references in spec order; what does not look like one is left out (validation has its say elsewhere)."""
    namespace = key_of(run).namespace
    found = []
    for field in table.get(run["kind"], ()):
        value: Any = run.get("spec", {})
        for part in field.path.removesuffix("[]").split("."):
            value = value.get(part) if isinstance(value, dict) else None
        listed = field.path.endswith("[]")
        path = "spec." + field.path.removesuffix("[]")
        items = list(enumerate(value if isinstance(value, list) else [])) if listed else [(0, value)]
        for index, item in items:
            if isinstance(item, dict) and isinstance(item.get("name"), str):
                place, role = (f"{path}[{index}]", f"{field.role}/{index}") if listed else (path, field.role)
                found.append(Reference(f"{place}.name", role, RunKey(field.kind, namespace, item["name"])))
    return tuple(found)


def resolve(run: Object, lookup: Lookup, table: Table = REFERENCES) -> Resolution:
    """Turn a run's references into inputs; the first that cannot be is what the run waits for. Reads only what the run refers to."""
    circle = find_cycle(key_of(run), lookup, table)
    if circle:
        return Resolution(
            None, "ReferenceCycle", f"{references(run, table)[0].field}: runs refer to each other in a circle: {_chain(circle)}"
        )
    inputs, waits = [], []
    for reference in references(run, table):
        target = lookup(reference.target)
        wait = _why_wait(reference, target, lookup, table)
        if wait:
            waits.append(f"{reference.field}: {wait}")
        else:
            assert target is not None, "what is not there is waited for"
            artifact = Artifact.model_validate(target["status"]["artifact"])
            inputs.append(Input(role=reference.role, kind=reference.target.kind, name=reference.target.name, artifact=artifact))
    if waits:
        more = f" (and {len(waits) - 1} more)" if len(waits) > 1 else ""
        return Resolution(None, "WaitingForInput", waits[0] + more)
    return Resolution(tuple(inputs))


def find_cycle(start: RunKey, lookup: Lookup, table: Table = REFERENCES) -> list[RunKey] | None:
    """Return the shortest circle of references through a run, first and last entry being that run, or None."""
    came_from: dict[RunKey, RunKey] = {}
    edge = [start]
    while edge:
        following = []
        for key in edge:
            run = lookup(key)
            for reference in references(run, table) if run is not None else ():
                if reference.target == start:
                    path = [start, key]
                    while path[-1] != start:
                        path.append(came_from[path[-1]])
                    return path[::-1]
                if reference.target not in came_from:
                    came_from[reference.target] = key
                    following.append(reference.target)
        edge = following
    return None


def unsettled(key: RunKey, lookup: Lookup, table: Table = REFERENCES, seen: frozenset[RunKey] = frozenset()) -> bool:
    """Tell if a run, or one that it is made from, is still going to replace the artifact that it shows."""
    run = lookup(key)
    if run is None or key in seen:
        return False
    status = run.get("status") or {}
    if status.get("observedGeneration", 0) < run["metadata"].get("generation", 1):
        return True
    if condition_status(run, "Reconciling") == "True" and product_stage(key.kind).name not in status.get("artifacts", {}):
        return True
    if condition_status(run, "Suspended") == "True" or condition_status(run, "Stalled") == "True":
        return False  # nobody knows when it will move again; what is there is used
    return any(unsettled(reference.target, lookup, table, seen | {key}) for reference in references(run, table))


def condition_status(run: Object, kind: str) -> str:
    """Return the status of a run's condition, Unknown when it is not set."""
    conditions = (run.get("status") or {}).get("conditions", [])
    return next((str(item["status"]) for item in conditions if item["type"] == kind), "Unknown")


class Readers:
    """Who reads whom, turned around: kept up as runs are looked at, so that news find their readers without a walk over all runs.

    Thread-safe. A run is noted before it reads, so whoever writes news after that finds it.
    """

    def __init__(self, table: Table = REFERENCES) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._reads: dict[RunKey, frozenset[RunKey]] = {}
        self._read_by: dict[RunKey, set[RunKey]] = {}

    def note(self, run: Object) -> None:
        """Remember what a run reads now."""
        self._set(key_of(run), frozenset(reference.target for reference in references(run, self._table)))

    def forget(self, key: RunKey) -> None:
        """Forget a run that is gone; its own readers stay known, for they wait for one of its name."""
        self._set(key, frozenset())

    def of(self, key: RunKey) -> list[RunKey]:
        """List the runs that read what a run makes, directly or through others: those whose inputs its news may change."""
        with self._lock:
            found, edge = {key}, [key]
            while edge:
                edge = [reader for read in edge for reader in self._read_by.get(read, ()) if reader not in found]
                found.update(edge)
        return sorted(found - {key})

    def _set(self, key: RunKey, targets: frozenset[RunKey]) -> None:
        with self._lock:
            for target in self._reads.pop(key, frozenset()) - targets:
                self._read_by[target].discard(key)
                if not self._read_by[target]:
                    del self._read_by[target]
            for target in targets:
                self._read_by.setdefault(target, set()).add(key)
            if targets:
                self._reads[key] = targets


def _why_wait(reference: Reference, run: Object | None, lookup: Lookup, table: Table) -> str:
    if run is None:
        # What else is there would change with runs that this one has nothing to do with, and cost a write each time.
        return f'there is no {reference.target.kind} named "{reference.target.name}" in namespace "{reference.target.namespace}"'
    what = f'{reference.target.kind} "{reference.target.name}"'
    if not (run.get("status") or {}).get("artifact"):
        return f"{what} has no artifact yet{_why_idle(run)}"
    if unsettled(reference.target, lookup, table):
        return f"{what} is being made anew"
    return ""


def _why_idle(run: Object) -> str:
    """Return ' (reason)' when a run does not move by itself; a moving one's news would only cost writes."""
    for kind in ("Stalled", "Suspended"):
        if condition_status(run, kind) == "True":
            return f" ({next(str(item['reason']) for item in run['status']['conditions'] if item['type'] == kind)})"
    return ""


def _chain(circle: list[RunKey]) -> str:
    return " → ".join(f"{key.kind} {key.name}" for key in circle)
