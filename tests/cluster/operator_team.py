"""A team's namespace with the rights that the chart gives there, and the user that is the operator there. No node: pods stay Pending."""

import json
from pathlib import Path
from typing import Any

from tests.charts.helm import RELEASE, SYSTEM, of_kind, render
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ControlPlane
from tests.reconcile.harness import manifest

Object = dict[str, Any]
WRITES = ("create", "update", "patch", "delete", "deletecollection")
UNCOUNTED = ("leases", "events")
IDENTITY = f"system:serviceaccount:{SYSTEM}:{RELEASE}"
ROLE = f"{SYSTEM}-{RELEASE}"


def rights(namespace: str) -> list[Object]:
    """Return the Role of the operator in a namespace that it serves, and its binding to ``IDENTITY``."""
    items = of_kind(render(RELEASE, "--set", "scope.mode=Namespaces,scope.namespaces={team}"), "Role", "RoleBinding")
    for item in items:
        item["metadata"]["namespace"] = namespace
    return items


def cluster_rights() -> list[Object]:
    """Return the right of ``IDENTITY`` to see RuntimeClasses."""
    return render(RELEASE, "--show-only", "templates/rights-runtimes.yaml")


def granted() -> set[tuple[str, str]]:
    """Return what the Role allows: resource (with its subresource) and verb."""
    (role,) = of_kind(rights("any"), "Role")
    return {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


class OperatorTeam:
    """A fresh namespace in which operators have exactly the rights that are shipped."""

    def __init__(self, plane: ControlPlane, prefix: str = "team") -> None:
        self.plane = plane
        self.namespace = plane.namespace(prefix)
        self.grant()

    def grant(self) -> None:
        """Give the operator its rights here."""
        self.plane.apply(*rights(self.namespace))

    def kubectl(self, *words: str, **options: Any) -> str:
        """Run kubectl in the namespace as administrator."""
        return self.plane.kubectl("-n", self.namespace, *words, **options).stdout

    def identity(self, server: str | None = None) -> Path:
        """Return the kubeconfig of the operator's service account."""
        return self.plane.user_kubeconfig(IDENTITY, server)

    def other_identity(self, user: str) -> Path:
        """Return the kubeconfig of another user with the same rights, to be told from the first in the audit log."""
        subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ROLE}
        metadata = {"name": user, "namespace": self.namespace}
        binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata}
        self.plane.apply(binding | {"roleRef": role, "subjects": [subject]})
        return self.plane.user_kubeconfig(user)

    def put(self, kind: str = "ToolCorpus", name: str = "tools", **changes: Any) -> None:
        """Apply the smallest run of a kind."""
        run = manifest(kind, name, **changes)  # type: ignore[arg-type]
        run["metadata"]["namespace"] = self.namespace
        self.plane.apply(run)

    def run(self, name: str = "tools", kind: str = "toolcorpus") -> Object:
        """Return a run."""
        return json.loads(self.kubectl("get", kind, name, "-o", "json"))

    def objects(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""
        return json.loads(self.kubectl("get", kind, "-o", "json"))["items"]

    def jobs(self) -> list[str]:
        """Return the names of all Jobs."""
        return sorted(item["metadata"]["name"] for item in self.objects("jobs"))

    def wait_for_job(self, name: str, seconds: float = 30) -> None:
        """Wait for a Job."""
        self.wait(f"job {name}", lambda: name in self.jobs(), seconds)

    def settled(self, name: str = "tools", kind: str = "toolcorpus", seconds: float = 30) -> Object:
        """Wait until a run's status speaks of its newest spec, and return the run."""

        def look() -> Object | None:
            run = self.run(name, kind)
            return run if run.get("status", {}).get("observedGeneration") == run["metadata"]["generation"] else None

        return wait_for(f"status of {kind} {name}", look, seconds, every=0.2)

    def wait(self, what: str, probe: Any, seconds: float = 30) -> Any:
        """Wait for a condition that takes a call to see."""
        return wait_for(what, probe, seconds, every=0.2)

    def holder(self) -> str:
        """Return who holds the Lease; empty when nobody does."""
        return self.kubectl("get", "lease", "astra-operator", "--ignore-not-found", "-o", "jsonpath={.spec.holderIdentity}").strip()

    def calls(self, user: str = IDENTITY, since: int = 0) -> list[Object]:
        """Return what a user asked of the API server in this namespace, from the audit log."""
        return [
            event
            for event in self.plane.audit(since)
            if event["user"].get("username") == user and event.get("objectRef", {}).get("namespace") == self.namespace
        ]

    def writes(self, user: str = IDENTITY, since: int = 0) -> list[Object]:
        """Return the writes of a user that were let through, those to the Lease and events left out."""
        return [
            event
            for event in self.calls(user, since)
            if event["verb"] in WRITES and event["objectRef"]["resource"] not in UNCOUNTED and event["responseStatus"]["code"] < 300
        ]
