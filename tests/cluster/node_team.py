"""A team on the process node: a namespace, an operator for it, and what a user does with kubectl; for the end-to-end tests."""

import json
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlparse

from tests.cluster.node_process import NodeProcess
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import IDENTITY, rights
from tests.cluster.plane import tools
from tests.cluster.plane.access import wait_for
from tests.patience import patience

Object = dict[str, Any]


class Team:
    """A namespace whose runs an operator process of its own carries out, with the rights that are shipped; used with ``with``."""

    def __init__(self, node: NodeProcess, folder: Path, prefix: str) -> None:
        self.node, self.plane = node, node.plane
        self.namespace = node.namespace(prefix)
        self.operator = self.employ(folder)

    def employ(self, folder: Path) -> OperatorProcess:
        """Give the operator its rights here, and return it."""
        self.plane.apply(*rights(self.namespace))
        return OperatorProcess(self.plane.user_kubeconfig(IDENTITY), [self.namespace], folder, ASTRA_WORKERS="2")

    def __enter__(self) -> Self:
        self.operator.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the operator and remove every run, with all that it owns."""
        self.operator.close()
        self.kubectl("delete", "astra", "--all", "--wait=false")
        wait_for("no pod is left", lambda: not self.objects("pods"), 90)

    def kubectl(self, *words: str, **options: Any) -> str:
        """Run kubectl in the namespace; return what it prints."""
        return self.plane.kubectl("-n", self.namespace, *words, **options).stdout

    def apply(self, manifest: str) -> str:
        """Apply manifests as a user does."""
        return self.kubectl("apply", "-f", "-", stdin=manifest)

    def succeeded(self, *runs: str, seconds: float = 120) -> None:
        """Wait until runs (kind/name) have succeeded; fail at once when one of them is stalled."""

        def all_have() -> bool:
            found = [self.run(name) for name in runs]
            stalled = {run["metadata"]["name"]: condition(run, "Stalled") for run in found if condition(run, "Stalled")["status"] == "True"}
            assert not stalled, stalled
            return all(condition(run, "Succeeded")["status"] == "True" for run in found)

        self.wait(f"{', '.join(runs)} succeeded", all_have, seconds)

    def run(self, name: str) -> Object:
        """Return a run given as kind/name."""
        return json.loads(self.kubectl("get", name, "-o", "json"))

    def objects(self, kinds: str, *selectors: str) -> list[Object]:
        """Return all objects of some kinds."""
        return json.loads(self.kubectl("get", kinds, "-o", "json", *selectors))["items"]

    def pods(self, stage: str, phase: str = "Running") -> list[Object]:
        """Return the pods whose name begins so, in that phase and not being deleted, by name."""
        found = [pod for pod in self.objects("pods") if pod["metadata"]["name"].startswith(stage)]
        return [pod for pod in found if pod["status"]["phase"] == phase and "deletionTimestamp" not in pod["metadata"]]

    def wait(self, what: str, probe: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait for a condition; when it does not come true, show where everything stands."""
        try:
            return wait_for(what, probe, seconds, every=0.5)
        except AssertionError as error:
            stands = self.kubectl("get", "astra,pytorchjobs,jobs,pods", "-o", "wide")
            raise AssertionError(f"{error}\n{stands}\n{self.operator.log()[-3000:]}") from None

    def step(self, stage: str) -> int:
        """Return how far the first pod of a stage is, 0 while there is none."""
        for pod in self.pods(stage)[:1]:
            with suppress(FileNotFoundError, json.JSONDecodeError):
                return json.loads((self.node.root(pod) / "progress.json").read_text())["step"]
        return 0

    def manifest(self, name: str, stage: str) -> Object:
        """Return the manifest of the artifact that a run's stage has committed."""
        folder = Path(unquote(urlparse(self.run(name)["status"]["artifacts"][stage]["uri"]).path))
        return json.loads((folder / "manifest.json").read_text())


def condition(run: Object, kind: str) -> Object:
    """Return a condition of a run, with empty values while it is not there."""
    nothing = {"status": "", "reason": "", "message": ""}
    return next((item for item in run.get("status", {}).get("conditions", []) if item["type"] == kind), nothing)


class Watch:
    """Records what a kubectl watch of a namespace's objects tells, in the order in which it happened."""

    def __init__(self, team: Team, resource: str, *selectors: str) -> None:
        self.events: list[tuple[str, Object]] = []
        words = ["-n", team.namespace, "get", resource, "--watch", "--output-watch-events", "-o", "json", *selectors]
        command = [str(tools.program("kubectl")), f"--kubeconfig={team.plane.kubeconfig}", *words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        for line in self._process.stdout:  # one event a line
            event = json.loads(line)
            self.events.append((event["type"], event["object"]))

    def stop(self) -> None:
        """End the watch; ``events`` is complete then."""
        self._process.terminate()
        self._process.wait(timeout=patience())
        self._thread.join(timeout=patience())
        self._process.stdout.close()
