"""Garbage collection of the artifact store: removes what no run refers to and nobody has touched for long.

Kept are: what the list of live ones names, everything that is younger than the minimum age, and whatever those artifacts were made
from, and so on. A run that begins while this works is not in the list: it takes up what it finds (``places``), and that is seen here
before anything is removed. Several collections at once remove the same things, which is no harm. Of an artifact the manifest goes
first: killed at any point, a collection leaves every artifact whole or absent, and the next one clears the rest away.

Nothing is removed when anything is in doubt: the list is old, empty or another namespace's, or a manifest that is referred to cannot be
read, because what it refers to is then unknown. What it does not do: shorten the logs or checkpoints of runs that exist.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from astra_jobs.api.artifact import Artifact, Manifest
from astra_jobs.api.errors import BadInput
from astra_jobs.api.live import LiveList
from astra_jobs.runtime.backend import Entry
from astra_jobs.runtime.census import Census, Place, take_census
from astra_jobs.runtime.places import RETIRED, USED, first_place, next_place, retire
from astra_jobs.runtime.store import Store
from astra_jobs.runtime.writer import owner_of

What = Literal["artifact", "data", "state", "logs"]


@dataclass(frozen=True)
class Rubbish:
    """Something to be removed: ``path`` is a folder of the store, of an artifact its place."""

    what: What
    path: str
    size: int
    changed: float


@dataclass(frozen=True)
class Outcome:
    """What was found, and what of it was removed; a dry run removes nothing."""

    kept: int
    missing: tuple[str, ...]
    found: tuple[Rubbish, ...]
    removed: tuple[Rubbish, ...]


def collect(store: Store, live: LiveList, minimum_age: float, remove: bool, tell: Callable[[Rubbish], None] = lambda item: None) -> Outcome:
    """Find what nothing refers to and was not touched in the ``minimum_age`` seconds before the list was made; with ``remove``, remove it.

    ``tell`` is told of each thing right before it is removed, or would be.
    """
    census = take_census(store.backend)
    _check_list(live, census, store.url)
    before = live.time - minimum_age
    kept, missing = _kept(store, census, live, before)
    found = tuple(_rubbish(store, census, live, kept, before))
    removed = []
    for item in found:
        tell(item)
        if remove and _remove(store, census, item):
            removed.append(item)
    return Outcome(sum(census.places[name].committed for name in kept), missing, found, tuple(removed))


def _check_list(live: LiveList, census: Census, url: str) -> None:
    """Refuse a list that cannot be all that is referred to in this store."""
    if not live.runs:
        raise BadInput("--live", "BadInput", f"lists no run of namespace {live.namespace}, so nothing would be kept; delete {url} yourself")
    if live.namespace not in census.tenants:
        raise BadInput("--live", "BadInput", f"is of namespace {live.namespace}, whose runs have never used {url}; name that team's store")
    if others := sorted(census.tenants - {live.namespace}):
        message = f"{url} is used by namespace {', '.join(others)} too, whose runs are not listed; give each namespace a store of its own"
        raise BadInput("--live", "BadInput", message)


# ---- what is kept


def _kept(store: Store, census: Census, live: LiveList, before: float) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the places that are kept, and the digests of those that are referred to and not there."""
    edge = {_current(census, key) for key in live.keys}
    edge |= {name for name, place in census.places.items() if place.changed >= before}
    edge |= {artifact.uri.rpartition("/artifacts/")[2] for artifact in live.artifacts}
    wanted = {artifact.digest for artifact in live.artifacts}
    missing, kept = set[str](), set[str]()
    while edge or wanted:
        for digest in wanted:
            places = census.places_of(digest)
            edge |= places
            missing |= set() if any(census.places[name].committed for name in places) else {digest}
        edge = {name for name in edge - kept if name in census.places}
        kept |= edge
        wanted = {digest for name in edge for digest in _inputs(store, census.places[name], name)}
        edge = set()
    return frozenset(kept), tuple(sorted(missing))


def _current(census: Census, key: str) -> str:
    place = first_place(key)
    while place in census.places and census.places[place].retired:
        place = next_place(place)
    return place


def _inputs(store: Store, place: Place, name: str) -> list[str]:
    """Return the digests of what an artifact was made from; raise BadInput when that cannot be known."""
    if not place.committed:
        return []
    data = store.backend.read(f"artifacts/{name}/manifest.json")
    if data is None:
        return []  # another collection was faster
    try:
        inputs = Manifest.model_validate_json(data).inputs
        store.data_folder(store.artifact_of(name, data))  # there is a sidecar of these very bytes
    except (ValidationError, BadInput):
        where = f"{store.url}/artifacts/{name}"
        message = "manifest.json is damaged, so what it was made from is unknown; nothing was removed; remove that folder, or restore it"
        raise BadInput(where, "InputUnavailable", message) from None
    return inputs


# ---- what is not


def _rubbish(store: Store, census: Census, live: LiveList, kept: frozenset[str], before: float) -> Iterator[Rubbish]:
    for name, place in sorted(census.places.items()):
        if name in kept:
            yield from _litter(store, place, name, before)
        elif place.changed < before and (place.data or set(place.files) != {RETIRED}):
            yield Rubbish("artifact", name, place.size, place.changed)
    owners = {owner_of(uid, live.namespace, run.name) for run in live.runs for uid in (run.uid, "")}
    runs = {run.uid for run in live.runs} | {f"{live.namespace}.{run.name}" for run in live.runs}
    for path, heap in sorted(census.states.items()):
        if path.split("/")[2] not in owners and heap.changed < before:
            yield Rubbish("state", path, heap.size, heap.changed)
    for path, heap in sorted(census.logs.items()):
        if path.split("/")[1] not in runs and heap.changed < before:
            yield Rubbish("logs", path, heap.size, heap.changed)


def _litter(store: Store, place: Place, name: str, before: float) -> Iterator[Rubbish]:
    """Yield what writers have left at the place of an artifact that another one committed."""
    if not place.committed or len(place.data) < 2:
        return
    found = _artifact_at(store, name)
    used = store.data_folder(found) if found else None
    for path, heap in sorted(place.data.items()):
        if used is not None and path != used and heap.changed < before:
            yield Rubbish("data", path, heap.size, heap.changed)


def _artifact_at(store: Store, name: str) -> Artifact | None:
    data = store.backend.read(f"artifacts/{name}/manifest.json")
    return store.artifact_of(name, data) if data is not None else None


# ---- the removal


def _remove(store: Store, census: Census, item: Rubbish) -> bool:
    """Remove something; return whether nobody wanted it in the last moment."""
    if item.what != "artifact":
        store.backend.remove(item.path)
        return True
    place = census.places[item.path]
    retire(store.backend, item.path)
    folder = f"artifacts/{item.path}"
    now = store.backend.entries(folder)
    if _taken_up(now, place):
        return False
    for name in sorted(now, key=lambda name: name != "manifest.json"):
        if name != RETIRED:
            store.backend.remove(f"{folder}/{name}")
    store.backend.remove(f"work/{item.path}")
    return True


def _taken_up(now: dict[str, Entry], place: Place) -> bool:
    """Tell if somebody has taken up what is at a place since the census; whoever comes after the retirement sees that."""
    return now.get(USED) != place.used
