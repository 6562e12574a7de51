"""One call to an API server, with dicts in and out: the ``kubernetes`` client's credentials and connections, none of its models.

No call is repeated here, not even by the connection pool: whether a write that got no answer happened is for the reconcile to see.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import urllib3
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import kube_config

from astra_operator.clusters.base import ClusterError, Unreachable
from astra_operator.clusters.kubernetes_errors import Answer, raise_busy

Verb = Literal["get", "list", "create", "update", "patch", "delete"]
OnCall = Callable[[str, str, int, float], None]
APPLY = "application/apply-patch+yaml"  # JSON is YAML
JSON = "application/json"

_METHODS: dict[Verb, str] = {"get": "GET", "list": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
# The client lets the errors of its YAML reader through.
_UNREADABLE = (kubernetes_config.ConfigException, kube_config.yaml.YAMLError, OSError)
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 30.0


@dataclass(frozen=True)
class Call:
    """One call: ``resource`` is the plural that metrics are told; ``content_type`` is the body's."""

    verb: Verb
    resource: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON

    def __str__(self) -> str:
        """Name the call in one line."""
        return f"{_METHODS[self.verb]} {self.path}"


def connect(kubeconfig: Path | None, workers: int) -> ApiClient:
    """Return a client with a connection for each worker: from a kubeconfig, or inside a cluster when it is None.

    Raises ``ClusterError`` when there is no such configuration or it cannot be read.
    """
    settings = Configuration()
    try:
        if kubeconfig is None:
            kubernetes_config.load_incluster_config(client_configuration=settings)
        else:
            kubernetes_config.load_kube_config(str(kubeconfig), client_configuration=settings, persist_config=False)
    except _UNREADABLE as error:
        where = f"KUBECONFIG {kubeconfig}" if kubeconfig else "in-cluster configuration"
        raise ClusterError(
            f"{where}: {' '.join(str(error).split())}; name a readable kubeconfig, or run in a pod with a service account"
        ) from error
    settings.connection_pool_maxsize = workers
    settings.retries = False
    client = ApiClient(settings)
    client.user_agent = "astra-operator"
    return client


class Calls:
    """Makes calls and tells ``on_call`` of each: verb, resource, status code (0: no answer), seconds."""

    def __init__(self, api: ApiClient, on_call: OnCall, read_seconds: float = _READ_SECONDS) -> None:
        self._api = api
        self._on_call = on_call
        self._timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=read_seconds)

    def send(self, call: Call) -> Answer:
        """Make a call; raises ``Unreachable`` when no answer, half of one, or an overloaded server's comes back."""
        started, code = time.monotonic(), 0
        try:
            response = self._request(call)
            code = response.status
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"{call}: {type(error).__name__}: {error}") from error
        finally:
            self._on_call(call.verb, call.resource, code, time.monotonic() - started)
        answer = _read(call, code, response.data)
        raise_busy(str(call), answer, response.headers.get("Retry-After", ""))
        return answer

    def _request(self, call: Call) -> urllib3.BaseHTTPResponse:
        headers = {**self._api.default_headers, "Accept": JSON}
        self._api.update_params_for_auth(headers, [], ["BearerToken"])  # reads a rotated token again
        body = None
        if call.body is not None:
            headers["Content-Type"] = call.content_type
            body = json.dumps(call.body, separators=(",", ":")).encode()
        url = self._api.configuration.host.rstrip("/") + call.path
        if call.query:
            url += "?" + urlencode(call.query)
        pool = self._api.rest_client.pool_manager
        answer: urllib3.BaseHTTPResponse = pool.request(
            _METHODS[call.verb], url, body=body, headers=headers, timeout=self._timeout, retries=False, redirect=False
        )
        return answer


def _read(call: Call, code: int, data: bytes) -> Answer:
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if isinstance(body, dict):
        return Answer(code, body)
    if 200 <= code < 300:
        raise Unreachable(f"{call}: the answer is not a JSON object ({len(data)} bytes)")
    return Answer(code, {"message": data[:300].decode(errors="replace")})  # a proxy's or the router's plain text
