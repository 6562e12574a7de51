"""The values of the chart ``astra-operator``: where the operator acts, what it may do there, how its pod runs, who watches it."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, StringConstraints, model_validator

from astra_operator.chartgen.values import (
    PORTS_ABOUT,
    Chart,
    Duration,
    Free,
    Image,
    Namespace,
    ObjectName,
    OptionalName,
    Port,
    Text,
    Texts,
    Values,
    names_ports,
    value,
)
from astra_operator.settings import OperatorSettings, ProcessSettings

_PACE, _PROCESS = OperatorSettings(), ProcessSettings(())
RuntimeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]


class Scope(Values):
    """Where the operator acts."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"mode": {"const": "Namespaces"}}, "required": ["mode"]},
            "then": {"properties": {"namespaces": {"minItems": 1}}},
            "else": {"properties": {"namespaces": {"maxItems": 0}}},
        }
    )
    mode: Literal["Cluster", "Namespaces", "Namespace"] = value(
        "Cluster",
        about="Cluster serves every namespace, with a ClusterRole; Namespaces serves those that are listed, with a Role in each; "
        "Namespace serves the release's own, with one Role and nothing cluster-wide but what other values ask for",
    )
    namespaces: list[Namespace] = value(
        list, about="the namespaces to serve, with mode Namespaces; each has to exist when its Role is made"
    )

    @model_validator(mode="after")
    def _listed(self) -> Self:
        if (self.mode == "Namespaces") != bool(self.namespaces):
            raise ValueError("namespaces is set with mode Namespaces, and only with it")
        return self


class Rights(Values):
    """Rights that are not needed everywhere, or that somebody else gives."""

    namespaces: bool = value(
        True, about="with mode Namespaces or Namespace, make the Role; false leaves it to the chart astra-team of each namespace"
    )
    runtime_classes: bool = value(
        True, about="let the operator see if a RuntimeClass exists (a ClusterRole); needed where a team's isolation is gVisor"
    )
    people: bool = value(
        True, about="add to the roles view and edit of Kubernetes what people need to see and to change runs, with kubectl astra too"
    )


class Account(Values):
    """The operator's service account."""

    create: bool = value(True, about="make the service account; false takes one that is there")
    name: OptionalName = value("", about="name of the service account", shown="the release's name")
    annotations: Texts = value(dict, about="annotations of the service account")


class Pace(Values):
    """How the operator paces itself."""

    workers: int = value(_PROCESS.workers, about="how many runs are looked at at the same time", ge=1, le=256)
    resync_seconds: int = value(int(_PROCESS.resync_seconds), about="how often everything is listed anew", unit="s", ge=1, le=86400)
    lease_seconds: int = value(
        int(_PROCESS.lease_seconds), about="how long the Lease of a namespace lasts without renewal", unit="s", ge=2, le=3600
    )
    silence_seconds: int = value(
        int(_PROCESS.silence_seconds),
        about="how long a stream of events may bring nothing before it is opened anew",
        unit="s",
        ge=2,
        le=3600,
    )
    poll_seconds: int = value(int(_PACE.poll), about="how often a running pod is asked for its progress", unit="s", ge=1, le=3600)
    progress_seconds: int = value(
        int(_PACE.progress_interval), about="how often progress is written to a run's status at most", unit="s", ge=1, le=3600
    )
    first_restart_seconds: int = value(
        int(_PACE.first_restart_delay), about="how long the first restart of a stage waits; later ones wait longer", unit="s", ge=0, le=300
    )


class Pod(Values):
    """The operator's pod. Its security settings are not to be chosen: they are those of the Pod Security level restricted."""

    labels: Texts = value(dict, about="more labels of the pod")
    annotations: Texts = value(dict, about="more annotations of the pod")
    env: list[Free] = value(list, about="more environment variables, as Kubernetes has them: a proxy, say")
    resources: Free = value(
        lambda: {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}, about="CPU and memory of the pod"
    )
    node_selector: Texts = value(dict, about="labels that the pod's node must have")
    tolerations: list[Free] = value(list, about="taints that the pod may be placed beside")
    affinity: Free = value(dict, about="affinity of the pod")
    priority_class_name: OptionalName = value("", about="PriorityClass of the pod")
    image_pull_secrets: list[ObjectName] = value(list, about="Secrets of the release's namespace to pull the image with")


class NetworkPolicy(Values):
    """What the operator's pod may reach and who may reach it."""

    enabled: bool = value(
        True, about="make a NetworkPolicy: out to the API server, to DNS and to the progress port of pods; in for metrics"
    )
    api_server_ports: list[int] = value(lambda: [443, 6443], about="ports of the API server", min_length=1)
    api_server_cidrs: list[Text] = value(list, about="addresses of the API server, as CIDRs; empty allows its ports anywhere")
    names_ports: list[Port] = value(names_ports, about=PORTS_ABOUT, min_length=1)
    metrics_from: Free = value(dict, about="label selector of the namespaces that may read metrics; empty allows all namespaces")


class Budget(Values):
    """The disruption budget of the operator's pod."""

    enabled: bool = value(True, about="make a PodDisruptionBudget that lets the one pod go, so that its node can be drained")


class ServiceMonitor(Values):
    """How Prometheus finds the operator's metrics."""

    enabled: bool = value(False, about="make a Service and a ServiceMonitor; needs the Prometheus operator")
    interval: Duration = value("30s", about="how often metrics are read")
    labels: Texts = value(dict, about="labels of the ServiceMonitor, where Prometheus selects by them")


class PrometheusRule(Values):
    """Alerts."""

    enabled: bool = value(False, about="make a PrometheusRule of the shipped alerts; needs the Prometheus operator")
    labels: Texts = value(dict, about="labels of the PrometheusRule, where Prometheus selects by them")


class Dashboard(Values):
    """The Grafana dashboard."""

    enabled: bool = value(False, about="make a ConfigMap of the shipped Grafana dashboard")
    labels: Texts = value(lambda: {"grafana_dashboard": "1"}, about="labels by which Grafana finds the ConfigMap")


class LeastIsolation(Values):
    """The least isolation of tool code in the namespaces that bear the label ``astra.dev/least-isolation``."""

    enabled: bool = value(False, about="make the admission policies; they act in namespaces with the label astra.dev/least-isolation")
    isolation: Literal["gVisor", "Process"] = value("gVisor", about="the least isolation; Process allows everything")
    runtime_classes: list[RuntimeName] = value(lambda: ["gvisor"], about="RuntimeClasses that sandbox pods may have", min_length=1)
    network_policy: Literal["Enforced", "Unenforced"] = value("Enforced", about="the least networkPolicy; Unenforced allows both")


class OperatorValues(Values):
    """The values of the chart."""

    scope: Scope = value(Scope, about="where the operator acts")
    rights: Rights = value(Rights, about="rights that are not needed everywhere, or that somebody else gives")
    service_account: Account = value(Account, about="the operator's service account")
    image: Image = value(lambda: Image(repository="astra-operator"), about="the operator's image")
    pace: Pace = value(Pace, about="how the operator paces itself")
    pod: Pod = value(Pod, about="the operator's pod; its security settings are those of the Pod Security level restricted")
    network_policy: NetworkPolicy = value(NetworkPolicy, about="what the operator's pod may reach and who may reach it")
    pod_disruption_budget: Budget = value(Budget, about="the disruption budget of the operator's pod")
    service_monitor: ServiceMonitor = value(ServiceMonitor, about="how Prometheus finds the operator's metrics")
    prometheus_rule: PrometheusRule = value(PrometheusRule, about="alerts")
    dashboard: Dashboard = value(Dashboard, about="the Grafana dashboard")
    least_isolation: LeastIsolation = value(LeastIsolation, about="the least isolation of tool code that a team may choose")


INTRO = """One operator for a cluster, for some namespaces, or for one. The CRDs come from the chart `astra-crds`, what a team needs from
`astra-team`.

```
helm install astra-operator charts/astra-operator --namespace astra-system --create-namespace
```

| `scope.mode` | serves | may |
|---|---|---|
| `Cluster` | every namespace | a ClusterRole |
| `Namespaces` | `scope.namespaces` | a Role in each of them |
| `Namespace` | the release's own | a Role there |

The rights are the same everywhere: read runs and write their status; make and remove what runs are made of; make and remove Secrets
without reading them; one Lease by its name. `rights.runtimeClasses` adds the right to see if a RuntimeClass exists. Two operators for one
namespace do no harm: the one with the Lease acts.

Runs of several ranks need the Kubeflow training operator (1.9). Its workers begin with its own init container, from the image that its
`--pytorch-init-container-image` names (`alpine:3.10`): mirror that one too where nodes pull from one registry only. What Pod Security says
of it, and whom it runs as, is in the [chart of a team](../astra-team/README.md).

After `helm upgrade --reuse-values` from an older version, or with `null` for a value or a block, the default counts. A Deployment
that is there keeps its selector, which cannot change; where charts are rendered without the cluster (Argo CD), delete an older one once.
"""

CHART = Chart(
    name="astra-operator",
    model=OperatorValues,
    about="The operator of ASTRA on Kubernetes: it carries out ToolCorpus, ChainSynthesis, EnvSynthesis, SFTRun and RLRun.",
    intro=INTRO,
)
