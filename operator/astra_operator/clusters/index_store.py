"""The tables behind ``Index``: entries by UID, by name, by run, and the UIDs of what is gone. Not thread-safe; the index locks."""

import sys
from collections.abc import Iterable

from astra_jobs.api.artifact import KINDS
from astra_operator.clusters.base import Object
from astra_operator.clusters.index_trim import controller_of
from astra_operator.desired.naming import LABEL_POOL, LABEL_UID

Slot = tuple[str, str, str]
Conditions = tuple[tuple[str, str], ...]
"""Type and status of a run's conditions, for whoever counts runs: reading them from the text of thousands takes too long."""
# A late event comes within minutes of the deletion; a UID costs 200 bytes. Whatever came back after so many other deletions
# would be put right by the next list.
MOST_BURIED = 50_000


class Entry:
    """One object as it is kept: its text, and what the tables need of it. UIDs and names are shared between entries where equal."""

    __slots__ = ("body", "conditions", "label", "owner", "owner_kind", "owner_name", "pool", "slot", "uid", "version")

    def __init__(self, item: Object, version: int, body: bytes) -> None:
        metadata = item["metadata"]
        owner = controller_of(item) or {}
        self.version = version
        self.body = body
        self.uid = sys.intern(metadata["uid"])
        self.slot: Slot = (sys.intern(item["kind"]), sys.intern(metadata["namespace"]), sys.intern(metadata["name"]))
        self.label = sys.intern(metadata.get("labels", {}).get(LABEL_UID, ""))
        self.pool = sys.intern(metadata.get("labels", {}).get(LABEL_POOL, ""))
        self.owner = sys.intern(owner.get("uid", ""))
        self.owner_kind = sys.intern(owner.get("kind", ""))
        self.owner_name = sys.intern(owner.get("name", ""))
        self.conditions: Conditions = _conditions(item) if item["kind"] in KINDS else ()


class Store:
    """``buried`` maps the UIDs of what is gone to the UIDs of their controllers, the oldest first."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.runs: dict[str, Entry] = {}
        self.buried: dict[str, str] = {}
        self._slots: dict[Slot, str] = {}
        self._by_label: dict[str, set[str]] = {}
        self._queued: dict[str, set[str]] = {}

    def put(self, entry: Entry) -> bool:
        """Keep an entry unless it is old or gone; return whether anything but its version is new."""
        known = self.entries.get(entry.uid)
        if entry.uid in self.buried or (known is not None and entry.version <= known.version):
            return False
        holder = self.at(entry.slot)
        if holder is not None and holder.uid != entry.uid:
            if holder.version > entry.version:  # the name went to a newer object, so this one is gone
                self.bury(entry.uid, entry.owner)
                return False
            self.bury(holder.uid)
        if known is not None:
            self._unlink(known)
        self._link(entry)
        return known is None or known.body != entry.body

    def bury(self, uid: str, owner: str = "") -> None:
        """Forget an object and never take it again; ``owner`` is its controller's UID, for one that was never kept."""
        entry = self.entries.get(uid)
        if entry is not None:
            self._unlink(entry)
            owner = entry.owner
        self.buried[uid] = owner or self.buried.get(uid, "")
        while len(self.buried) > MOST_BURIED:
            del self.buried[next(iter(self.buried))]

    def at(self, slot: Slot) -> Entry | None:
        """Return the entry of a name."""
        uid = self._slots.get(slot)
        return self.entries.get(uid) if uid else None

    def of(self, kind: str, namespace: str) -> list[Entry]:
        """Return the entries of a kind in a namespace, or in all of them when none is named."""
        return [entry for entry in list(self.entries.values()) if entry.slot[0] == kind and namespace in ("", entry.slot[1])]

    def labelled(self, uid: str) -> list[Entry]:
        """Return the entries that bear a run's UID as their label, in the order of kind and name."""
        return self._sorted(self._by_label.get(uid, ()))

    def queued(self, uid: str) -> list[Entry]:
        """Return the Kueue Workloads of a Job or PyTorchJob."""
        return self._sorted(self._queued.get(uid, ()))

    def _sorted(self, uids: Iterable[str]) -> list[Entry]:
        return sorted((self.entries[uid] for uid in uids), key=lambda entry: entry.slot)

    def _link(self, entry: Entry) -> None:
        self.entries[entry.uid] = entry
        self._slots[entry.slot] = entry.uid
        if entry.slot[0] in KINDS:
            self.runs[entry.uid] = entry
        elif entry.slot[0] == "Workload":
            self._queued.setdefault(entry.owner, set()).add(entry.uid)
        elif entry.label:
            self._by_label.setdefault(entry.label, set()).add(entry.uid)

    def _unlink(self, entry: Entry) -> None:
        del self.entries[entry.uid]
        del self._slots[entry.slot]
        self.runs.pop(entry.uid, None)
        for table, key in ((self._by_label, entry.label), (self._queued, entry.owner)):
            members = table.get(key)
            if members is not None:
                members.discard(entry.uid)
                if not members:
                    del table[key]


def _conditions(run: Object) -> Conditions:
    return tuple((sys.intern(item["type"]), sys.intern(item["status"])) for item in (run.get("status") or {}).get("conditions", ()))
