"""Who may write for a key: starts of writers, so that an older one is refused and its late writes are never read.

A pod that the cluster believes dead may still run. Every start of a job therefore puts a numbered start record, only if
absent, before it writes journal segments or checkpoints. The record *seals* what it found: later starts read of the
earlier ones only what was sealed, so a write that slips in between the check and the put changes nothing. Records also
carry (attempt, restart) of the workload: a pod of an older restart that starts late is refused at once.
Two runs that ask for the same thing share artifacts (``store``), never this state: it is kept by owner.
"""

import json
from dataclasses import dataclass, field

from astra_jobs.api.base import canonical, digest_of
from astra_jobs.api.errors import Transient
from astra_jobs.api.request import StageRequest
from astra_jobs.runtime.backend import Backend


@dataclass(frozen=True)
class Start:
    """One start: ``journal`` is how many segments the previous start left, ``checkpoint`` the newest one found."""

    number: int
    attempt: int
    restart: int
    journal: int = 0
    checkpoint: str = ""


@dataclass
class State:
    """The place of a key's journal and checkpoints, for one run; read-only until ``start`` was called."""

    backend: Backend
    root: str
    attempt: int
    restart: int
    own: Start | None = None
    _starts: list[Start] = field(default_factory=list)

    def start(self) -> Start:
        """Announce this writer; raise Transient Superseded when a newer restart was here."""
        while True:
            earlier = self.starts()
            self._refuse_older(earlier)
            number = earlier[-1].number + 1 if earlier else 1
            previous = earlier[-1] if earlier else None
            record = Start(
                number,
                self.attempt,
                self.restart,
                journal=len(self.segments(previous.number)) if previous else 0,
                checkpoint=self.newest_checkpoint(previous),
            )
            data = canonical(
                {"attempt": record.attempt, "restart": record.restart, "journal": record.journal, "checkpoint": record.checkpoint}
            )
            if self.backend.create(f"{self.root}/starts/{number:08d}.json", data):
                self.own = record
                return record

    def check(self) -> Start:
        """Return the own start if it is still the newest; raise Transient Superseded otherwise."""
        if self.own is None:
            raise RuntimeError("only rank 0 writes the journal and checkpoints")
        newest = max(self._names("starts"), default="")
        if newest > f"{self.own.number:08d}.json":
            raise _superseded(f"start {newest.removesuffix('.json')} of the same workload")
        return self.own

    def starts(self) -> list[Start]:
        """Return every start so far, oldest first."""
        found = []
        for name in sorted(self._names("starts")):
            data = self.backend.read(f"{self.root}/starts/{name}")
            found.append(Start(number=int(name.removesuffix(".json")), **json.loads(data or b"{}")))
        return found

    def segments(self, number: int) -> list[str]:
        """Return the journal segments of one start, in order."""
        return sorted(name for name in self._names("journal") if name.startswith(f"{number:08d}-"))

    def newest_checkpoint(self, previous: Start | None) -> str:
        """Return the checkpoint that a start after ``previous`` goes on from: its newest, else what it started from."""
        if previous is None:
            return ""
        own = [name for name in self._names("checkpoints") if name.startswith(f"{previous.number:08d}-")]
        return max(own).removesuffix(".json") if own else previous.checkpoint

    def clear(self) -> None:
        """Remove journal and checkpoints once the artifact is committed; start records stay and keep refusing."""
        for part in ("journal", "checkpoints", "snapshots"):
            self.backend.remove(f"{self.root}/{part}")

    def _names(self, part: str) -> list[str]:
        return [name for name in self.backend.sizes(f"{self.root}/{part}") if "/" not in name]

    def _refuse_older(self, earlier: list[Start]) -> None:
        newest = max(((start.attempt, start.restart) for start in earlier), default=(0, 0))
        if newest > (self.attempt, self.restart):
            raise _superseded(f"restart {newest[1]} of attempt {newest[0]}")


def state_of(backend: Backend, request: StageRequest, shard: int) -> State:
    """Return the state of a stage and shard of a run."""
    owner = owner_of(request.uid, request.namespace, request.name)
    key = request.key(shard).removeprefix("sha256:")
    return State(backend, f"state/{key}/{owner}", request.attempt, request.restart)


def owner_of(uid: str, namespace: str, name: str) -> str:
    """Return the name of the folder in which a run's state is kept."""
    return digest_of([uid or [namespace, name]]).removeprefix("sha256:")[:16]


def _superseded(by: str) -> Transient:
    return Transient("request.restart", "Superseded", f"{by} has taken over; this one may not write any more")
