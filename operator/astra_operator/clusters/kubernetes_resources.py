"""The table of what the operator watches and writes at an API server: one row a resource, paths built from rows alone.

It does not know what of an object is kept (``index_trim``), nor how a call is made (``kubernetes_calls``).
"""

from typing import NamedTuple

from astra_jobs.api.artifact import KINDS
from astra_jobs.api.base import API_VERSION
from astra_operator.crdgen.names import NAMES
from astra_operator.desired.naming import LABEL_UID

# By a label of this project's own: `app.kubernetes.io/*` may belong to a policy of the platform, which writes its own values there.
MANAGED = LABEL_UID


class Resource(NamedTuple):
    """One resource. ``selector`` is sent with every list and watch; ``optional`` ones are made by software that may not be installed."""

    group: str
    version: str
    plural: str
    kind: str
    selector: str | None = None
    optional: bool = False

    @property
    def api_version(self) -> str:
        """Return the apiVersion of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Return the URL path of a collection, an object or a subresource; without a namespace, of the collection in all of them."""
        parts = [root(self.api_version), "namespaces" if namespace else "", namespace, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


def root(api_version: str) -> str:
    """Return the URL path of a group and version, where discovery answers."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


_GROUP, _, _VERSION = API_VERSION.partition("/")
_RUNS = tuple(Resource(_GROUP, _VERSION, NAMES[kind].plural, kind) for kind in KINDS)

# Pods come before their owners: whoever lists in this order has every owner that exists once it has a pod.
# Kueue labels its Workloads by its own rules, so they are told by their owners and carry no selector.
RESOURCES: tuple[Resource, ...] = (
    *_RUNS,
    Resource("", "v1", "configmaps", "ConfigMap", MANAGED),
    Resource("", "v1", "pods", "Pod", MANAGED),
    Resource("batch", "v1", "jobs", "Job", MANAGED),
    Resource("apps", "v1", "deployments", "Deployment", MANAGED),
    Resource("", "v1", "services", "Service", MANAGED),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", MANAGED),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", MANAGED),
    Resource("kubeflow.org", "v1", "pytorchjobs", "PyTorchJob", MANAGED, optional=True),
    Resource("kueue.x-k8s.io", "v1beta2", "workloads", "Workload", optional=True),
)

# One of base.UNREAD: neither listed nor watched nor got.
_SECRETS = Resource("", "v1", "secrets", "Secret")

RESOURCE_OF: dict[str, Resource] = {resource.kind: resource for resource in (*RESOURCES, _SECRETS)}
