"""What the cluster holds, kept in memory from events and lists, so that a look at a run costs no call.

Thread-safe. An object is kept as compact JSON text: a fifth of the memory of dicts, and every reader gets a copy of its own.
Events may come late, twice, in any order or not at all: an older version never replaces a newer one, what was deleted never
comes back, and a list (``replace``) puts right what was missed. It makes no call and decides nothing about runs.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from astra_operator.clusters.base import WORKLOADS, Object, RunKey
from astra_operator.clusters.index_store import Conditions, Entry, Store
from astra_operator.clusters.index_trim import controller_of, trim
from astra_operator.clusters.kubernetes_resources import Resource


class _Late(NamedTuple):
    """A change that a list brought and the stream of events still owes: which, of what, and since when."""

    version: int
    place: tuple[str, str]
    since: float


class Index:
    """Runs and their children. ``grace`` is how long, in seconds, an event may take before a list that was faster tells of a miss."""

    def __init__(self, grace: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.RLock()
        self._store = Store()
        self._late: dict[str, _Late] = {}
        self._grace = grace
        self._clock = clock

    def __len__(self) -> int:
        """Return how many objects are kept."""
        return len(self._store.entries)

    # ---- what comes in

    def put(self, item: Object, streamed: bool = True) -> RunKey | None:
        """Keep an object if it is newer than what is kept; return the run that it is news for, None when it is news for none.

        ``streamed`` tells that it came as an event; answers to own calls and lists say False. Raises ``KeyError`` for a kind that is
        not watched.
        """
        uid, version = item["metadata"]["uid"], int(item["metadata"]["resourceVersion"])
        if streamed:
            self._arrived(uid, version)
        known = self._store.entries.get(uid)
        if known is not None and version <= known.version:
            return None
        kept = trim(item)
        entry = Entry(kept, version, _encode(kept))  # outside the lock: it is most of the work
        with self._lock:
            return self._owner_of(entry) if self._store.put(entry) else None

    def remove(self, item: Object, streamed: bool = True) -> RunKey | None:
        """Forget an object for good; return the run that it is news for."""
        uid = item["metadata"]["uid"]
        if streamed:
            self._arrived(uid, None)
        with self._lock:
            entry = self._store.entries.get(uid)
            key = self._owner_of(entry) if entry else None
            self._store.bury(uid, (controller_of(item) or {}).get("uid", ""))
            return key

    def replace(self, resource: Resource, namespace: str, pages: Iterable[Object]) -> tuple[set[RunKey], int]:
        """Take over a list of a namespace ("": of all), page by page (answers of the API server).

        Returns whose objects differed, and how many events were missed. A miss is a change that an earlier list brought and no event
        has brought since, for longer than the grace; each counts once. What was made or changed after the list was taken is newer than
        it and stays.
        """
        place = (resource.kind, namespace)
        seen: set[str] = set()
        changed: set[RunKey] = set()
        version = 0
        for page in pages:
            version = int(page["metadata"]["resourceVersion"])
            for item in page["items"]:
                item |= {"apiVersion": resource.api_version, "kind": resource.kind}
                seen.add(item["metadata"]["uid"])
                changed |= self._listed(item, place)
        gone = [entry for entry in self._store.of(*place) if entry.version <= version and entry.uid not in seen]
        for entry in gone:
            key = self.remove({"metadata": {"uid": entry.uid}}, streamed=False)
            self._late[entry.uid] = _Late(version, place, self._clock())
            changed |= {key} if key else set()
        return changed, self._missed(place)

    # ---- what is asked

    def run(self, key: RunKey) -> Object | None:
        """Return one run, or None."""
        return self.find(*key)

    def runs(self) -> list[Object]:
        """Return all runs. Costly with thousands of them: for start-up and tests; a pass looks runs up one by one."""
        return [_decode(entry) for entry in self._entries_of_runs()]

    def keys(self) -> list[RunKey]:
        """Return the keys of all runs."""
        return [RunKey(*entry.slot) for entry in self._entries_of_runs()]  # type: ignore[arg-type]

    def standings(self) -> Counter[tuple[str, Conditions]]:
        """Count the runs of each kind by their conditions."""
        return Counter((entry.slot[0], entry.conditions) for entry in self._entries_of_runs())

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return any kept object by its name, or None."""
        entry = self._store.at((kind, namespace, name))
        return _decode(entry) if entry else None

    def children(self, uid: str) -> list[Object]:
        """Return what a run owns: labelled with its UID, and led to it by controller references, of which every one must be real."""
        with self._lock:
            labelled = [entry for entry in self._store.labelled(uid) if self._belongs(entry, uid)]
            queued = [below for entry in labelled if entry.slot[0] in WORKLOADS for below in self._store.queued(entry.uid)]
        return [_decode(entry) for entry in (*labelled, *queued)]

    # ---- inside

    def _entries_of_runs(self) -> list[Entry]:
        with self._lock:
            return list(self._store.runs.values())

    def _listed(self, item: Object, place: tuple[str, str]) -> set[RunKey]:
        uid, version = item["metadata"]["uid"], int(item["metadata"]["resourceVersion"])
        known = self._store.entries.get(uid)
        if uid in self._store.buried or (known is not None and known.version >= version):
            return set()
        key = self.put(item, streamed=False)
        self._late[uid] = _Late(version, place, self._clock())
        return {key} if key else set()

    def _arrived(self, uid: str, version: int | None) -> None:
        late = self._late.get(uid)
        if late is not None and (version is None or version >= late.version):
            self._late.pop(uid, None)

    def _missed(self, place: tuple[str, str]) -> int:
        now = self._clock()
        missed = [uid for uid, late in list(self._late.items()) if late.place == place and now - late.since > self._grace]
        for uid in missed:
            self._late.pop(uid, None)
        return len(missed)

    def _owner_of(self, entry: Entry) -> RunKey | None:
        """Return the run that an object is, or belongs to; a link that comes later in the chain tells of it then."""
        if entry.uid in self._store.runs:
            return RunKey(*entry.slot)  # type: ignore[arg-type]
        above = self._store.entries.get(entry.owner) if entry.slot[0] == "Workload" else entry
        run = self._store.runs.get(above.label) if above else None
        return RunKey(*run.slot) if run and above and self._belongs(above, run.uid) else None  # type: ignore[arg-type]

    def _belongs(self, entry: Entry, uid: str) -> bool:
        """Tell if an object that bears a run's label is led to it by its controllers."""
        run = self._store.runs.get(uid)
        if entry.label != uid or (run is not None and run.slot[1] != entry.slot[1]):
            return False
        if entry.owner == uid:
            return True
        if entry.pool and entry.owner_kind == "ReplicaSet":
            return self._guarded(entry, uid)
        above = self._store.entries.get(entry.owner)
        if above is not None:
            return above.owner == uid and above.label == uid and above.slot[0] in WORKLOADS
        if self._store.buried.get(entry.owner):
            return self._store.buried[entry.owner] == uid
        # Pods outlive a deleted workload for a moment, and an operator that starts in it has never seen that workload. They still
        # count, or a second launch would run beside them: the request of the workload's name vouches for it.
        request = self._store.at(("ConfigMap", entry.slot[1], entry.owner_name)) if entry.owner_kind in WORKLOADS else None
        return request is not None and request.owner == uid and request.label == uid

    def _guarded(self, pod: Entry, uid: str) -> bool:
        """Tell if a pod of a sandbox pool is a run's. Nobody looks at ReplicaSets; the pool's NetworkPolicy, which goes last, vouches."""
        policy = self._store.at(("NetworkPolicy", pod.slot[1], pod.pool))
        return policy is not None and policy.owner == uid and policy.label == uid and pod.owner_name.startswith(f"{pod.pool}-")


def _encode(item: Object) -> bytes:
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode()


def _decode(entry: Entry) -> Object:
    item: dict[str, Any] = json.loads(entry.body)
    item["metadata"]["resourceVersion"] = str(entry.version)
    return item
