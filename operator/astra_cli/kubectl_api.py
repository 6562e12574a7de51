"""What ``kubectl astra`` asks an API server: the operator's own calls and index, with a person's kubeconfig and words.

Failures leave here as one line that says what to do. It decides nothing and keeps nothing.
"""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import urllib3
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, Configuration
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION

from astra_jobs.api.base import API_VERSION
from astra_operator.clusters.base import ClusterError, Object, Unreachable
from astra_operator.clusters.index import Index
from astra_operator.clusters.kubernetes_calls import Call, Calls
from astra_operator.clusters.kubernetes_errors import Answer
from astra_operator.clusters.kubernetes_resources import RESOURCE_OF, RESOURCES, Resource, root
from astra_operator.crdgen.names import NAMES
from astra_operator.desired.naming import LABEL_UID
from astra_operator.desired.sandbox import KINDS as POOL_KINDS
from astra_operator.settings import TEAM_CONFIG

PROGRAM = "kubectl-astra"
FIELD_MANAGER = "astra-cli"  # Flux undoes at its next sync whatever a manager changed whose name begins with kubectl
_PAGE = "500"
_MERGE = "application/merge-patch+json"
_IN_CLUSTER_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Failed(Exception):
    """Something that a person has to know and mend, in one line, and what the command ends with."""

    def __init__(self, line: str, code: int = 1) -> None:
        super().__init__(line)
        self.code = code


def connect(kubeconfig: str | None, context: str | None) -> tuple[ApiClient, str]:
    """Return a client and its default namespace: of the named or the usual kubeconfig, or inside a cluster when there is none."""
    settings = Configuration()
    try:
        if kubeconfig is None and context is None and not _has_kubeconfig():
            kubernetes_config.load_incluster_config(client_configuration=settings)
            namespace = _IN_CLUSTER_NAMESPACE.read_text().strip()
        else:
            contexts, active = kubernetes_config.list_kube_config_contexts(kubeconfig)
            chosen = next((item for item in contexts if item["name"] == context), None) if context else active
            if chosen is None:
                known = ", ".join(item["name"] for item in contexts) or "none"
                raise Failed(f"there is no context {context!r} in the kubeconfig; there are: {known}")
            kubernetes_config.load_kube_config(kubeconfig, context, client_configuration=settings, persist_config=False)
            namespace = chosen["context"].get("namespace") or "default"
    except kubernetes_config.ConfigException as error:
        where = kubeconfig or "no kubeconfig was found, and this is no pod of a cluster"
        raise Failed(f"{where}: {' '.join(str(error).split())}; name one with --kubeconfig or KUBECONFIG") from None
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}; name a readable kubeconfig") from None
    settings.retries = False
    client = ApiClient(settings)
    client.user_agent = PROGRAM
    return client, namespace


def _has_kubeconfig() -> bool:
    return any(Path(part).expanduser().exists() for part in KUBE_CONFIG_DEFAULT_LOCATION.split(":") if part)


class Server:
    """An API server as one person sees it."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._calls = Calls(api, lambda verb, resource, code, seconds: None)
        self.notes: list[str] = []
        """What could not be looked at, and why: one line each, for stderr."""

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self._api.configuration.host)

    def send(self, call: Call) -> Answer:
        """Make a call; raises ``Failed`` when no answer comes or the credentials are not taken."""
        try:
            answer = self._calls.send(call)
        except Unreachable as error:
            raise Failed(f"cannot reach {self.url}: {_cause(error)}") from None
        if answer.code == 401:
            raise Failed(f"{self.url} does not take these credentials ({answer.message}); log in again, or choose a --context")
        return answer

    def good(self, call: Call) -> Object:
        """Make a call that has to succeed and return its object."""
        answer = self.send(call)
        if not answer.good:
            raise Failed(answer.message + ("; ask for the right" if answer.code == 403 else ""))
        return answer.body

    def runs(self, namespace: str | None) -> list[Object]:
        """Return the runs of one namespace, or of all, in the order of the pipeline."""
        found = [item for kind in NAMES for item in self._items(RESOURCE_OF[kind], namespace, {})]
        return sorted(found, key=lambda run: (run["metadata"]["namespace"], list(NAMES).index(run["kind"]), run["metadata"]["name"]))

    def index(self, runs: list[Object], namespace: str, of: Object | None = None) -> Index:
        """Return runs and the children of a namespace's runs, or of one run, as the operator sees them."""
        index = Index()
        for run in runs:
            index.put(run, streamed=False)
        for resource in RESOURCES:
            if resource.kind in NAMES or resource.kind in POOL_KINDS:
                continue
            query = {"labelSelector": f"{resource.selector},{LABEL_UID}={of['metadata']['uid']}"} if of and resource.selector else {}
            for item in self._items(resource, namespace, query):
                index.put(item, streamed=False)
        return index

    def create(self, item: Object, namespace: str) -> Object:
        """Make an object and return it as it was made."""
        resource = RESOURCE_OF[item["kind"]]
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        return self.good(Call("create", resource.plural, resource.path(namespace), query, item))

    def delete(self, item: Object) -> None:
        """Remove an object and what it owns, soon; one that is gone is no error."""
        resource, metadata = RESOURCE_OF[item["kind"]], item["metadata"]
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        answer = self.send(Call("delete", resource.plural, resource.path(metadata["namespace"], metadata["name"]), {}, body))
        if not answer.good and answer.code != 404:
            raise Failed(f"{item['kind']} {metadata['name']} cannot be removed: {answer.message}")

    def merge(self, item: Object, body: Object) -> None:
        """Merge fields into an object."""
        resource, metadata = RESOURCE_OF[item["kind"]], item["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"])
        body = {"metadata": {"uid": metadata["uid"]} | body.get("metadata", {})} | {k: v for k, v in body.items() if k != "metadata"}
        self.good(Call("patch", resource.plural, path, {"fieldManager": FIELD_MANAGER}, body, _MERGE))

    def pods(self, namespace: str, selector: str) -> list[Object]:
        """Return the pods that a selector names, oldest first."""
        found = self._items(RESOURCE_OF["Pod"], namespace, {"labelSelector": selector})
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def team(self, namespace: str) -> dict[str, str]:
        """Return the data of the namespace's ConfigMap of settings, empty when there is none."""
        answer = self.send(Call("get", "configmaps", RESOURCE_OF["ConfigMap"].path(namespace, TEAM_CONFIG)))
        if not answer.good and answer.code != 404:
            raise Failed(answer.message)
        return dict(answer.body.get("data") or {}) if answer.good else {}

    def log(self, namespace: str, pod: str, seconds: float = 60.0, **query: str) -> bytes:
        """Return what a pod has printed; raises ``Failed`` when it cannot be read."""
        with self.stream(namespace, pod, seconds, **query) as answer:
            try:
                return bytes(answer.data)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise Failed(f"cannot read the log of pod {pod}: {type(error).__name__}") from None

    def stream(self, namespace: str, pod: str, seconds: float | None = None, **query: str) -> urllib3.BaseHTTPResponse:
        """Open a pod's log to read from; the caller closes it. ``seconds`` limits how long it may be silent."""
        headers = {**self._api.default_headers, "Accept": "*/*"}
        self._api.update_params_for_auth(headers, [], ["BearerToken"])
        url = self.url.rstrip("/") + RESOURCE_OF["Pod"].path(namespace, pod, "log")
        timeout = urllib3.Timeout(connect=10, read=seconds)
        try:
            answer: urllib3.BaseHTTPResponse = self._api.rest_client.pool_manager.request(
                "GET", url, fields=query, headers=headers, timeout=timeout, retries=False, preload_content=False
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Failed(f"cannot read the log of pod {pod}: {type(error).__name__}") from None
        if answer.status != 200:
            raise Failed(f"cannot read the log of pod {pod}: {_words(answer)}")
        return answer

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    def _items(self, resource: Resource, namespace: str | None, query: dict[str, str]) -> Iterator[Object]:
        """List a collection page by page. What optional software serves may be missing, or closed to this person: then it is noted."""
        path = resource.path(namespace) if namespace else f"{root(resource.api_version)}/{resource.plural}"
        asked = {"limit": _PAGE} | ({"labelSelector": resource.selector} if resource.selector else {}) | query
        while True:
            answer = self.send(Call("list", resource.plural, path, asked))
            if resource.optional and answer.code in (403, 404):
                self.notes += [answer.message] if answer.code == 403 else []
                return
            if not answer.good:
                raise Failed(self._no_list(resource, answer))
            for item in answer.body["items"]:
                yield {"apiVersion": resource.api_version, "kind": resource.kind} | item
            token = answer.body["metadata"].get("continue", "")
            if not token:
                return
            asked |= {"continue": token}

    def _no_list(self, resource: Resource, answer: Answer) -> str:
        if answer.code == 404 and resource.kind in NAMES:
            mend = "install the CRDs (kubectl apply -f crds/), or choose a --context"
            return f"{self.url} does not serve {resource.plural} of {API_VERSION}; {mend}"
        return answer.message + ("; ask for the right, or name a namespace with -n" if answer.code == 403 else "")


def _cause(error: ClusterError) -> str:
    """Say in a few words why no answer came; an overloaded server's answer says it itself."""
    cause = error.__cause__
    if cause is None:
        return str(error)
    text = " ".join(str(getattr(cause, "reason", None) or cause).split())
    return (
        text.rpartition(">: ")[2].rpartition("): ")[2].removeprefix("Failed to establish a new connection: ")[:300] or type(cause).__name__
    )


def _words(answer: urllib3.BaseHTTPResponse) -> str:
    text = answer.data.decode(errors="replace")
    with contextlib.suppress(ValueError, AttributeError):
        text = str(json.loads(text).get("message") or text)
    return " ".join(text.split())[:300] or f"status {answer.status}"
