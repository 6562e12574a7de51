"""A Kubernetes control plane of one test session: etcd, API server, controller manager, scheduler, our CRDs, the training operator.

It runs on free loopback ports and in a private folder, needs no root, and ends with the process that started it (see `supervise`).
There is no node: pods stay Pending unless a test brings a kubelet (`addons.start_kwok`, or the process node).
"""

import itertools
import json
import re
import shutil
import ssl
import subprocess
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from tests.cluster.plane import addons, tools
from tests.cluster.plane.access import free_ports, listens, read_audit, wait_for
from tests.cluster.plane.certs import Authority, write_kubeconfig
from tests.cluster.plane.components import Components, Ports
from tests.cluster.plane.supervise import ProcessEnded, Program, Supervisor
from tests.patience import patience

ROOT = Path(__file__).parents[3]
IMAGE = "astra-jobs:test"
TRIES = 3
FOREIGN = "ASTRA_TEST_KUBECONFIG names the cluster: this test needs the harness's own"


class ControlPlane:
    """What tests see of a cluster: the harness's own, or an existing one that ASTRA_TEST_KUBECONFIG names."""

    def __init__(self, folder: Path, supervisor: Supervisor, kubeconfig: Path, components: Components | None = None) -> None:
        self.folder = folder
        self.kubeconfig = kubeconfig
        self.supervisor = supervisor  # starts programs that end with the session; their logs lie under `folder/logs`
        self._components = components
        self._numbers = itertools.count(1)
        self._run = uuid.uuid4().hex[:6]
        self._stores = folder / "stores"
        self._namespaces: list[str] = []
        with self.api() as api:
            self.server = str(api.configuration.host)

    @property
    def own(self) -> bool:
        """Whether the harness started it."""
        return self._components is not None

    def require_own(self) -> None:
        """Skip the test on an existing cluster."""
        if not self.own:
            pytest.skip(FOREIGN)

    @property
    def authority(self) -> Authority:
        """Signs certificates that the API server accepts; skips the test on an existing cluster."""
        self.require_own()
        assert self._components
        return self._components.authority

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl as cluster administrator; with `check`, an AssertionError shows its words when it fails."""
        command = [str(tools.program("kubectl")), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.folder / 'discovery'}", *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=patience(600))
        assert not check or done.returncode == 0, (
            f"kubectl {' '.join(args)} ended with {done.returncode}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
        )
        return done

    def apply(self, *objects: dict[str, Any]) -> None:
        """Server-side apply of objects given as dicts, under a field manager of the harness's own: fields set by kubectl stay."""
        documents = "\n---\n".join(json.dumps(each) for each in objects)  # no List: that would be validated by kubectl, not the server
        self.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=harness", "-f", "-", stdin=documents)

    def api(self, kubeconfig: Path | None = None) -> client.ApiClient:
        """A new client, as administrator or as the user of another kubeconfig; the caller closes it."""
        return config.new_client_from_config(str(kubeconfig or self.kubeconfig))

    def namespace(self, prefix: str = "t", labels: dict[str, str] | None = None) -> str:
        """Make a namespace of its own with the team's settings; its store is an empty folder."""
        name = f"{prefix}-{self._run}-{next(self._numbers)}"
        self._namespaces.append(name)
        store = self._stores / name
        store.mkdir(parents=True)
        settings = {"storeUrl": f"file://{store}", "image": IMAGE}
        self.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "astra-team", "namespace": name}, "data": settings},
        )
        # The Job controller cannot make a pod before its service account is there, and backs off when it has tried.
        self.wait_for(
            f"the default service account of {name}", "-n", name, "get", "serviceaccount", "default", "--ignore-not-found", "-o", "name"
        )
        return name

    def store(self, namespace: str) -> Path:
        """The folder that is the store of a namespace made here."""
        return self._stores / namespace

    def wait_for(self, what: str, *query: str, seconds: float = 60) -> str:
        """Repeat a kubectl query until it prints something, and return that."""
        return wait_for(what, lambda: self.kubectl(*query).stdout.strip(), seconds, every=0.1)

    def wait_for_crds(self) -> None:
        """Wait until every CRD is served (`kubectl wait` fails on one that has no conditions yet)."""

        def served() -> bool:
            listed = json.loads(self.kubectl("get", "--raw", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions").stdout)
            states = [{each["type"]: each["status"] for each in item["status"].get("conditions") or ()} for item in listed["items"]]
            return all(state.get("Established") == "True" for state in states)

        wait_for("every CRD is established", served, 60)

    def audit_mark(self) -> int:
        """Where the audit log ends now."""
        return self._audit_log().stat().st_size

    def audit(self, since: int = 0) -> list[dict[str, Any]]:
        """Audit events from a mark on: verb, user, userAgent, objectRef, responseStatus.code, stageTimestamp and so on, no bodies."""
        return read_audit(self._audit_log(), since)

    def _audit_log(self) -> Path:
        self.require_own()
        return self.folder / "audit.log"

    def user_kubeconfig(self, name: str, server: str | None = None, groups: Sequence[str] = ()) -> Path:
        """Kubeconfig of another user, by client certificate; `server` may be the URL of a proxy that has a certificate of `authority`.

        `system:serviceaccount:NAMESPACE:NAME` gives the rights of that service account.
        """
        pair = self.authority.client(name, groups)
        file = re.sub(r"[^\w.-]+", "_", name) + f"-{next(self._numbers)}.kubeconfig"
        return write_kubeconfig(self.folder / file, server or self.server, self.authority.pair.certificate, pair)

    def stop(self, keep_logs: bool) -> None:
        """End everything. With `keep_logs` the logs stay in `folder`, else it is removed. An existing cluster loses the test namespaces."""
        if not self.own and self._namespaces:
            self.kubectl("delete", "namespace", "--wait=false", *self._namespaces)
        self.supervisor.stop()
        shutil.rmtree(self.folder / "etcd" if keep_logs else self.folder, ignore_errors=True)


def start_plane(folder: Path, say: tools.Say = print) -> ControlPlane:
    """Start a control plane in an empty private folder, with our CRDs and the training operator; some 10 seconds once tools are built."""
    programs = {name: tools.ensure(name, say) for name in ("etcd", "kubernetes", "training-operator")}
    for left in reversed(range(TRIES)):
        supervisor = Supervisor(folder / "logs")
        components = Components(folder, Ports(*free_ports(5)), Authority("astra-test"), programs["kubernetes"], programs["etcd"] / "etcd")
        try:
            rest = _start_programs(components, supervisor)
            plane = ControlPlane(folder, supervisor, folder / "kubeconfig", components)
            addons.install_crds(plane)
            addons.start_training_operator(plane)
            for program, port in rest.items():
                wait_for(f"{program.name} listens", lambda program=program, port=port: program.require() or listens(port), 60)
            return plane
        except ProcessEnded as error:
            supervisor.stop()
            if not left or "address already in use" not in str(error):
                raise
            say("control plane: a port was taken meanwhile, trying others")
            shutil.rmtree(folder / "etcd", ignore_errors=True)
        except BaseException:
            supervisor.stop()
            raise
    raise AssertionError("unreachable")


def use_cluster(folder: Path, kubeconfig: Path) -> ControlPlane:
    """An existing cluster, with our CRDs applied; it has to bring the training operator itself."""
    plane = ControlPlane(folder, Supervisor(folder / "logs"), kubeconfig)
    addons.install_crds(plane)
    return plane


def _start_programs(components: Components, supervisor: Supervisor) -> dict[Program, int]:
    """Start all four; the API server is ready then, the returned ones with their ports need not be."""
    components.write_files()
    etcd = supervisor.start("etcd", components.etcd())
    wait_for("etcd listens", lambda: etcd.require() or listens(components.ports.etcd), 30)
    api = supervisor.start("kube-apiserver", components.api_server())
    trust = ssl.create_default_context(cafile=str(components.folder / "ca.crt"))
    wait_for("the API server is ready", lambda: api.require() or _ready(f"{components.server}/readyz", trust), 120)
    controllers = supervisor.start("kube-controller-manager", components.controller_manager())
    scheduler = supervisor.start("kube-scheduler", components.scheduler())
    return {controllers: components.ports.controllers, scheduler: components.ports.scheduler}


def _ready(url: str, trust: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5, context=trust) as answer:
            return answer.status == 200
    except OSError:
        return False
