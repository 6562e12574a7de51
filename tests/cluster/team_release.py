"""A team's release of the chart astra-team on the test control plane, and real calls under the service accounts of its namespace."""

import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from astra_operator.clusters.kubernetes_calls import JSON, Call, Calls, Verb, connect
from tests.charts.helm import CHARTS, RELEASE, Object
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import IMAGE, ControlPlane
from tests.cluster.releases import Release
from tests.reconcile.harness import manifest

CHART = CHARTS / "astra-team"
OPERATOR = RELEASE
MERGE = "application/merge-patch+json"


class TeamRelease:
    """One team, with an operator of its own: in the team's namespace (mode Namespace) or in another that serves no other (Namespaces)."""

    def __init__(self, plane: ControlPlane, folder: Path, name: str, *words: str, mode: str = "Namespaces") -> None:
        self.plane, self.folder = plane, folder
        self.namespace = f"{name}-{uuid.uuid4().hex[:6]}"
        self.home = self.namespace if mode == "Namespace" else f"{self.namespace}-system"
        self.store = folder / self.namespace / "store"
        self.store.mkdir(parents=True)
        self.words = (
            f"--set=settings.storeUrl=file://{self.store},settings.image={IMAGE}",
            f"--set=operator.namespace={self.home}",
            *words,
        )
        self.release, self.operators = Release(plane, self.namespace, "astra-team"), Release(plane, self.home)
        self.release.install("--create-namespace", "--take-ownership", *self.words)
        served = [f"--set=scope.namespaces={{{self.namespace}}}"] if mode == "Namespaces" else []
        less = "rights.runtimeClasses=false,rights.people=false"
        # Never into the team's own: Helm 4 would apply the namespace anew, without the labels that the team's release has given it.
        made = ["--create-namespace"] if mode == "Namespaces" else []
        self.operators.install(*made, f"--set=scope.mode={mode},{less}", *served)

    def leave(self) -> None:
        """Begin to remove everything."""
        self.plane.kubectl("delete", "namespace", "--wait=false", *{self.namespace, self.home})

    def pods(self, *words: str) -> list[Object]:
        """Return the pods of runs."""
        return self.objects("pods", "-l", "astra.dev/run-uid", *words)

    def kubectl(self, *words: str, **options: Any) -> str:
        """Run kubectl in the namespace as administrator."""
        return self.plane.kubectl("-n", self.namespace, *words, **options).stdout

    def objects(self, kind: str, *words: str) -> list[Object]:
        """Return all objects of a kind."""
        return json.loads(self.kubectl("get", kind, "-o", "json", *words))["items"]

    def put(self, kind: str = "ToolCorpus", name: str = "tools", check: bool = True, **changes: Any) -> str:
        """Apply the smallest run of a kind; return what is said."""
        run = manifest(kind, name, **changes)  # type: ignore[arg-type]
        words = ("-n", self.namespace, "apply", "--server-side", "-f", "-")
        done = self.plane.kubectl(*words, stdin=json.dumps(run), check=check)
        return done.stdout + done.stderr

    def condition(self, kind: str, name: str = "tools", of: str = "toolcorpus") -> tuple[str, str, str]:
        """Return status, reason and message of a run's condition."""
        run = json.loads(self.kubectl("get", of, name, "-o", "json"))
        found = {item["type"]: item for item in run.get("status", {}).get("conditions", [])}.get(kind, {})
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def wait(self, what: str, probe: Any, seconds: float = 60) -> Any:
        """Wait for a condition that takes a call to see."""
        return wait_for(what, probe, seconds, every=0.3)

    def token(self, account: str) -> Path:
        """Write a kubeconfig with a real token of a service account of the team, its operator's among them."""
        return (self.operators if account == OPERATOR else self.release).token(self.folder / self.namespace, account)

    def operator(self) -> OperatorProcess:
        """Return the team's operator, under its service account and as its release tells it."""
        return self.operators.operator(self.folder / self.namespace)


class Try(NamedTuple):
    """One thing to try in a namespace; ``dry`` is how somebody who may do it does it without doing it."""

    name: str
    call: Call

    def by(self, caller: Calls, dry: bool = False) -> int:
        """Make the call; return the status code."""
        call = self.call
        if dry and call.verb not in ("get", "list"):
            call = Call(call.verb, call.resource, call.path, call.query | {"dryRun": "All"}, call.body, call.content_type)
        return caller.send(call).code


def caller(kubeconfig: Path) -> Calls:
    """Return somebody who makes calls with the credentials of a kubeconfig."""
    return Calls(connect(kubeconfig, 1), lambda verb, resource, code, seconds: None)


def reads(admin: Calls, namespace: str) -> list[Try]:
    """Return a list of everything that the API server lists in a namespace, of all groups and versions."""
    found = [Try(f"list {plural}", Call("list", plural, f"{root}/namespaces/{namespace}/{plural}")) for root, plural in _listable(admin)]
    assert len(found) > 30, "discovery tells of almost nothing"
    return found


def _listable(admin: Calls) -> Iterable[tuple[str, str]]:
    groups = [entry["preferredVersion"]["groupVersion"] for entry in admin.send(Call("get", "discovery", "/apis")).body["groups"]]
    for root in ["/api/v1", *(f"/apis/{version}" for version in groups)]:
        for entry in admin.send(Call("get", "discovery", root)).body.get("resources", []):
            if entry["namespaced"] and "list" in entry["verbs"]:
                yield root, entry["name"]


def writes(namespace: str, pod: str, job: str) -> list[Try]:
    """Return ways to change, start and look into what is in a namespace that has a run ``tools``, a Secret ``key``, a pod and a Job."""
    core, astra, batch = (f"{root}/namespaces/{namespace}" for root in ("/api/v1", "/apis/astra.dev/v1alpha1", "/apis/batch/v1"))
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    safe = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    strict = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [{"name": "box", "image": "none", "securityContext": safe}], "restartPolicy": "Never", "securityContext": strict}
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "more"}}
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}

    def call(verb: Verb, path: str, body: Any = None, kind: str = JSON) -> Try:
        return Try(f"{verb} {path}", Call(verb, "any", path, {}, body, kind))

    def made(kind: str, version: str = "v1", **fields: Any) -> Object:
        return {"apiVersion": version, "kind": kind, "metadata": {"name": "made"}, **fields}

    return [
        call("get", f"{core}/secrets/key"),
        call("get", f"{core}/configmaps/astra-team"),
        call("get", f"{astra}/toolcorpora/tools"),
        call("get", f"{core}/pods/{pod}"),
        call("create", f"{core}/pods", made("Pod", spec=spec)),
        call("create", f"{batch}/jobs", made("Job", "batch/v1", spec={"template": {"spec": spec}})),
        call("create", f"{astra}/toolcorpora", manifest("ToolCorpus", "made")),
        call("create", f"{core}/configmaps", made("ConfigMap")),
        call("create", f"{core}/secrets", made("Secret")),
        call("create", f"{rbac}/roles", role | {"kind": "Role", "rules": [rule]}),
        call("create", f"{core}/serviceaccounts/default/token", token),
        call("create", f"{core}/pods/{pod}/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}),
        call("patch", f"{astra}/toolcorpora/tools", {"spec": {"seed": 7}}, MERGE),
        call("patch", f"{astra}/toolcorpora/tools/status", {"status": {"stage": "changed"}}, MERGE),
        call("patch", f"{core}/configmaps/astra-team", {"data": {"storeUrl": "s3://mine"}}, MERGE),
        call("patch", f"{core}/secrets/key", {"data": {}}, MERGE),
        call("patch", f"{batch}/jobs/{job}", {"spec": {"suspend": True}}, MERGE),
        call("delete", f"{astra}/toolcorpora/tools"),
        call("delete", f"{astra}/toolcorpora"),
        call("delete", f"{core}/pods/{pod}"),
        call("delete", f"{batch}/jobs/{job}"),
        call("delete", f"{core}/configmaps/astra-team"),
    ]
