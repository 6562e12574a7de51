"""Kueue on the test control plane: its CRDs with their conversion, its webhooks, its controller under its own rights.

Jobs and PyTorchJobs that carry a queue label are its business, all others are left alone, as in Kueue's default installation.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster.plane import tools
from tests.cluster.plane.access import free_ports, listens, wait_for
from tests.cluster.plane.manifests import Manifest, Webhooks, documents, in_namespace, namespace

if TYPE_CHECKING:
    from tests.cluster.plane.plane import ControlPlane

NAMESPACE, SERVICE, SECRET = "kueue-system", "kueue-webhook-service", "kueue-webhook-server-cert"
OWN = {"clusterqueues", "cohorts", "localqueues", "resourceflavors", "workloads", "workloads/status"}
CONVERTED = ("clusterqueues", "cohorts", "localqueues", "multikueueclusters", "workloads")
RIGHTS = ("service_account", "role", "role_binding", "manager_secrets_role", "manager_secrets_role_binding")


def start_kueue(plane: "ControlPlane") -> None:
    """Start Kueue and wait until its webhooks listen."""
    plane.require_own()
    folder = tools.ensure("kueue")
    home = plane.folder / "kueue"
    port, probe = free_ports(2)
    hooks = Webhooks.of(NAMESPACE, SERVICE, "kueue-ca", port)
    hooks.serve_from(home / "certs")
    base = folder / "manifests/config/components"
    plane.kubectl("apply", "--server-side", "-f", str(base / "crd/bases"))
    plane.wait_for_crds()
    rights = documents(*[base / "rbac" / f"{name}.yaml" for name in RIGHTS])
    plane.apply(
        namespace(NAMESPACE),
        hooks.secret(SECRET),
        *[_installed(each) for each in rights],
        *[_conversion(each, hooks) for each in CONVERTED],
    )
    configuration = home / "configuration.json"
    configuration.write_text(json.dumps(_configuration(home / "certs", port, probe)))
    command = [str(folder / "kueue"), f"--config={configuration}", "--feature-gates=VisibilityOnDemand=false"]
    account = plane.user_kubeconfig(f"system:serviceaccount:{NAMESPACE}:controller-manager", groups=["system:serviceaccounts"])
    # Its rotator puts the authority into these, so they must exist before it starts; nothing is called until it listens.
    plane.apply(*[_webhooks(each, hooks) for each in documents(base / "webhook/manifests.yaml")])
    program = plane.supervisor.start("kueue", command, dict(os.environ) | {"KUBECONFIG": str(account)})
    wait_for("Kueue's webhooks listen", lambda: program.require() or listens(port), 90)


def _configuration(certificates: Path, port: int, probe: int) -> dict[str, Any]:
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": NAMESPACE,
        "health": {"healthProbeBindAddress": f"127.0.0.1:{probe}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"port": port, "host": "127.0.0.1", "certDir": str(certificates)},
        # Without it Kueue wants certificates under a fixed folder of /etc.
        "internalCertManagement": {"enable": True, "webhookServiceName": SERVICE, "webhookSecretName": SECRET},
        "leaderElection": {"leaderElect": False},
        "integrations": {"frameworks": ["batch/job", "kubeflow.org/pytorchjob"]},
    }


def _conversion(plural: str, hooks: Webhooks) -> Manifest:
    # A partial object under another field manager than the CRD's: the same result as the patch that kustomize makes.
    webhook = {"clientConfig": hooks.client_config("/convert"), "conversionReviewVersions": ["v1"]}
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.kueue.x-k8s.io"}}
    return kind | {"spec": {"conversion": {"strategy": "Webhook", "webhook": webhook}}}


def _installed(item: Manifest) -> Manifest:
    # kustomize gives the webhook configurations the prefix that the rights name too.
    for rule in item.get("rules", []):
        names = rule.get("resourceNames", [])
        rule["resourceNames"] = [f"kueue-{name}" if name.endswith("-webhook-configuration") else name for name in names]
    return in_namespace(item, NAMESPACE)


def _webhooks(item: Manifest, hooks: Webhooks) -> Manifest:
    return hooks.configuration(item, f"kueue-{item['metadata']['name']}", OWN | {"jobs", "pytorchjobs"})


def make_queue(plane: "ControlPlane", namespace: str, cpu: str, name: str = "team") -> None:
    """A LocalQueue `name` in the namespace, with a ClusterQueue of its own that has `cpu` of quota and plenty of memory."""
    flavor, whole = f"{namespace}-flavor", f"{namespace}-{name}"
    quotas = [{"name": "cpu", "nominalQuota": cpu}, {"name": "memory", "nominalQuota": "1Ti"}]
    groups = [{"coveredResources": ["cpu", "memory"], "flavors": [{"name": flavor, "resources": quotas}]}]
    version = "kueue.x-k8s.io/v1beta2"
    plane.apply(
        {"apiVersion": version, "kind": "ResourceFlavor", "metadata": {"name": flavor}},
        {
            "apiVersion": version,
            "kind": "ClusterQueue",
            "metadata": {"name": whole},
            "spec": {"namespaceSelector": {}, "resourceGroups": groups},
        },
        {"apiVersion": version, "kind": "LocalQueue", "metadata": {"name": name, "namespace": namespace}, "spec": {"clusterQueue": whole}},
    )
