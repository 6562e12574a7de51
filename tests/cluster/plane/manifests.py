"""Turns manifests that were written for installation by kustomize into what a cluster without Services needs.

Webhooks are reached by URL on loopback, with certificates that the harness makes and the programs' own certificate rotators accept.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.cluster.plane.certs import Authority, Pair

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Webhooks:
    """The webhook server of one program: its port, and the authority and certificate that it finds in its Secret."""

    namespace: str
    port: int
    authority: Authority
    pair: Pair

    @classmethod
    def of(cls, namespace: str, service: str, authority: str, port: int) -> "Webhooks":
        """The rotators look for the service's name in the certificate and `authority` in its issuer, whose key must be RSA."""
        issuer = Authority(authority, use_rsa=True)
        return cls(namespace, port, issuer, issuer.server(service, [f"{service}.{namespace}.svc"]))

    def serve_from(self, folder: Path) -> None:
        """Write the files that the web server reads; in a cluster the Secret is mounted there."""
        folder.mkdir(parents=True)
        self.pair.write(folder / "tls.crt", folder / "tls.key")

    def secret(self, name: str) -> Manifest:
        """The Secret that the rotator keeps; with all four entries valid it leaves them as they are."""
        issuer = self.authority.pair
        data = {"ca.crt": issuer.certificate, "ca.key": issuer.key, "tls.crt": self.pair.certificate, "tls.key": self.pair.key}
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace}, "data": encoded}

    def client_config(self, path: str) -> Manifest:
        """How the API server reaches a path of this server."""
        bundle = base64.b64encode(self.authority.pair.certificate).decode()
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": bundle}

    def configuration(self, item: Manifest, name: str, resources: set[str]) -> Manifest:
        """A webhook configuration under its installed name, for the given resources only."""
        kept = [hook for hook in item["webhooks"] if {each for rule in hook["rules"] for each in rule["resources"]} & resources]
        hooks = [hook | {"clientConfig": self.client_config(hook["clientConfig"]["service"]["path"])} for hook in kept]
        return item | {"metadata": {"name": name}, "webhooks": hooks}


def documents(*paths: Path) -> list[Manifest]:
    """The objects of YAML files."""
    return [each for path in paths for each in YAML(typ="safe", pure=True).load_all(path.read_text()) if each]


def in_namespace(item: Manifest, namespace: str) -> Manifest:
    """A rights object of a kustomize base as installed in `namespace`, the service accounts that it binds included."""
    copy: Manifest = json.loads(json.dumps(item))
    if not copy["kind"].startswith("Cluster"):
        copy["metadata"]["namespace"] = namespace
    for subject in copy.get("subjects", []):
        subject["namespace"] = namespace
    return copy


def namespace(name: str) -> Manifest:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
