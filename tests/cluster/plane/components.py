"""Files and flags of the control plane's own programs: what a cluster on loopback needs and no more.

Ports are picked by the caller. Only flags that differ from the defaults for a reason stand here.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.plane.certs import Authority, service_account_key, write_kubeconfig

AUDIT = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
SERVICES, FIRST_SERVICE, PODS = "10.96.0.0/16", "10.96.0.1", "10.244.0.0/16"


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one control plane."""

    etcd: int
    peer: int
    api: int
    controllers: int
    scheduler: int


@dataclass(frozen=True)
class Components:
    """Builds the command lines; `folder` holds certificates, kubeconfigs and data."""

    folder: Path
    ports: Ports
    authority: Authority
    programs: Path
    etcd_program: Path

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://127.0.0.1:{self.ports.api}"

    def write_files(self) -> None:
        """Write certificates, keys, the audit policy and the kubeconfigs of the components."""
        self.authority.pair.write(self.folder / "ca.crt", self.folder / "ca.key")
        serving = self.authority.server("kube-apiserver", SERVER_NAMES, ("127.0.0.1", FIRST_SERVICE))
        serving.write(self.folder / "api.crt", self.folder / "api.key")
        kubelet = self.authority.client("kube-apiserver-kubelet-client", ["system:masters"])
        kubelet.write(self.folder / "kubelet-client.crt", self.folder / "kubelet-client.key")
        key = self.folder / "accounts.key"
        key.touch(mode=0o600)
        key.write_bytes(service_account_key())
        (self.folder / "audit-policy.json").write_text(json.dumps(AUDIT))
        for user in ("kube-controller-manager", "kube-scheduler"):
            write_kubeconfig(
                self.folder / f"{user}.kubeconfig", self.server, self.authority.pair.certificate, self.authority.client(f"system:{user}")
            )
        admin = self.authority.client("admin", ["system:masters"])
        write_kubeconfig(self.folder / "kubeconfig", self.server, self.authority.pair.certificate, admin)

    def etcd(self) -> list[str]:
        """Without fsync: a test's data need not survive a power cut."""
        clients, peers = f"http://127.0.0.1:{self.ports.etcd}", f"http://127.0.0.1:{self.ports.peer}"
        return [
            str(self.etcd_program),
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--quota-backend-bytes=4294967296",
            "--log-level=warn",
        ]

    def api_server(self) -> list[str]:
        """As kubeadm sets it up, with an audit log of everything at Metadata level."""
        at = self.folder
        return [
            str(self.programs / "kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self.ports.etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            # An address on loopback may not become an Endpoint; no Service of the tests needs the one called kubernetes.
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.ports.api}",
            f"--client-ca-file={at / 'ca.crt'}",
            f"--tls-cert-file={at / 'api.crt'}",
            f"--tls-private-key-file={at / 'api.key'}",
            f"--kubelet-client-certificate={at / 'kubelet-client.crt'}",
            f"--kubelet-client-key={at / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            # The second asks for the right to `finalizers` of an owner, as some clusters do. The last two let a namespace choose its nodes
            # by annotation: only such pods reach a process node (see `node_process`).
            "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement,PodNodeSelector,PodTolerationRestriction",
            "--allow-privileged=true",
            f"--service-cluster-ip-range={SERVICES}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={at / 'accounts.key'}",
            f"--service-account-signing-key-file={at / 'accounts.key'}",
            f"--audit-policy-file={at / 'audit-policy.json'}",
            f"--audit-log-path={at / 'audit.log'}",
            "--audit-log-maxsize=8192",
        ]

    def controller_manager(self) -> list[str]:
        """All default controllers, each under its own service account."""
        at = self.folder
        return [
            str(self.programs / "kube-controller-manager"),
            f"--kubeconfig={at / 'kube-controller-manager.kubeconfig'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.ports.controllers}",
            f"--cert-dir={at / 'controllers'}",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={at / 'accounts.key'}",
            f"--root-ca-file={at / 'ca.crt'}",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={PODS}",
            f"--service-cluster-ip-range={SERVICES}",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]

    def scheduler(self) -> list[str]:
        """The default profile."""
        return [
            str(self.programs / "kube-scheduler"),
            f"--kubeconfig={self.folder / 'kube-scheduler.kubeconfig'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.ports.scheduler}",
            f"--cert-dir={self.folder / 'scheduler'}",
            "--leader-elect=false",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]
