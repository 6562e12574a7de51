"""A release of one of our charts on the test control plane, and the operator under the service account that the release made.

No node runs the release's own pod: it stays Pending, and a process of this machine with its settings and its token stands in for it.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.charts.helm import CHARTS, RELEASE, Object, helm
from tests.cluster.operator_pools import Pools
from tests.cluster.operator_process import QUICK, OperatorProcess
from tests.cluster.plane.plane import ControlPlane


class Release:
    """One release; its name is the chart's."""

    def __init__(self, plane: ControlPlane, namespace: str, chart: str = RELEASE) -> None:
        self.plane, self.namespace, self.chart = plane, namespace, chart

    @classmethod
    def serving(cls, plane: ControlPlane, namespace: str, mode: str) -> "Release":
        """Install the operator's chart in a mode in which it serves a namespace; by mode Namespace it is released there."""
        release = cls(plane, namespace if mode == "Namespace" else plane.namespace("system"))
        listed = [f"--set=scope.namespaces={{{namespace}}}"] if mode == "Namespaces" else []
        release.install(f"--set=scope.mode={mode}", *listed)
        return release

    def helm(self, verb: str, *words: str, check: bool = True) -> str:
        """Run a command of helm on this release."""
        where = (f"--kubeconfig={self.plane.kubeconfig}", f"--namespace={self.namespace}")
        done = helm(verb, self.chart, *words, *where, check=check, cache=self.plane.folder / "discovery")
        return done.stdout + done.stderr

    def install(self, *words: str, chart: Path | None = None) -> str:
        """Install it."""
        return self.helm("install", str(chart or CHARTS / self.chart), *words)

    def upgrade(self, *words: str, chart: Path | None = None) -> str:
        """Upgrade it to these words, from another folder if one is given."""
        return self.helm("upgrade", str(chart or CHARTS / self.chart), *words)

    @property
    def account(self) -> str:
        """The user name of the operator's service account."""
        return f"system:serviceaccount:{self.namespace}:{self.chart}"

    def environment(self) -> dict[str, str]:
        """What the release tells its operator."""
        deployment = json.loads(self.plane.kubectl("-n", self.namespace, "get", "deployment", self.chart, "-o", "json").stdout)
        return {item["name"]: item["value"] for item in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}

    def operator(self, folder: Path, **env: str) -> OperatorProcess:
        """Return an operator that was told what the release says, but to make haste, with a token of the release's service account."""
        told = self.environment()
        return OperatorProcess(
            self.token(folder), told["ASTRA_NAMESPACES"].split(","), folder, **(told | QUICK | {"ASTRA_PORT": "0"} | env)
        )

    def token(self, folder: Path, account: str = "") -> Path:
        """Write a kubeconfig with a token of the operator's service account, or of another of the release's namespace."""
        name = account or self.chart
        token = self.plane.kubectl("-n", self.namespace, "create", "token", name, "--duration=2h").stdout.strip()
        config: Object = yaml.safe_load(self.plane.kubeconfig.read_text())
        config["users"] = [{"name": "account", "user": {"token": token}}]
        for context in config["contexts"]:
            context["context"]["user"] = "account"
        file = folder / f"{self.namespace}-{name}.kubeconfig"
        folder.mkdir(exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(config))
        return file


class ChartTeam(Pools):
    """A team whose operator has the rights of a release, and no others."""

    def grant(self) -> None:
        """Leave it to the release."""

    def parts(self) -> dict[str, list[str]]:
        """Return the names of what pools are made of; what the release itself is made of may lie beside it."""
        found = {kind: [name for name in names if "-sandbox" in name] for kind, names in super().parts().items()}
        return {kind: names for kind, names in found.items() if names}

    def done(self, name: str, kind: str, seconds: float = 90) -> Object:
        """Wait until a run has succeeded."""
        return self.wait(f"{kind} {name} succeeded", lambda: _succeeded(self.run(name, kind)), seconds)

    def can(self, user: str, *words: str) -> bool:
        """Tell if a user may do something here."""
        return self.plane.kubectl("-n", self.namespace, "auth", "can-i", *words, f"--as={user}", check=False).stdout.strip() == "yes"


def _succeeded(run: dict[str, Any]) -> Object | None:
    conditions = {item["type"]: item["status"] for item in run.get("status", {}).get("conditions", [])}
    return run if conditions.get("Succeeded") == "True" else None
