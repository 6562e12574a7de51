"""The local API server: runs and their children as JSON files under one folder, in memory while somebody holds the lock.

``runs/`` holds what users applied; ``objects/`` holds what the reconcile and the controllers made. Every change is written
at once and in one step. Only the holder of the lock writes; others read the files (``read_runs``) or leave an *intent*,
a small patch of a run's spec that the holder picks up.
"""

import copy
import json
import uuid
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from astra_jobs.api.artifact import KINDS, Kind
from astra_jobs.api.base import API_VERSION
from astra_operator.clusters.base import Object, RunKey, key_of
from astra_operator.clusters.local_files import read_json, write_json

Slot = tuple[str, str, str]
EVENTS = 50
PATCHABLE = ("suspend", "rerun", "retry")


def slot_of(item: Object) -> Slot:
    """Return what names an object: kind, namespace, name."""
    return item["kind"], item["metadata"].get("namespace", "default"), item["metadata"]["name"]


def _file(folder: Path, slot: Slot) -> Path:
    kind, namespace, name = slot
    return folder / namespace / f"{kind}.{name}.json"


def read_runs(folder: Path) -> list[Object]:
    """Return the runs that are stored under a state folder, by kind and name; takes no lock."""
    found = [read_json(path)["run"] for path in (folder / "runs").glob("*/*.json")]
    return sorted(found, key=lambda run: (run["metadata"]["namespace"], KINDS.index(run["kind"]), run["metadata"]["name"]))


def read_events(folder: Path, key: RunKey) -> list[list[str]]:
    """Return the events of a run, oldest first: time, type, reason, note."""
    path = _file(folder / "runs", key)
    return list(read_json(path).get("events", {}).values()) if path.exists() else []


def read_team(folder: Path, namespace: str) -> dict[str, str]:
    """Return a team's settings; a store without a scheme is a folder, relative to the folder that holds the state."""
    path = folder / "team" / f"{namespace}.json"
    data = read_json(path) if path.exists() else {}
    return complete_team(folder, data)


def complete_team(folder: Path, data: Mapping[str, str]) -> dict[str, str]:
    """Return a team's settings with the local defaults and the store as a URL."""
    url = data.get("storeUrl") or str(folder.absolute() / "store")
    if "://" not in url:
        url = (folder.absolute().parent / url).as_uri()
    return {"isolation": "Process", **data, "storeUrl": url}


def _placed(folder: Path | None) -> dict[str, str]:
    return {"folder": str(folder.absolute())} if folder is not None else {}


class Runs:
    """Stored runs. Each file also keeps the spec that was applied last, what commands have set over it, and the manifest's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "runs"
        self.intents = folder / "intents"
        self._records: dict[RunKey, dict[str, Any]] = {}
        for path in self.folder.glob("*/*.json"):
            record = read_json(path)
            self._records[key_of(record["run"])] = record

    def __iter__(self) -> Iterator[Object]:
        return iter(record["run"] for record in self._records.values())

    def get(self, key: RunKey) -> Object | None:
        """Return a run, or None."""
        record = self._records.get(key)
        return record["run"] if record else None

    def folder_of(self, uids: Container[str]) -> str:
        """Return the folder of the manifest of the run that has one of these UIDs, '' when it is not known."""
        found = (record for record in self._records.values() if record["run"]["metadata"]["uid"] in uids)
        return next((record.get("folder", "") for record in found), "")

    def put(self, manifest: Object, now: str, folder: Path | None = None) -> Object:
        """Create a run or change its spec as ``kubectl apply`` would: what a command set stays until the manifest changes it."""
        key = key_of(manifest)
        record = self._records.get(key)
        if record is None:
            metadata = {"namespace": key.namespace, **manifest["metadata"]}
            metadata |= {"uid": str(uuid.uuid4()), "generation": 1, "creationTimestamp": now}
            run = {"apiVersion": API_VERSION, "kind": key.kind, "metadata": metadata, "spec": copy.deepcopy(manifest["spec"]), "status": {}}
            record = {"run": run, "applied": copy.deepcopy(manifest["spec"]), "patches": {}, **_placed(folder)}
            self._records[key] = record
            self._save(key)
            return run
        before = record["applied"]
        record["patches"] = {name: value for name, value in record["patches"].items() if before.get(name) == manifest["spec"].get(name)}
        record["applied"] = copy.deepcopy(manifest["spec"])
        record |= _placed(folder)
        self._respec(key)
        return self._run(key)

    def _run(self, key: RunKey) -> Object:
        run: Object = self._records[key]["run"]
        return run

    def patch(self, key: RunKey, values: dict[str, Any]) -> None:
        """Set fields of a run's spec over what was applied; only those of ``PATCHABLE`` can be set so."""
        if set(values) - set(PATCHABLE):
            raise ValueError(f"only {', '.join(PATCHABLE)} can be patched")
        self._records[key]["patches"] |= values
        self._respec(key)

    def note(self, key: RunKey, name: str, line: list[str]) -> None:
        """Keep an event of a run, once; the last ``EVENTS`` of them."""
        events: dict[str, list[str]] = self._records[key].setdefault("events", {}) if key in self._records else {name: line}
        if name not in events:
            events[name] = line
            for old in list(events)[:-EVENTS]:
                del events[old]
            self._save(key)

    def set_status(self, key: RunKey, status: dict[str, Any]) -> None:
        """Replace a run's status."""
        self._records[key]["run"]["status"] = copy.deepcopy(status)
        self._save(key)

    def take_intents(self) -> list[RunKey]:
        """Apply the patches that other commands left, oldest first; return the runs that they name."""
        touched = []
        for path in sorted(self.intents.glob("*.json")):
            intent = read_json(path)
            key = RunKey(intent["kind"], intent["namespace"], intent["name"])
            if key in self._records:
                self.patch(key, intent["values"])
                touched.append(key)
            path.unlink()
        return touched

    def _respec(self, key: RunKey) -> None:
        record = self._records[key]
        spec = copy.deepcopy(record["applied"]) | record["patches"]
        if spec != record["run"]["spec"]:
            record["run"]["spec"] = spec
            record["run"]["metadata"]["generation"] += 1
        self._save(key)

    def _save(self, key: RunKey) -> None:
        path = _file(self.folder, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self._records[key])


def leave_intent(folder: Path, key: RunKey, values: dict[str, Any], order: int) -> None:
    """Leave a patch for whoever holds the lock; ``order`` is a growing number (nanoseconds of the clock)."""
    place = folder / "intents"
    place.mkdir(parents=True, exist_ok=True)
    write_json(place / f"{order:020d}.json", {"kind": key.kind, "namespace": key.namespace, "name": key.name, "values": values})


class Objects:
    """Children: ConfigMaps, Jobs, PyTorchJobs, Pods, in the order in which they were made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "objects"
        found = [read_json(path) for path in self.folder.glob("*/*.json")]
        found.sort(key=lambda item: int(item["metadata"]["resourceVersion"]))
        self._items: dict[Slot, Object] = {slot_of(item): item for item in found}
        self._next = 1 + max((int(item["metadata"]["resourceVersion"]) for item in found), default=0)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._items.values()))

    def get(self, slot: Slot) -> Object | None:
        """Return an object, or None."""
        return self._items.get(slot)

    def of_kind(self, *kinds: str) -> list[Object]:
        """Return the objects of some kinds, oldest first."""
        return [item for item in self._items.values() if item["kind"] in kinds]

    def owned_by(self, uid: str) -> list[Object]:
        """Return what an owner owns directly."""
        return [item for item in self._items.values() if uid in owners_of(item)]

    def create(self, item: Object, now: str) -> Object:
        """Store a new object with a UID of its own."""
        item["metadata"] |= {
            "uid": item["metadata"].get("uid") or str(uuid.uuid4()),
            "creationTimestamp": now,
            "resourceVersion": str(self._next),
        }
        self._next += 1
        self._items[slot_of(item)] = item
        self.save(item)
        return item

    def save(self, item: Object) -> None:
        """Write an object that was changed in place."""
        path = _file(self.folder, slot_of(item))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, item)

    def remove(self, item: Object) -> None:
        """Forget an object."""
        self._items.pop(slot_of(item), None)
        _file(self.folder, slot_of(item)).unlink(missing_ok=True)

    def uids(self) -> set[str]:
        """Return the UIDs of all objects."""
        return {item["metadata"]["uid"] for item in self._items.values()}


def owners_of(item: Object) -> set[str]:
    """Return the UIDs that own an object."""
    return {owner["uid"] for owner in item["metadata"].get("ownerReferences", [])}


def equal(one: Any, other: Any) -> bool:
    """Tell if two JSON values are the same."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def sorted_keys(runs: Iterable[Object]) -> list[RunKey]:
    """Return the keys of runs in pipeline order."""
    order: dict[Kind, int] = {kind: index for index, kind in enumerate(KINDS)}
    return sorted((key_of(run) for run in runs), key=lambda key: (key.namespace, order[key.kind], key.name))
