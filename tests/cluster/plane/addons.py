"""What runs on top of the control plane: our CRDs, the training operator, kwok. Kueue has a module of its own.

The training operator runs under the rights of its own service account, as in a cluster; kwok, which plays nodes, as administrator.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.plane import tools
from tests.cluster.plane.access import free_ports, listens, wait_for
from tests.cluster.plane.manifests import Webhooks, documents, in_namespace, namespace

if TYPE_CHECKING:
    from tests.cluster.plane.plane import ControlPlane

CRDS = Path(__file__).parents[3] / "crds"
TRAINING = "training-operator"
# The operator's certificate rotator only asks whether this file exists, under this fixed name; its web server reads a folder of its own.
MARK = Path("/tmp/k8s-webhook-server/serving-certs/tls.crt")
KWOK = "kwok.x-k8s.io/node"
ROOMY = {"cpu": "1k", "memory": "1Ti", "pods": "1M", "ephemeral-storage": "100Ti"}


def install_crds(plane: "ControlPlane") -> None:
    """Apply our five CRDs, and that of PyTorchJob on an own cluster, and wait until the API server serves them."""
    files = ["-f", str(CRDS)]
    if plane.own:
        files += ["-f", str(tools.ensure(TRAINING) / "manifests/manifests/base/crds")]
    plane.kubectl("apply", "--server-side", "--force-conflicts", *files)
    plane.wait_for_crds()


def start_training_operator(plane: "ControlPlane") -> None:
    """Start the training operator and wait until its webhook listens."""
    folder = tools.ensure(TRAINING)
    base = folder / "manifests/manifests/base"
    home = plane.folder / TRAINING
    port, probe = free_ports(2)
    hooks = Webhooks.of("kubeflow", TRAINING, "training-operator-ca", port)
    hooks.serve_from(home / "k8s-webhook-server" / "serving-certs")
    (configuration,) = documents(base / "webhook/manifests.yaml")
    plane.apply(
        namespace("kubeflow"),
        hooks.secret("training-operator-webhook-cert"),
        *[in_namespace(each, "kubeflow") for each in documents(*sorted((base / "rbac").glob("*.yaml")))],
        hooks.configuration(configuration, "validator.training-operator.kubeflow.org", {"pytorchjobs"}),
    )
    if not MARK.exists():  # made once a machine, by whoever comes first, and left there
        MARK.parent.mkdir(parents=True, exist_ok=True)
        MARK.touch()
    command = [
        str(folder / "training-operator"),
        "--enable-scheme=pytorchjob",
        "--controller-threads=4",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--metrics-bind-address=0",
        f"--health-probe-bind-address=127.0.0.1:{probe}",
        f"--webhook-server-port={port}",
    ]
    account = plane.user_kubeconfig("system:serviceaccount:kubeflow:training-operator", groups=["system:serviceaccounts"])
    environment = dict(os.environ) | {"KUBECONFIG": str(account), "TMPDIR": str(home)}
    program = plane.supervisor.start(TRAINING, command, environment)
    wait_for("the training operator's webhook listens", lambda: program.require() or listens(port), 60)


def start_kwok(plane: "ControlPlane", nodes: int = 1, tainted: bool = True, stages: tuple[Path, ...] = ()) -> None:
    """Start kwok with large nodes `kwok-0` … that play pods: those of a Job end with success, the others run.

    Only pods that tolerate the taint `kwok.x-k8s.io/node` come there unless `tainted` is off. `stages` are more Stage files for kwok;
    a file called like one of kwok's own (pod-complete.yaml, say) takes its place.
    """
    plane.require_own()
    folder = tools.ensure("kwok")
    own = {path.name: path for path in sorted(folder.glob("manifests/kustomize/stage/*/fast/*.yaml")) if path.name != "kustomization.yaml"}
    chosen = own | {path.name: path for path in stages}
    taints = [{"key": KWOK, "value": "fake", "effect": "NoSchedule"}] if tainted else []
    for number in range(nodes):
        name = f"kwok-{number}"
        labels = {KWOK: "fake", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        status = {"capacity": ROOMY, "allocatable": ROOMY}  # what kwok sets by itself has no local storage
        metadata = {"name": name, "labels": labels}
        plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": taints}, "status": status})
    command = [
        str(folder / "kwok"),
        f"--kubeconfig={plane.user_kubeconfig('kwok', groups=['system:masters'])}",
        f"--manage-nodes-with-label-selector={KWOK}=fake",
        "--node-lease-duration-seconds=40",
        *[f"--config={path}" for path in chosen.values()],
    ]
    program = plane.supervisor.start("kwok", command, dict(os.environ) | {"HOME": str(plane.folder)})
    for number in range(nodes):
        plane.wait_for(f"node kwok-{number} is ready", *_ready_query(f"kwok-{number}"))
    program.require()


def _ready_query(node: str) -> tuple[str, ...]:
    return ("get", "node", node, "-o", 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')
