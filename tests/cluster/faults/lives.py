"""Lives of one chain of runs, each under a fault of its own: which faults there are, how a life is led, what is kept of it.

All lives are led at the same time, since each mostly waits. Pods are played; the first one of every corpus fails, so that there is
a restart. Nothing is asserted here.
"""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from astra_jobs.api.v1alpha1.status import Status
from astra_operator.clusters.base import parse_time
from astra_operator.clusters.kubernetes_resources import RESOURCE_OF
from tests.cluster.faults.gates import Gate, Gates
from tests.cluster.faults.player import MANAGED, Plain, PodPlayer
from tests.cluster.faults.proxy import Faults
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import IDENTITY, OperatorTeam
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ControlPlane
from tests.reconcile.harness import bad, good, manifest

Object = dict[str, Any]
POD_SECONDS = 12
"""What a pod takes; with less, a whole life of a run would be squeezed into the minute in which its requests are counted."""
RAGE_SECONDS = 60
LONGEST = 170
PACE = {"ASTRA_LEASE_SECONDS": "15", "ASTRA_RESYNC_SECONDS": "5", "ASTRA_WORKERS": "4"}
KINDS = ("ToolCorpus", "ChainSynthesis", "SFTRun")
NAMES = {"ToolCorpus": "tools", "ChainSynthesis": "chains", "SFTRun": "sft"}

CALM = "calm"
FAULTS: dict[str, Faults] = {
    CALM: Faults(),
    "conflicts": Faults(conflict=0.2),
    "too many requests": Faults(busy=0.1),
    "internal errors": Faults(broken=0.1),
    "dropped connections": Faults(dropped=0.1),
    "lost answers": Faults(lost=0.1),
    "hung calls": Faults(hung=0.05, held=4),
    "cut watches": Faults(cut=2),
    "silent watches": Faults(silent=True),
    "expired watches": Faults(expired=0.7, cut=5),
    "doubled and shuffled events": Faults(doubled=0.5, shuffled=0.5),
    "slow lists": Faults(slow=2),
    "a mixture": Faults(0.1, 0.025, 0.025, 0.025, 0.025, cut=10, expired=0.1, doubled=0.3, shuffled=0.3, slow=0.5),
}
OUTAGES: dict[str, Faults] = {
    "every write conflicts": Faults(conflict=1.0),
    "every call is refused": Faults(busy=1.0, cut=1),
    "every call breaks": Faults(broken=1.0, cut=1),
    "no answer ever comes back": Faults(lost=1.0, cut=1),
    "every call hangs": Faults(hung=1.0, cut=1),
    "refused from the start": Faults(busy=1.0),
}
"""These strike everything for a minute and are healed then. They begin with the first Job, or else before the operator knows anything."""
STARTING = threading.Semaphore(3)
"""A start is two seconds of a processor: many at once would all take long."""
AT_ONCE = ("refused from the start",)


@dataclass
class Life:
    """One namespace under one fault, and what became of it."""

    name: str
    faults: Faults
    team: OperatorTeam
    gate: Gate
    operator: OperatorProcess
    seconds: float = 0.0
    problem: str = ""
    picture: list[Any] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    audited: list[Object] = field(default_factory=list)
    requests: list[Object] = field(default_factory=list)
    injected: dict[str, int] = field(default_factory=dict)
    ends: dict[str, Any] = field(default_factory=dict)
    """Why launches ended, for messages."""

    def lead(self, plain: Plain) -> None:
        """Apply the runs, and wait until the last one has ended as it should, or too long; closes the operator."""
        try:
            self._strike_and_wait(plain)
            self.picture = self._look(plain)
            configs = plain.items(f"/api/v1/namespaces/{self.team.namespace}/configmaps?labelSelector={MANAGED}")
            self.ends = {item["metadata"]["name"]: item["metadata"].get("annotations") for item in configs}
        except AssertionError as error:
            self.problem = f"{error}: {self.operator.log()[-2000:]}"
        self.requests, self.injected = self.gate.requests(), self.gate.injected()
        self.operator.close()
        kept = {"ends": self.ends, "requests": self.requests, "injected": self.injected}
        self.operator.folder.joinpath(f"{self.operator.name}.json").write_text(json.dumps(kept))

    def _strike_and_wait(self, plain: Plain) -> None:
        outage = self.name in OUTAGES
        first_job = f"/apis/batch/v1/namespaces/{self.team.namespace}/jobs/tools-corpus-1-collect-0"
        if not outage or self.name in AT_ONCE:
            self.gate.inject(self.faults)
        with STARTING:
            self.operator.start()
        begun = time.monotonic()
        for kind in KINDS:
            run = manifest(kind, NAMES[kind])  # type: ignore[arg-type]
            run["spec"] = {key: value for key, value in run["spec"].items() if key != "evaluation"}
            assert plain.ask("POST", self._path(kind, ""), run)["kind"] == kind
        if outage and self.name not in AT_ONCE:
            wait_for("the first Job", lambda: plain.ask("GET", first_job)["kind"] == "Job", LONGEST, every=0.5)
            wait_for("watches that can be cut", lambda: self.gate.watches() >= len(KINDS), LONGEST, every=0.1)
            self.gate.inject(self.faults)
        if outage:
            threading.Event().wait(RAGE_SECONDS)  # there is nothing to wait for: what must not happen is counted afterwards
            self.gate.inject(Faults())
        wait_for("all runs end", lambda: self._ended(plain), LONGEST - (time.monotonic() - begun), every=0.5)
        self.seconds = time.monotonic() - begun

    def _path(self, kind: str, name: str) -> str:
        return RESOURCE_OF[kind].path(self.team.namespace, name)

    def _ended(self, plain: Plain) -> bool:
        conditions = plain.ask("GET", self._path("SFTRun", "sft")).get("status", {}).get("conditions", [])
        return any(item["type"] == "Succeeded" and item["status"] == "True" for item in conditions)

    def _look(self, plain: Plain) -> list[Any]:
        """Return what people see, without times and messages."""
        told: list[Any] = []
        for kind, name in NAMES.items():
            status = Status.model_validate(plain.ask("GET", self._path(kind, name))["status"])
            told += [(kind, item.type, item.status, item.reason) for item in status.conditions]
            assert status.attempt is not None
            told += [(kind, status.attempt.number, status.attempt.digest, status.attempt.restarts, status.stage, status.artifact)]
            told += [(kind, status.artifacts, status.history)]
        return told


@contextmanager
def lead_all(plane: ControlPlane, folder: Path) -> Iterator[dict[str, Life]]:
    """Lead all lives and yield them; the proxy stays up meanwhile. Outages come first: they take longest."""
    named = OUTAGES | FAULTS
    gates = Gates(plane, IDENTITY, folder / "proxy", len(named))
    plain = Plain(plane)
    mark = plane.audit_mark()
    try:
        with ThreadPoolExecutor(4) as pool:
            teams = list(pool.map(lambda _: OperatorTeam(plane, "faults"), named))
        lives = {}
        for (name, faults), team, gate in zip(named.items(), teams, gates.gates, strict=True):
            operator = OperatorProcess(gate.kubeconfig(), [team.namespace], folder, name.replace(" ", "-"), **PACE)
            lives[name] = Life(name, faults, team, gate, operator)
        try:
            with PodPlayer(plane, Ends()), ThreadPoolExecutor(len(lives)) as pool:
                list(pool.map(lambda life: life.lead(plain), lives.values()))
        finally:
            for life in lives.values():
                life.operator.close()
        _audit(plane, mark, lives)
        yield lives
    finally:
        gates.stop()
        plain.close()


class Ends:
    """Lets every pod end well some seconds after it was made, but for the first of each corpus."""

    def __init__(self) -> None:
        self._failed: dict[str, str] = {}

    def __call__(self, pod: Object) -> Any:
        metadata = pod["metadata"]
        age = (datetime.now(UTC) - parse_time(metadata["creationTimestamp"])).total_seconds()
        if age < POD_SECONDS:
            return None
        if "-collect-" in metadata["name"] and self._failed.setdefault(metadata["namespace"], metadata["uid"]) == metadata["uid"]:
            return lambda request, shard: (bad("StoreUnavailable", "no store", 75), 75)
        return lambda request, shard: (good(request, shard), 0)


def _audit(plane: ControlPlane, mark: int, lives: dict[str, Life]) -> None:
    """Share the audit log out, and note each ConfigMap, Job and PyTorchJob that an operator made, as often as it was made."""
    by_namespace = {life.team.namespace: life for life in lives.values()}
    for event in plane.audit(mark):
        about = event.get("objectRef", {})
        life = by_namespace.get(about.get("namespace", ""))
        if life is None:
            continue
        life.audited.append(event)
        made = event["verb"] == "create" and event["user"].get("username") == IDENTITY and event["responseStatus"]["code"] == 201
        if made and about["resource"] in ("configmaps", "jobs", "pytorchjobs") and "dryRun" not in event["requestURI"]:
            life.made.append(f"{about['resource']}/{about['name']}")
    for life in lives.values():
        life.made.sort()
