"""A team whose tools run in real pool pods on the process node, and what its pods were seen doing."""

import http.client
import json
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from astra_operator.clusters.local_files import read_json
from astra_operator.desired.naming import LABEL_POOL
from tests.cluster.node_status import listening
from tests.cluster.node_process import NodeProcess
from tests.cluster.node_team import Team

Object = dict[str, Any]
PORT = 8080
EVERY = 0.25
ENVS = """
apiVersion: astra.dev/v1alpha1
kind: EnvSynthesis
metadata: {name: envs}
spec:
  author: {procedural: {}}
  seeds: {procedural: {questions: QUESTIONS, worlds: {entityTypes: 2, rows: 3, maxHops: 1, parallel: 0}}}
  heldOut: 0.4
  tool: {seconds: 20}
  sandbox: {replicas: 2}
"""


class PoolTeam(Team):
    """A team, with the operator running, whose settings say ``isolation: gVisor`` unless told otherwise."""

    def __init__(self, node: NodeProcess, folder: Path, **settings: str) -> None:
        super().__init__(node, folder, "pool")
        told = {"isolation": "gVisor", "networkPolicy": "Unenforced"} | settings
        self.kubectl("patch", "configmap", "astra-team", "--type=merge", "-p", json.dumps({"data": told}))

    def pool(self, stage: str = "synthesise") -> list[Object]:
        """Return the pods of the stage's pool that are not on their way out, by name."""
        found = self.objects("pods", "-l", f"{LABEL_POOL}=envs-envs-1-{stage}-sandbox")
        return sorted((pod for pod in found if "deletionTimestamp" not in pod["metadata"]), key=lambda pod: pod["metadata"]["name"])

    def ready(self, stage: str = "synthesise") -> set[str]:
        """Return the addresses that the pool's name stands for."""
        slices = self.objects("endpointslices", "-l", f"kubernetes.io/service-name=envs-envs-1-{stage}-sandbox")
        points = [point for item in slices for point in item.get("endpoints") or ()]
        return {listening(point["addresses"][0]) for point in points if point["conditions"]["ready"]}

    def digest(self) -> str:
        """Return the digest of what was made."""
        return str(self.run("envsynthesis/envs")["status"]["artifact"]["digest"])

    def left(self) -> list[str]:
        """Name what is there of pools."""
        kinds = "deployments,replicasets,services,endpointslices,networkpolicies,poddisruptionbudgets,secrets,pods"
        found = [f"{item['kind']} {item['metadata']['name']}" for item in self.objects(kinds)]
        return [name for name in found if "-sandbox" in name]


def get(address: str, path: str) -> tuple[int, str]:
    """Ask a pool's pod; status 0 when it does not answer."""
    connection = http.client.HTTPConnection(address, PORT, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def address_of(pod: Object) -> str:
    return listening(pod["status"]["podIP"])


class Served:
    """What the servers in a node's pool pods count, read again and again until they are gone; used with ``with``.

    ``calls`` is by pod and container: the outcomes that were counted last.
    """

    def __init__(self, node: NodeProcess, team: Team) -> None:
        self._folder, self._over = node.folder / "pods", threading.Event()
        self._mine = team.namespace
        self.calls: dict[tuple[str, str], Counter[str]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def of(self, pod: str) -> int:
        """Return how many calls a pod has answered, in all its containers."""
        return sum(sum(outcomes.values()) for (name, _), outcomes in list(self.calls.items()) if name == pod)

    def outcomes(self) -> Counter[str]:
        """Return how often there was each outcome."""
        return sum(self.calls.values(), Counter())

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            for path in self._folder.glob("*/room.json"):
                with suppress(FileNotFoundError):
                    self._look(read_json(path.with_name("record.json")), (path.with_name("etc") / "resolv.conf").read_text())

    def _look(self, record: Object, _: str) -> None:
        if "-sandbox-" not in record["name"]:
            return
        status, text = get(record["address"], "/metrics")
        if status == 200:
            key = record["name"], record["startTime"]
            self.calls[key] = Counter(
                {
                    sample.labels["outcome"]: int(sample.value)
                    for family in text_string_to_metric_families(text)
                    for sample in family.samples
                    if sample.name == "astra_sandbox_calls_total"
                }
            )
