"""What the reconcile needs from a cluster, and nothing else, so that Kubernetes and a laptop run the same code.

Every object is a plain dict of Kubernetes shape: ConfigMap, Job, PyTorchJob and Pod, also on a laptop. Whoever
implements this protocol plays the controllers around it: it makes the pods of Jobs and PyTorchJobs, fills in
``status`` of pods and jobs, removes what an owner leaves behind, and keeps ``metadata.generation`` of runs.

What ``observed`` reads of a Pod, on every cluster:

- ``metadata``: name, uid, labels (copied from the workload's pod template), ownerReferences to the Job or PyTorchJob,
  ``deletionTimestamp`` while it ends, and its index: the label or annotation ``batch.kubernetes.io/job-completion-index`` of an
  Indexed Job, the labels ``training.kubeflow.org/replica-type`` (master or worker) and ``training.kubeflow.org/replica-index``
  of a PyTorchJob;
- ``metadata.creationTimestamp``; ``status.phase``: Pending, Running, Succeeded, Failed; ``status.startTime``; ``status.reason``
  (Evicted, Preempted, or NodeLost for a pod whose process was found dead and whose exit code nobody knows) and ``status.message``; the
  conditions PodScheduled, PodReadyToStartContainers and DisruptionTarget, and Ready beside ContainersReady, which differ while the node
  does not answer; ``spec.nodeName``, and which init containers are sidecars (restartPolicy Always);
- ``status.containerStatuses[].state`` of the container ``job`` or ``pytorch``, of those beside it and of init containers:
  ``waiting {reason, message}``, ``running {startedAt}``, or ``terminated {exitCode, signal, reason, message, startedAt, finishedAt}``,
  where ``message`` is the JobResult written to the termination message path, or the end of the log, and exit codes of signals are
  128 + n. The annotation ``astra.dev/last-lines`` may hold the end of the pod's log.

Of a Job or PyTorchJob ``spec.suspend`` (``spec.runPolicy.suspend``), ``status.startTime``, ``status.conditions`` and the label of its
queue are read; of a Kueue Workload its owner, conditions and ``spec.active``. An Indexed Job may have several pods of one index: those
before the newest were tried again by its controller. Of a Deployment ``spec.replicas``, ``status.availableReplicas`` and the conditions
ReplicaFailure and Available are read; the pods of a sandbox pool bear its name as a label, and are a run's as long as the pool's
NetworkPolicy is. Times are RFC 3339 in UTC.
"""

from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from astra_jobs.api.artifact import Kind
from astra_jobs.api.result import ProgressReport
from astra_operator.causes import Warned

Object = dict[str, Any]

WORKLOADS = ("Job", "PyTorchJob")
UNREAD = ("Secret",)
"""Kinds that are made and removed by name alone."""


class RunKey(NamedTuple):
    """Names one run; the key of the work queue."""

    kind: Kind
    namespace: str
    name: str


class Event(NamedTuple):
    """A line of a run's life: ``name`` is its object's, ``action`` what the operator did, ``reason`` and ``note`` what a person reads."""

    name: str
    action: Literal["Open", "Start", "End", "Report"]
    reason: str
    note: str
    warning: bool = False


class ClusterError(Exception):
    """A call to the cluster failed; the reconcile is tried again later, from the start."""


class Conflict(ClusterError):
    """An object of that name belongs to somebody else.

    ``passing`` tells that it goes by itself, mostly at once: it is being removed, or its owner, an earlier run of that name, is gone.
    """

    def __init__(self, message: str, passing: bool = True) -> None:
        super().__init__(message)
        self.passing = passing


class Gone(ClusterError):
    """The run was deleted, or replaced by another of the same name, since it was read."""


class Unreachable(ClusterError):
    """The cluster did not answer, or is overloaded; a write may have happened all the same.

    ``after`` is the time in seconds that the cluster asked callers to stay away (Retry-After), 0 when it named none.
    """

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class Fenced(ClusterError):
    """This operator may not write to the namespace now: another one holds its Lease, or nobody has renewed it in time."""


class Refused(ClusterError):
    """The cluster will not have an object (quota, admission, schema, rights): its own words, for the run's condition."""


class Cluster(Protocol):
    """The seam between the reconcile and a cluster. Calls are synchronous and raise ``ClusterError`` alone."""

    def get_run(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return one run with metadata, spec and status, or None."""

    def list_runs(self) -> list[Object]:
        """Return every run of the five kinds that this cluster is watched for, in any order."""

    def children(self, uid: str) -> list[Object]:
        """Return all ConfigMaps, Jobs, PyTorchJobs, Pods and Kueue Workloads that the run owns, directly or through a workload.

        Of its sandbox pools, Deployments, Services, NetworkPolicies, PodDisruptionBudgets and pods, but never a Secret.

        An object that is being removed stays in the list, with ``deletionTimestamp``, until it and its process are really gone.
        """

    def refresh_pods(self, run: Object) -> bool:
        """Look again at the pods of a run, where ``children`` may be late; return whether there was any news."""

    def apply(self, objects: list[Object], owner: Object) -> list[str]:
        """Make objects exist, in order, with a controller reference to the run ``owner``; return the names of those created now.

        Exists with the same owner UID: a ConfigMap's annotations and labels are replaced by the given ones (its data never
        changes), a Deployment whose mark of its size differs is set to what is given, and named as if it were created; anything else is
        left as it is. Exists with another owner: ``Conflict``, and nothing after it is made. A Secret gets a random ``key`` and is
        never read: one that exists is taken for the run's own, because its name says whose it is.
        """

    def admit(self, objects: list[Object], owner: Object) -> None:
        """Ask if ``apply`` would be let make these objects, making nothing; raises ``Refused`` or ``Conflict`` as that would."""

    def serves(self, api_version: str, kind: str) -> bool:
        """Tell if objects of a kind can be made here: a PyTorchJob needs the training operator, a Workload means Kueue."""

    def warnings(self, item: Object) -> list[Warned]:
        """Return the Warning events about a pod or a workload, at most 30 s old as a whole; none where they may not be read."""

    def terminating(self, namespace: str) -> bool:
        """Tell if a namespace is being deleted, so that nothing can be made in it."""

    def has_runtime(self, name: str) -> bool:
        """Tell if there is a RuntimeClass of a name; raises ``Refused`` when that may not be asked."""

    def delete(self, item: Object) -> None:
        """Start to remove an object, pods of a workload included; nothing happens when it is gone or has another UID.

        A Secret is given by its name alone.
        """

    def write_status(self, run: Object, status: dict[str, Any]) -> None:
        """Replace the run's status; ``Gone`` when the run no longer exists with that UID."""

    def event(self, run: Object, event: Event) -> None:
        """Leave a line of a run's life where people look for it, one of a name once; never waits, and a failure is no error."""

    def progress(self, pod: Object) -> ProgressReport | None:
        """Ask a running pod how far it is; None when it does not answer in time or not sensibly."""

    def stacks(self, pod: Object) -> str:
        """Ask a running pod for the stacks of its threads (GET /stacks); empty when it does not answer in time. Untrusted text."""

    def team(self, namespace: str) -> dict[str, str]:
        """Return the data of the namespace's ConfigMap ``astra-team`` (see ``settings``), empty when there is none."""

    def now(self) -> datetime:
        """Return the time in UTC; tests move it by hand."""


def key_of(run: Object) -> RunKey:
    """Return the key of a run."""
    metadata = run["metadata"]
    return RunKey(run["kind"], metadata.get("namespace", "default"), metadata["name"])


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time as Kubernetes writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def format_time(moment: datetime) -> str:
    """Write a UTC time as Kubernetes does, in whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
