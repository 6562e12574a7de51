"""A team whose tools run in sandbox pools, as tests hold it: its settings, its pools' objects, and nodes that are played."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from astra_jobs.api.request import StageRequest
from astra_jobs.api.result import JobResult
from tests.cluster.faults.player import PodPlayer
from tests.cluster.operator_team import OperatorTeam
from tests.cluster.plane.plane import ControlPlane
from tests.reconcile.harness import good

Object = dict[str, Any]
PARTS = ("deployments", "services", "networkpolicies", "poddisruptionbudgets", "secrets")


class Pools(OperatorTeam):
    """A team whose tools run in pools; ``playing`` brings nodes that run pool pods, and end job pods once ``finishing`` says so."""

    def __init__(self, plane: ControlPlane, **settings: str) -> None:
        super().__init__(plane, "pools")
        self.settings(**{"isolation": "gVisor"} | settings)
        self.finishing = False
        self.answering = True

    def settings(self, **data: str) -> None:
        """Set some of the team's settings."""
        self.kubectl("patch", "configmap", "astra-team", "--type=merge", "-p", json.dumps({"data": data}))

    def parts(self) -> dict[str, list[str]]:
        """Return the names of what pools are made of, by kind; kinds of which there is none are left out."""
        found = {kind: [item["metadata"]["name"] for item in self.objects(kind)] for kind in PARTS}
        return {kind: names for kind, names in found.items() if names}

    def condition(self, kind: str, name: str = "envs", of: str = "envsynthesis") -> tuple[str, str, str]:
        """Return status, reason and message of a run's condition."""
        found = {item["type"]: item for item in self.run(name, of).get("status", {}).get("conditions", [])}.get(kind, {})
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def until(self, kind: str, status: str, reason: str, seconds: float = 60) -> str:
        """Wait for a condition and return its message."""
        self.wait(f"{kind} {status} {reason}", lambda: self.condition(kind)[:2] == (status, reason), seconds)
        return self.condition(kind)[2]

    @contextlib.contextmanager
    def playing(self) -> Iterator[None]:
        with PodPlayer(self.plane, self._script):
            yield

    def _script(self, pod: Object) -> Callable[[StageRequest, int], tuple[JobResult | None, int]] | None:
        mine = pod["metadata"]["namespace"] == self.namespace and "astra.dev/pool" not in pod["metadata"]["labels"]
        return (lambda request, shard: (good(request, shard), 0)) if mine and self.finishing else None
