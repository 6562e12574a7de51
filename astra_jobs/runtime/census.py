"""One look at everything that a store holds, sorted by what it belongs to. It decides nothing and changes nothing."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from astra_jobs.runtime.backend import Backend, Entry
from astra_jobs.runtime.places import RETIRED, USED

_SIDECAR = re.compile(r"[0-9a-f]{64}\.json")


@dataclass
class Heap:
    """Files that are kept or go together."""

    size: int = 0
    changed: float = 0.0

    def add(self, entry: Entry) -> None:
        """Count a file in."""
        self.size += entry.size
        self.changed = max(self.changed, entry.changed)


@dataclass
class Place(Heap):
    """A place for an artifact: ``files`` lie beside its manifest, ``data`` are the folders that writers have made for it."""

    files: dict[str, Entry] = field(default_factory=dict)
    data: dict[str, Heap] = field(default_factory=lambda: defaultdict(Heap))

    @property
    def committed(self) -> bool:
        """Tell if there is an artifact."""
        return "manifest.json" in self.files

    @property
    def retired(self) -> bool:
        """Tell if the place is used no more."""
        return RETIRED in self.files

    @property
    def used(self) -> Entry | None:
        """Return when it was last taken up by its key."""
        return self.files.get(USED)

    @property
    def digests(self) -> list[str]:
        """Return the digests of the artifacts that were, or were about to be, committed here."""
        return [f"sha256:{name.removesuffix('.json')}" for name in self.files if _SIDECAR.fullmatch(name)]


@dataclass
class Census:
    """What a store holds: places, states of writers by folder, logs by run, and the namespaces that use it."""

    places: dict[str, Place]
    states: dict[str, Heap]
    logs: dict[str, Heap]
    tenants: frozenset[str]

    def places_of(self, digest: str) -> set[str]:
        """Return where an artifact of a digest is; equal bytes that were made again are at another place of their key."""
        return self._by_digest.get(digest, set())

    def __post_init__(self) -> None:
        self._by_digest: dict[str, set[str]] = {}
        for name, place in self.places.items():
            for digest in place.digests:
                self._by_digest.setdefault(digest, set()).add(name)


def take_census(backend: Backend) -> Census:
    """List the whole store; what is not named as the store names things is not the store's, and is left out."""
    places: dict[str, Place] = defaultdict(Place)
    for (name, file), entry in _listed(backend, "artifacts", 2):
        places[name].files[file] = entry
        if file != RETIRED:
            places[name].add(entry)
    for (name, restart, writer, _), entry in _listed(backend, "work", 4):
        places[name].add(entry)
        places[name].data[f"work/{name}/{restart}/{writer}"].add(entry)
    states: dict[str, Heap] = defaultdict(Heap)
    for (key, owner, _), entry in _listed(backend, "state", 3):
        states[f"state/{key}/{owner}"].add(entry)
    logs: dict[str, Heap] = defaultdict(Heap)
    for (run, _), entry in _listed(backend, "logs", 2):
        logs[f"logs/{run}"].add(entry)
    return Census(dict(places), dict(states), dict(logs), frozenset(backend.entries("tenants")))


def _listed(backend: Backend, folder: str, parts: int) -> Iterator[tuple[list[str], Entry]]:
    """Yield what is in a folder by the parts of its path, the last of which is all the rest."""
    for path, entry in backend.entries(folder).items():
        found = path.split("/", parts - 1)
        if len(found) == parts:
            yield found, entry
