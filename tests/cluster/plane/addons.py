"""What runs on top of the control plane: our CRDs, the training operator with its webhook, Kueue with its webhooks, kwok.

Each runs under the rights of its own service account, as in a cluster. Webhooks are reached by URL on loopback with certificates of the
test's authority, so no Service network, DNS or /etc/hosts is needed.
"""

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from tests.cluster.plane import tools
from tests.cluster.plane.access import free_ports, listens, wait_for
from tests.cluster.plane.certs import Authority

if TYPE_CHECKING:
    from tests.cluster.plane.plane import ControlPlane

CRDS = Path(__file__).parents[3] / "crds"
TRAINING = "training-operator"
# The operator's certificate rotator only asks whether this file exists, under this fixed name; the web server reads its own folder.
MARK = Path("/tmp/k8s-webhook-server/serving-certs/tls.crt")
# Replaces an init container whose image cannot be pulled in tests; the name of the master becomes resolvable when its pod is made.
INIT_CONTAINER = """
- name: init-pytorch
  image: astra-jobs:test
  command: [python, -c]
  args: ["import socket, time\\nfor _ in range(300):\\n  try: socket.getaddrinfo('{{.MasterAddr}}', None); break\\n  except OSError: time.sleep(1)\\nelse: raise SystemExit('no address of {{.MasterAddr}}')"]
  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"""


def install_crds(plane: "ControlPlane") -> None:
    """Apply our five CRDs, and that of PyTorchJob on an own cluster, and wait until the API server serves them."""
    files = ["-f", str(CRDS)]
    if plane.own:
        files += ["-f", str(tools.ensure(TRAINING) / "manifests/manifests/base/crds")]
    plane.kubectl("apply", "--server-side", "--force-conflicts", *files)
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


def start_training_operator(plane: "ControlPlane") -> None:
    """Start the training operator and wait until its webhook answers."""
    folder = tools.ensure(TRAINING)
    home = plane.folder / TRAINING
    serving = home / "k8s-webhook-server" / "serving-certs"
    serving.mkdir(parents=True)
    # The rotator looks for its own names in both certificates before it accepts them, and wants an RSA key.
    authority = Authority("training-operator-ca", use_rsa=True)
    server = authority.server("training-operator", ["training-operator.kubeflow.svc"])
    server.write(serving / "tls.crt", serving / "tls.key")
    port, probe = free_ports(2)
    secret = {"ca.crt": authority.pair.certificate, "ca.key": authority.pair.key, "tls.crt": server.certificate, "tls.key": server.key}
    hooks = url_webhooks(documents(folder / "manifests/manifests/base/webhook/manifests.yaml"), port, authority, {"pytorchjobs"})
    hooks[0]["metadata"]["name"] = "validator.training-operator.kubeflow.org"
    rights = [each for path in sorted((folder / "manifests/manifests/base/rbac").glob("*.yaml")) for each in documents(path)]
    plane.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeflow"}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "training-operator-webhook-cert", "namespace": "kubeflow"},
            "data": {name: base64.b64encode(data).decode() for name, data in secret.items()},
        },
        *[in_namespace(each, "kubeflow") for each in rights],
        *hooks,
    )
    _touch_mark()
    template = home / "init-container.yaml"
    template.write_text(INIT_CONTAINER)
    command = [
        str(folder / "training-operator"),
        "--enable-scheme=pytorchjob",
        "--controller-threads=4",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--metrics-bind-address=0",
        f"--health-probe-bind-address=127.0.0.1:{probe}",
        f"--webhook-server-port={port}",
        f"--pytorch-init-container-template-file={template}",
    ]
    kubeconfig = plane.user_kubeconfig("system:serviceaccount:kubeflow:training-operator", groups=["system:serviceaccounts"])
    environment = dict(os.environ) | {"KUBECONFIG": str(kubeconfig), "TMPDIR": str(home)}
    program = plane.supervisor.start(TRAINING, command, environment)
    wait_for("the training operator's webhook listens", lambda: program.require() or listens(port), 60)


def _touch_mark() -> None:
    MARK.parent.mkdir(parents=True, exist_ok=True)
    MARK.touch()


def documents(path: Path) -> list[dict[str, Any]]:
    """The objects of a YAML file."""
    return [each for each in YAML(typ="safe", pure=True).load_all(path.read_text()) if each]


def in_namespace(item: dict[str, Any], namespace: str) -> dict[str, Any]:
    """An object of a kustomize base as it is in `namespace`: itself when it has one, and the service accounts that it binds."""
    if item["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
        item["metadata"]["namespace"] = namespace
    for subject in item.get("subjects", []):
        subject["namespace"] = namespace
    return item


def url_webhooks(items: list[dict[str, Any]], port: int, authority: Authority, resources: set[str]) -> list[dict[str, Any]]:
    """Webhook configurations that call 127.0.0.1 instead of a Service, for the given resources only."""
    bundle = base64.b64encode(authority.pair.certificate).decode()
    for item in items:
        kept = [hook for hook in item["webhooks"] if {each for rule in hook["rules"] for each in rule["resources"]} & resources]
        for hook in kept:
            hook["clientConfig"] = {"url": f"https://127.0.0.1:{port}{hook['clientConfig']['service']['path']}", "caBundle": bundle}
        item["webhooks"] = kept
    return items
