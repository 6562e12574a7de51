"""The tests' side of the fault proxy: starts it, switches faults, counts requests."""

import json
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.cluster.faults.proxy import Faults
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ROOT, ControlPlane
from tests.cluster.plane.supervise import Supervisor
from tests.patience import patience

Object = dict[str, Any]


class Gate:
    """One port of the proxy, with faults and counts of its own."""

    def __init__(self, plane: ControlPlane, user: str, control: int, number: int, port: int) -> None:
        self._plane, self._user = plane, user
        self._control = f"http://127.0.0.1:{control}/{number}"
        self.server = f"https://127.0.0.1:{port}"

    def kubeconfig(self) -> Path:
        """Return a kubeconfig that leads here."""
        return self._plane.user_kubeconfig(self._user, self.server)

    def inject(self, faults: Faults) -> None:
        """Replace the faults; `Faults()` heals."""
        request = urllib.request.Request(self._control, json.dumps(asdict(faults)).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=patience()).close()

    def injected(self) -> dict[str, int]:
        """How often each fault struck, but for those that never did."""
        return {fault: count for fault, count in self._seen()["injected"].items() if count}

    def requests(self) -> list[Object]:
        """Every request so far, those that got no answer included (code 0)."""
        return self._seen()["requests"]

    def watches(self) -> int:
        """How many watches are open."""
        return int(self._seen()["watches"])

    def _seen(self) -> Object:
        with urllib.request.urlopen(self._control, timeout=patience()) as answer:
            return json.load(answer)


class Gates:
    """A proxy process with some gates, before the API server of a control plane. Ends with the session."""

    def __init__(self, plane: ControlPlane, user: str, folder: Path, count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = plane.authority
        authority.server("proxy").write(folder / "server.crt", folder / "server.key")
        authority.client(user).write(folder / "client.crt", folder / "client.key")
        (folder / "ca.crt").write_bytes(authority.pair.certificate)
        self._supervisor = Supervisor(folder)
        command = [sys.executable, "-m", "tests.cluster.faults.proxy", str(folder), plane.server, str(count)]
        program = self._supervisor.start("proxy", command, cwd=ROOT)
        line = wait_for("the proxy's ports", lambda: program.require() or program.log.read_text().partition("\n")[0], 30)
        control, *ports = json.loads(line)
        self.gates = [Gate(plane, user, control, number, port) for number, port in enumerate(ports)]

    def stop(self) -> None:
        """End the process."""
        self._supervisor.stop()


def busiest(times: Iterable[tuple[str, float]], seconds: float = 60.0) -> tuple[int, str]:
    """Return the most that anything was asked for within a window of time, and what it was."""
    found: dict[str, list[float]] = defaultdict(list)
    for name, moment in times:
        found[name].append(moment)
    worst = (0, "")
    for name, moments in found.items():
        moments.sort()
        first = 0
        for last, moment in enumerate(moments):
            while moment - moments[first] > seconds:
                first += 1
            worst = max(worst, (last - first + 1, name))
    return worst


def of_objects(requests: Iterable[Object]) -> Iterator[tuple[str, float]]:
    """Yield what was asked of single objects, and when: dry runs and refused tries too. Leases have a pace of their own."""
    for entry in requests:
        if entry["name"] and entry["resource"] != "leases":
            yield f"{entry['resource']}/{entry['name']}", entry["time"]


def of_the_rest(requests: Iterable[Object]) -> Iterator[tuple[str, float]]:
    """Yield all other requests: of Leases, lists and watches of collections, discovery."""
    for entry in requests:
        if entry["resource"] == "leases" and not entry["watch"]:
            yield "the Lease", entry["time"]
        elif not entry["name"]:
            yield f"{'watch' if entry['watch'] else 'list'} of {entry['resource'] or entry['path']}", entry["time"]
