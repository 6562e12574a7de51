"""The kubelet's HTTPS port, as far as ``kubectl logs`` needs it: ``/containerLogs/{namespace}/{pod}/{container}``.

It listens on loopback with a certificate of its own, and asks nobody who they are: logs of test pods are no secret.
An option that it does not know is refused, never ignored.
"""

import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from astra_operator.clusters.base import Object
from astra_operator.clusters.processes import Kubelet
from tests.cluster.node_status import NODE_ADDRESS

_FOLLOW_SECONDS = 0.2


def certificate(folder: Path) -> Path:
    """Make a self-signed certificate; return the file that holds it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "astra-process-node")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=30)).sign(key, hashes.SHA256())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "kubelet.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class _Logs(BaseHTTPRequestHandler):
    """One endpoint; the server knows where logs are."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        """Send a pod's log, whole or from its last lines on, once or for as long as the pod runs."""
        url = urlsplit(self.path)
        words, query = url.path.strip("/").split("/"), {key: values[0] for key, values in parse_qs(url.query).items()}
        if len(words) != 4 or words[0] != "containerLogs":
            return self._refuse(404, f"the process node serves /containerLogs only, found {url.path}")
        pod = self.server.named(words[1], words[2])
        if pod is None or pod["spec"]["containers"][0]["name"] != words[3]:
            return self._refuse(404, f"no container {words[3]} in pod {words[1]}/{words[2]} here")
        if unknown := set(query) - {"tailLines", "follow", "limitBytes"}:
            return self._refuse(400, f"the process node cannot do {', '.join(sorted(unknown))}")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return self._send(pod["metadata"]["uid"], query)

    def _send(self, uid: str, query: dict[str, str]) -> None:
        path = self.server.kubelet.home(uid) / "log"
        follow = query.get("follow") == "true"
        with path.open("rb") if path.exists() else Path("/dev/null").open("rb") as log:
            text = log.read()
            if "tailLines" in query:
                wanted = int(query["tailLines"])
                text = b"".join(text.splitlines(keepends=True)[-wanted:]) if wanted else b""
            self._chunk(text[: int(query["limitBytes"])] if "limitBytes" in query else text)
            pause = threading.Event()
            while follow and self.server.kubelet.running(uid):
                self._chunk(log.read())
                pause.wait(_FOLLOW_SECONDS)
            if follow:
                self._chunk(log.read())
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

    def _refuse(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text) + 1))
        self.end_headers()
        self.wfile.write(text.encode() + b"\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


class _Server(ThreadingHTTPServer):
    """Readers that go away are no news; the handshake is done in each reader's own thread."""

    daemon_threads = True

    def __init__(self, kubelet: Kubelet, named: Callable[[str, str], Object | None], context: ssl.SSLContext) -> None:
        super().__init__((NODE_ADDRESS, 0), _Logs)
        self.kubelet, self.named, self.context = kubelet, named, context

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, then answer."""
        with self.context.wrap_socket(request, server_side=True) as safe:
            super().finish_request(safe, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


def serve(folder: Path, kubelet: Kubelet, named: Callable[[str, str], Object | None]) -> int:
    """Serve logs from background threads; return the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder))
    server = _Server(kubelet, named, context)
    threading.Thread(target=server.serve_forever, name="logs", daemon=True).start()
    return int(server.server_address[1])
