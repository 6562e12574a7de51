"""Certificates and kubeconfigs of a test control plane: one authority, client and server certificates, the service-account key.

Keys are made anew for every control plane and live in its private folder. Nothing here is fit for production.
"""

import base64
import datetime
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# The training operator replaces certificates that end within 90 days.
LIFE = datetime.timedelta(days=365)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes

    def write(self, certificate: Path, key: Path) -> None:
        """Write both files; the key is readable by its owner only."""
        certificate.write_bytes(self.certificate)
        key.touch(mode=0o600)
        key.write_bytes(self.key)


class Authority:
    """A certificate authority that signs for clients and servers; with an RSA key for programs that read no other."""

    def __init__(self, name: str, use_rsa: bool = False) -> None:
        self._key: PrivateKey = rsa.generate_private_key(65537, 2048) if use_rsa else ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._name, self._key, [x509.DNSName(name)])
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(usage, critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.pair = Pair(self._certificate.public_bytes(serialization.Encoding.PEM), private_pem(self._key))

    def server(self, name: str, dns: Sequence[str] = (), addresses: Sequence[str] = ("127.0.0.1",)) -> Pair:
        """A server certificate for DNS names and IP addresses."""
        names: list[x509.GeneralName] = [x509.DNSName(each) for each in dns]
        names += [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
        return self._issue([x509.NameAttribute(NameOID.COMMON_NAME, name)], names, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, user: str, groups: Sequence[str] = ()) -> Pair:
        """A client certificate: the API server reads the user from its common name, the groups from its organizations."""
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        return self._issue([*subject, x509.NameAttribute(NameOID.COMMON_NAME, user)], [], ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(self, subject: list[x509.NameAttribute], names: list[x509.GeneralName], usage: x509.ObjectIdentifier) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(x509.Name(subject), self._name, key, names).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))


def _builder(subject: x509.Name, issuer: x509.Name, key: PrivateKey, names: list[x509.GeneralName]) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + LIFE)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False) if names else builder


def private_pem(key: PrivateKey) -> bytes:
    """The key in the traditional form: the API server refuses PKCS#8 in a service-account key file."""
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, traditional, serialization.NoEncryption())


def service_account_key() -> bytes:
    """A new key that signs service-account tokens, PEM."""
    return private_pem(ec.generate_private_key(ec.SECP256R1()))


def write_kubeconfig(path: Path, server: str, authority: bytes, client: Pair) -> Path:
    """Write a kubeconfig with everything inline (JSON, which is YAML); the path is returned."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    user = {"client-certificate-data": text(client.certificate), "client-key-data": text(client.key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority-data": text(authority)}}],
        "users": [{"name": "test", "user": user}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))
    return path
