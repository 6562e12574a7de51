"""A team whose tools run in real pool pods on the process node, and what those pods say and were seen doing."""

import contextlib
import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from prometheus_client.parser import text_string_to_metric_families

from astra_operator.clusters.local_files import read_json
from astra_operator.desired.naming import LABEL_POOL
from tests.cluster.node_process import NodeProcess
from tests.cluster.node_status import listening
from tests.cluster.node_team import Team
from tests.patience import patience

Object = dict[str, Any]
needs_rooms = pytest.mark.skipif(
    os.geteuid() != 0 or os.uname().machine != "x86_64",
    reason="pods of a pool run in mount namespaces and in gVisor: root on Linux, x86_64",
)
PORT = 8080
EVERY = 0.1
ENVS = """
apiVersion: astra.dev/v1alpha1
kind: EnvSynthesis
metadata: {name: NAME}
spec:
  author: {procedural: {}}
  seeds: {procedural: {questions: QUESTIONS, worlds: {entityTypes: 2, rows: 3, maxHops: 1, parallel: 0}}}
  heldOut: 0.4
  tool: {seconds: 20}
  sandbox: {replicas: 2}
"""
# Seconds of CPU: gVisor without help of the processor takes several times as long for a call.


class PoolTeam(Team):
    """A team, with the operator running, whose settings say ``isolation: gVisor`` unless told otherwise."""

    def __init__(self, node: NodeProcess, folder: Path, **settings: str) -> None:
        super().__init__(node, folder, "pool")
        self.settings(**{"isolation": "gVisor", "networkPolicy": "Unenforced"} | settings)

    def settings(self, **data: str) -> None:
        """Set some of the team's settings; runs that have begun keep theirs."""
        self.kubectl("patch", "configmap", "astra-team", "--type=merge", "-p", json.dumps({"data": data}))

    def synthesise(self, name: str, questions: int) -> None:
        """Start a run."""
        self.apply(ENVS.replace("NAME", name).replace("QUESTIONS", str(questions)))

    def object(self, kind: str, name: str) -> Object:
        """Return an object."""
        return json.loads(self.kubectl("get", kind, name, "-o", "json"))

    def pool(self, run: str, stage: str = "synthesise") -> list[Object]:
        """Return the pods of a stage's pool that are not on their way out, by name."""
        found = self.objects("pods", "-l", f"{LABEL_POOL}={run}-envs-1-{stage}-sandbox")
        return sorted((pod for pod in found if "deletionTimestamp" not in pod["metadata"]), key=name_of)

    def both_ready(self, run: str, but: str = "", restarted: str = "") -> list[Object]:
        """Wait until both pods of the first stage's pool are behind its name, one not and one with another container; return them."""

        def look() -> list[Object] | None:
            pods, ready = self.pool(run), self.addresses(run)
            if len(pods) != 2 or but in map(name_of, pods) or ready != {pod["status"].get("podIP") for pod in pods}:
                return None
            old = [pod for pod in pods if name_of(pod) == restarted and not pod["status"]["containerStatuses"][0]["restartCount"]]
            return None if old else pods

        return self.wait(f"both pods of {run}'s pool are ready", look, 90)

    def addresses(self, run: str) -> set[str]:
        """Return what the name of the first stage's pool stands for."""
        slices = self.objects("endpointslices", "-l", f"kubernetes.io/service-name={run}-envs-1-synthesise-sandbox")
        points = [point for item in slices for point in item.get("endpoints") or ()]
        return {point["addresses"][0] for point in points if point["conditions"]["ready"]}

    def digest(self, run: str) -> str:
        """Wait for a run's success and return the digest of what it has made."""
        self.succeeded(f"envsynthesis/{run}", seconds=180)
        return str(self.run(f"envsynthesis/{run}")["status"]["artifact"]["digest"])

    def left(self) -> list[str]:
        """Name what is there of pools."""
        kinds = "deployments,replicasets,services,endpointslices,networkpolicies,poddisruptionbudgets,secrets,pods"
        found = [f"{item['kind']} {item['metadata']['name']}" for item in self.objects(kinds)]
        return [name for name in found if "-sandbox" in name]

    @contextlib.contextmanager
    def job_held(self, run: str) -> Iterator[None]:
        """Hold a run's job still, as a busy machine would."""
        (job,) = self.pods(f"{run}-envs-1-synthesise-0")
        self.node.signal(job, signal.SIGSTOP)
        try:
            yield
        finally:
            self.node.signal(job, signal.SIGCONT)

    def ask(self, pod: Object, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask a pool's pod with its key; status 0 when it does not answer."""
        key = (self.node.root(pod) / "astra" / "sandbox" / "key").read_text()
        status, text = ask(listening(pod["status"]["podIP"]), method, path, key, body)
        return status, json.loads(text) if text.startswith("{") else text


def name_of(item: Object) -> str:
    """Return an object's name."""
    return str(item["metadata"]["name"])


def ask(address: str, method: str, path: str, key: str = "", body: Any = None) -> tuple[int, str]:
    """Ask a server; status 0 when it does not answer."""
    connection = http.client.HTTPConnection(address, PORT, timeout=patience())
    try:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def processes_of(pods: list[Object]) -> list[str]:
    """Return the command lines of processes that belong to pods, gVisor's own included."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line, told = ((entry / name).read_bytes().replace(b"\0", b" ").decode(errors="replace") for name in ("cmdline", "environ"))
            found += [line for pod in pods if pod["metadata"]["uid"] in line + told]
    return found


class Served:
    """What the servers in a node's pool pods count, read again and again until they are gone; used with ``with``.

    ``calls`` is by pod and start of its container: how often there was each outcome.
    """

    def __init__(self, node: NodeProcess) -> None:
        self.calls: dict[tuple[str, str], Counter[str]] = {}
        self._folder, self._over = node.folder / "pods", threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def by(self, pod: str, since: str = "") -> int:
        """Return how many calls pods of that name, or beginning of a name, have answered; ``since`` leaves out older containers."""
        return sum(outcomes.total() for (name, start), outcomes in list(self.calls.items()) if name.startswith(pod) and start > since)

    def outcomes(self) -> set[str]:
        """Return every outcome that there was."""
        return {outcome for counted in list(self.calls.values()) for outcome in counted}

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            for path in self._folder.glob("*/room.json"):
                with contextlib.suppress(FileNotFoundError):
                    self._look(read_json(path.with_name("record.json")))

    def _look(self, record: Object) -> None:
        if "-sandbox-" not in record["name"]:
            return
        status, text = ask(record["address"], "GET", "/metrics")
        if status == 200:
            samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
            counted = {sample.labels["outcome"]: int(sample.value) for sample in samples if sample.name == "astra_sandbox_calls_total"}
            self.calls[record["name"], record["startTime"]] = Counter(counted)
