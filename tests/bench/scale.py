"""What the scale benches share: a control plane of their own with kwok, many requests at once, and the audit log as the judge.

The operator is a process of its own with the shipped rights and production's pace; its pods are played by kwok, which also writes the
result of a job. Nothing here measures or judges: the benches do.
"""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from astra_operator.clusters.kubernetes_calls import Call, Calls, connect
from astra_operator.clusters.kubernetes_errors import Answer
from astra_operator.clusters.kubernetes_resources import RESOURCE_OF, RESOURCES, Resource
from tests.bench.machine import machine
from tests.bench.scale_kwok import stages
from tests.cluster.operator_process import QUICK, OperatorProcess
from tests.cluster.operator_team import IDENTITY, UNCOUNTED, WRITES, OperatorTeam
from tests.cluster.plane.addons import start_kwok
from tests.cluster.plane.plane import ControlPlane, start_plane

Object = dict[str, Any]
RESULTS = Path(__file__).parent / "results"
AT_ONCE = 8
POPULATING = 24
"""Connections of the client: few where it is compared with the operator, many where it only has to be done soon."""
PRODUCTION = dict.fromkeys(QUICK, "")
"""Settings that tests make quicker go back to their defaults."""
PAGE = 500
READ_SECONDS = 120.0


class Scale:
    """A plane with kwok, a namespace with the shipped rights, and a client of many connections as administrator."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        self.team = OperatorTeam(plane, "scale")
        self.namespace = self.team.namespace
        self._calls = Calls(connect(plane.kubeconfig, POPULATING), lambda verb, resource, code, seconds: None, READ_SECONDS)

    def operator(self, **env: str) -> OperatorProcess:
        """Return an operator that is not started yet; from its second start on it finds compiled bytecode, as in an image."""
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode")}
        return OperatorProcess(self.team.identity(), [self.namespace], self.folder, **(PRODUCTION | compiled | env))

    def send(self, call: Call) -> Object:
        """Make one call that must succeed, and return its answer."""
        answer: Answer = self._calls.send(call)
        assert answer.good, f"{call}: {answer.code} {answer.message}"
        return answer.body

    def create(self, item: Object, namespace: str = "") -> Object:
        """Make an object in the namespace, or in another."""
        resource = RESOURCE_OF[item["kind"]]
        return self.send(Call("create", resource.plural, resource.path(namespace or self.namespace), body=item))

    def put_status(self, made: Object, status: Object) -> None:
        """Set the status of an object that was made."""
        resource, metadata = RESOURCE_OF[made["kind"]], made["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"], "status")
        self.send(Call("update", resource.plural, path, body=made | {"status": status}))

    def pages(self, resource: Resource, namespace: str = "") -> Iterator[list[Object]]:
        """List a collection in chunks, with the operator's own selector and size of chunks."""
        query = {"limit": str(PAGE)} | ({"labelSelector": resource.selector} if resource.selector else {})
        token = ""
        while True:
            asked = query | ({"continue": token} if token else {})
            body = self.send(Call("list", resource.plural, resource.path(namespace or self.namespace), asked))
            yield body["items"]
            token = body["metadata"].get("continue", "")
            if not token:
                return

    def objects(self, kind: str) -> list[Object]:
        """Return all objects of a kind, with apiVersion and kind, which lists leave out."""
        resource = RESOURCE_OF[kind]
        told = {"apiVersion": resource.api_version, "kind": kind}
        return [told | item for page in self.pages(resource) for item in page]

    def counts(self) -> Counter[str]:
        """Return how many objects of each kind the operator watches here; Kueue is not installed."""
        served = [item for item in RESOURCES if item.kind != "Workload"]
        return Counter({item.kind: sum(len(page) for page in self.pages(item)) for item in served})

    def calls(self, since: int) -> list[Object]:
        """Return what the operator asked of the API server, discovery included, from the audit log."""
        return [event for event in self.plane.audit(since) if event["user"]["username"] == IDENTITY]

    def writes(self, since: int) -> list[Object]:
        """Return the operator's writes, refused ones too, those to the Lease and events left out."""
        return [event for event in self.calls(since) if event["verb"] in WRITES and event["objectRef"]["resource"] not in UNCOUNTED]


@contextmanager
def started() -> Iterator[Scale]:
    """Start a plane for one bench; its files and logs go when it ends."""
    with tempfile.TemporaryDirectory(prefix="astra-scale-") as name:
        folder = Path(name)
        (folder / "plane").mkdir()
        plane = start_plane(folder / "plane")
        try:
            start_kwok(plane, tainted=False, stages=stages(folder))
            yield Scale(plane, folder)
        finally:
            plane.stop(keep_logs=False)


def at_once(work: Callable[[Any], Any], items: Iterable[Any], number: int = AT_ONCE) -> list[Any]:
    """Do something for each of many items, some at a time; the first error is raised."""
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(work, items))


def tally(events: Iterable[Object]) -> dict[str, int]:
    """Count audit events by 'verb resource/subresource code'."""
    return dict(sorted(Counter(_name(event) for event in events).items()))


def _name(event: Object) -> str:
    target = event.get("objectRef", {})
    path = "/".join(part for part in (target.get("resource", "discovery"), target.get("subresource", "")) if part)
    return f"{event['verb']} {path} {event.get('responseStatus', {}).get('code', 0)}"


def when(event: Object) -> float:
    """Return when a request was answered, in seconds since the epoch."""
    return datetime.fromisoformat(event["stageTimestamp"].replace("Z", "+00:00")).timestamp()


def quantiles(values: Iterable[float]) -> dict[str, float]:
    """Return some quantiles, by their names."""
    ordered = sorted(values)
    return {name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) for name, share in QUANTILES.items()}


QUANTILES = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


def record(name: str, **numbers: Any) -> None:
    """Append one line of raw numbers to a file of results, with machine, date and load, and print the short ones."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(machine() | numbers) + "\n")
    print(f"\n{name}:", *(f"  {key}: {value}" for key, value in numbers.items() if not isinstance(value, list)), sep="\n")


def load() -> float:
    """Return the machine's load of the last minute: a number taken beside other work says so."""
    return round(os.getloadavg()[0], 2)


def memory(operator: OperatorProcess) -> dict[str, int]:
    """Return the operator's resident memory now and at its highest, in MB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{operator.pid}/status").read_text().splitlines() if ":" in line)
    return {key: round(int(lines[field].split()[0]) / 1000) for key, field in {"residentMB": "VmRSS", "highestMB": "VmHWM"}.items()}


def cpu_seconds(operator: OperatorProcess) -> float:
    """Return the processor time that the operator has used."""
    fields = Path(f"/proc/{operator.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 2)
