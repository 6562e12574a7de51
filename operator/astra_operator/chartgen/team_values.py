"""The values of the chart ``astra-team``: what a team shares, what it may use, whom its pods may reach, and when its store is swept."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints, WithJsonSchema

from astra_jobs.api.v1alpha1.names import MountPath
from astra_operator.chartgen.values import (
    PORTS_ABOUT,
    Amount,
    Chart,
    Free,
    Image,
    Namespace,
    ObjectName,
    OptionalAmount,
    OptionalName,
    Port,
    Text,
    Texts,
    Values,
    names_ports,
    value,
)
from astra_operator.settings import POD_GROUP, POD_USER, TeamSettings

_TEAM = TeamSettings(store_url="file:///unset")
Level = Literal["privileged", "baseline", "restricted"]
StoreUrl = Annotated[str, StringConstraints(pattern=r"^((s3://|file:///).+)?$", max_length=500)]
Endpoint = Annotated[str, StringConstraints(pattern=r"^(https?://.+)?$", max_length=500)]
_ID = {"type": ["integer", "string"], "maximum": 1999999999}
PodUser = Annotated[str, WithJsonSchema({**_ID, "minimum": 1, "pattern": POD_USER})]
PodGroup = Annotated[str, WithJsonSchema({**_ID, "minimum": 0, "pattern": POD_GROUP})]
ResourceName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9][-.a-z0-9]*/)?[A-Za-z0-9][-._A-Za-z0-9]*$", max_length=253)]
Cidr = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", max_length=50)]


class Settings(Values):
    """The ConfigMap ``astra-team``."""

    store_url: StoreUrl = value("", about="URL of the team's artifact store, which no other namespace uses", shown="none: it has to be set")
    store_endpoint: Endpoint = value(_TEAM.store_endpoint, about="S3 endpoint URL, for stores that are not AWS")
    store_secret: OptionalName = value(
        _TEAM.store_secret, about="Secret of the namespace whose keys become environment variables of the pods: the store's credentials"
    )
    image: Text = value("", about="image of every job pod", shown="astra-jobs, with the chart's version as tag")
    pod_user: PodUser = value(
        _TEAM.pod_user,
        about="user of every pod, by number and not root; Assigned where the cluster gives each namespace users of its own (OpenShift)",
    )
    pod_group: PodGroup = value(
        _TEAM.pod_group, about="group of every pod and of the volumes that it mounts, by number", shown="the number of podUser"
    )
    isolation: Literal["Process", "gVisor"] = value(
        _TEAM.isolation, about="what tool code runs in: the job's own process, or a pool of gVisor pods"
    )
    runtime_class: ObjectName = value(_TEAM.runtime_class, about="RuntimeClass of the pool's pods")
    network_policy: Literal["Enforced", "Unenforced"] = value(
        _TEAM.network_policy, about="what the cluster's network does with the pool's NetworkPolicy, which is made in any case"
    )
    sandbox_image: Text = value(_TEAM.sandbox_image, about="image of the pool's pods", shown="the image of job pods")
    sandbox_users: Literal["Own", "Shared"] = value(
        _TEAM.sandbox_users,
        about="users of a pool's sessions: one for each, in pods that start as root with three capabilities, or the pod's one user "
        "without any right, which the Pod Security level restricted admits",
    )


class NamespaceValues(Values):
    """The namespace itself."""

    manage: bool = value(
        True,
        about="label the namespace for Pod Security and give its default service account no token; the first install then needs "
        "--take-ownership, and both stay when the release goes",
    )
    enforce: Level = value(
        "baseline",
        about="Pod Security level that pods must have; pools whose sandboxUsers is Own and PyTorchJobs of several ranks need baseline",
    )
    warn: Level = value("restricted", about="Pod Security level below which people are warned")
    audit: Level = value("restricted", about="Pod Security level below which the audit log has a note")
    labels: Texts = value(dict, about="more labels of the namespace; astra.dev/least-isolation, say")


class Quota(Values):
    """How much of the cluster the team may use, and how many objects it may have."""

    enabled: bool = value(True, about="make a ResourceQuota")
    cpu: Amount = value("64", about="CPU that all pods together may request")
    memory: Amount = value("256Gi", about="memory that all pods together may request")
    gpus: int = value(8, about="GPUs that all pods together may request", ge=0, le=100_000)
    gpu_resource: ResourceName = value("nvidia.com/gpu", about="name of the GPU resource")
    pods: int = value(200, about="pods that have not ended", ge=0, le=100_000)
    jobs: int = value(
        200, about="Jobs, and as many PyTorchJobs; those of the last attempt of each run stay until the run goes", ge=0, le=100_000
    )
    pools: int = value(50, about="sandbox pools", ge=0, le=100_000)
    runs: int = value(100, about="runs of each kind", ge=0, le=100_000)
    config_maps: int = value(1000, about="ConfigMaps; each attempt and each launch has one", ge=0, le=100_000)
    secrets: int = value(200, about="Secrets; each sandbox pool has one", ge=0, le=100_000)
    services: int = value(100, about="Services; each sandbox pool has one, each PyTorchJob one for each rank", ge=0, le=100_000)
    more: dict[str, Amount] = value(dict, about="more of the quota, as Kubernetes has it: persistentvolumeclaims, say")


class Limits(Values):
    """What containers get that say nothing themselves."""

    enabled: bool = value(True, about="make a LimitRange")
    cpu: Amount = value("250m", about="CPU that is requested for a container that says nothing")
    memory: Amount = value("512Mi", about="memory that is requested for a container that says nothing, and its limit")
    most_memory: OptionalAmount = value("", about="most memory that one container may have")


class Queue(Values):
    """The queue that runs name in spec.queue."""

    enabled: bool = value(False, about="make a LocalQueue; needs Kueue")
    name: ObjectName = value("team", about="name of the LocalQueue")
    cluster_queue: ObjectName = value("team", about="ClusterQueue that it leads to")


class Names(Values):
    """Who answers questions for names."""

    namespaces: Free = value(
        lambda: {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        about="label selector of the namespace of the DNS server",
        min_length=1,
    )
    pods: Free = value(lambda: {"matchLabels": {"k8s-app": "kube-dns"}}, about="label selector of the DNS server's pods", min_length=1)
    ports: list[Port] = value(names_ports, about=PORTS_ABOUT, min_length=1)
    addresses: list[Cidr] = value(list, about="more addresses that answer, as CIDRs: 169.254.20.10/32 with NodeLocal DNSCache")


class Addresses(Values):
    """Addresses that pods may reach."""

    cidr: Cidr = value(about="addresses that pods may reach")
    except_: list[Cidr] = value(list, about="but not these of them", alias="except")
    ports: list[int] = value(about="TCP ports", min_length=1)


class Neighbour(Values):
    """A namespace that pods may reach."""

    name: Namespace = value(about="namespace that pods may reach")
    ports: list[int] = value(about="TCP ports", min_length=1)


class Network(Values):
    """Whom the team's pods may reach. Without any of it nobody reaches anybody, whatever a sandbox pool's own policy allows aside."""

    enabled: bool = value(True, about="make NetworkPolicies that let nobody reach anybody, but for what is said here")
    names: Names = value(Names, about="who answers questions for names")
    addresses: list[Addresses] = value(
        list,
        about="addresses that pods may reach, but for those of sandbox pools: a store, LLM endpoints; each with cidr, ports, maybe except",
    )
    namespaces: list[Neighbour] = value(
        list, about="namespaces that pods may reach, but for those of sandbox pools: a store in the cluster; each with name and ports"
    )
    api_server_ports: list[int] = value(lambda: [443, 6443], about="ports of the API server, which the collection asks", min_length=1)
    api_server_cidrs: list[Cidr] = value(
        list, about="addresses of the API server; empty allows its ports anywhere, to the collection alone"
    )


class Account(Values):
    """A service account for pods of runs."""

    name: ObjectName = value("astra-jobs", about="name of a service account without token and rights, for spec.pod.serviceAccountName")
    annotations: Texts = value(dict, about="annotations of the service account: the role by which a cloud knows it, say")
    image_pull_secrets: list[ObjectName] = value(list, about="Secrets to pull images with, for this account and the collection's")


class Operator(Values):
    """The operator that carries out the team's runs."""

    namespace: Namespace = value("astra-system", about="namespace of the operator, which asks pods for their progress")
    service_account: ObjectName = value("astra-operator", about="service account of the operator, which gets the rights")
    rights: bool = value(
        False,
        about="give the operator's service account its rights in this namespace, a Role and a RoleBinding; the operator's own chart does "
        "so where its rights.namespaces is true",
    )


class Collection(Values):
    """Garbage collection of the artifact store."""

    enabled: bool = value(True, about="make a CronJob that looks for what no run refers to in the store")
    remove: bool = value(False, about="remove it; false only tells in the log what would be removed")
    schedule: Text = value("17 3 * * *", about="when, as a CronJob has it", min_length=9)
    suspend: bool = value(False, about="start no more of them")
    days: int = value(7, about="how long after its last use something may be removed", unit="days", ge=1, le=3650)
    image: Image = value(lambda: Image(repository="astra-operator"), about="image that lists what runs refer to: the operator's")
    claim: OptionalName = value("", about="PersistentVolumeClaim that the store is on, where it is a folder")
    claim_path: MountPath = value("/store", about="where the claim is mounted, with settings.storeUrl below it")
    resources: Free = value(
        lambda: {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        about="CPU and memory of each of its containers",
    )
    node_selector: Texts = value(dict, about="labels that the pod's node must have")
    tolerations: list[Free] = value(list, about="taints that the pod may be placed beside")


class TeamValues(Values):
    """The values of the chart."""

    settings: Settings = value(Settings, about="the ConfigMap astra-team")
    namespace: NamespaceValues = value(NamespaceValues, about="the namespace itself")
    quota: Quota = value(Quota, about="how much of the cluster the team may use, and how many objects it may have")
    limits: Limits = value(Limits, about="what containers get that say nothing themselves")
    queue: Queue = value(Queue, about="the queue that runs name in spec.queue")
    network: Network = value(Network, about="whom the team's pods may reach")
    service_account: Account = value(Account, about="a service account for pods of runs")
    operator: Operator = value(Operator, about="the operator that carries out the team's runs")
    collection: Collection = value(Collection, about="garbage collection of the artifact store")


INTRO = """One release for each team, in the team's namespace:

```
helm install astra-team charts/astra-team --namespace TEAM --create-namespace --take-ownership \\
  --set settings.storeUrl=s3://BUCKET/TEAM --set settings.storeSecret=SECRET
```

`--take-ownership` lets the release label a namespace that is there already; with `namespace.manage=false` it is not needed. Uninstalling
the release keeps the namespace and every run in it. Install nothing else in the namespace with `--create-namespace`: Helm 4 then applies
the namespace anew under its one name, and takes the labels away that this release has given it, Pod Security's too.

**Users.** Every pod runs as `settings.podUser`, with `settings.podGroup` as its group and that of the volumes it mounts, so a store on a
claim is writable. The images of this project fit any user that is not root. With OpenShift set `Assigned`: its own ranges then count.

**Training of several ranks.** The training operator adds an init container to each worker, `init-pytorch`, from an image of its own
(`alpine:3.10` unless the operator's `--pytorch-init-container-image` says another): mirror it where nodes pull from one registry only, or
workers wait with `ImagePullBackOff`. It runs as `settings.podUser`. As it is shipped it says nothing of privileges, which the Pod Security
level `restricted` refuses and `baseline` takes. For `restricted`, give the training operator a template
(`--pytorch-init-container-template-file`) whose container has `allowPrivilegeEscalation: false` and `capabilities: {drop: [ALL]}`.
With `podUser: Assigned`, the cluster has to assign a user, or its kubelets refuse that container (`image will run as root`).

**Network.** Nobody reaches anybody until `network.addresses` or `network.namespaces` name the store. Pods of jobs reach each other and the
sandbox pools of the namespace; the operator's namespace, and those with the label `astra.dev/metrics`, reach their port for progress.
Pods of sandbox pools have what the operator allows each pool, and nothing else. The cluster's network has to enforce NetworkPolicies.

**Values that are not there.** After `helm upgrade --reuse-values` from an older version, or with `null` for a value or a block, the default
counts. Amounts may be numbers or text; a tag has to be text, because 1.10 as a number is 1.1.

**Collection.** A store belongs to one namespace of one cluster. Each night a pod lists what the runs of the namespace refer to (one
container, with the right to list and no store), then looks for the rest (another, with the store's credentials and no rights). Kept are the
artifacts of all runs, of their last five attempts too, whatever those were made from, and everything that was used in the last
`collection.days`. With `collection.remove=false` it only tells what it would remove. Where it cannot be sure, it removes nothing and fails.
A run that was deleted and is applied again within that time finds what it had made; later it makes it anew.
Parts of uploads that were broken off are the bucket's own to remove, by a lifecycle rule.
"""

_RULES = Path(__file__).parents[3] / "charts" / "astra-operator" / "templates" / "_rules.tpl"


def rules() -> str:
    """Return the template of the operator's rights: that of its own chart, under a name of this one's."""
    header = "{{- /* Generated from charts/astra-operator/templates/_rules.tpl by 'make generate'; do not edit. */ -}}\n"
    return header + _RULES.read_text().replace('"astra-operator.rules"', '"astra-team.operator-rules"')


CHART = Chart(
    name="astra-team",
    model=TeamValues,
    about="What a team's namespace needs: settings, quota, queue, network, service accounts, and a collection that frees its store.",
    intro=INTRO,
    files=lambda version: {"templates/_rules.tpl": rules()},
)
