"""One run of the local cluster as a person watches it: its state, the stage, how far, how long still."""

from dataclasses import dataclass

from astra_cli.state import ON_ITS_WAY, state_of, succeeded
from astra_jobs.api.v1alpha1.status import RunPhase
from astra_operator.clusters.base import Object, RunKey, key_of
from astra_operator.clusters.local import LocalCluster
from astra_operator.observed import Launch, observe
from astra_operator.progress import measure


@dataclass(frozen=True)
class Line:
    """What the screen shows of a run; ``moving`` tells if it may still change by itself."""

    key: RunKey
    state: RunPhase
    reason: str = "Pending"
    message: str = ""
    stage: str = ""
    step: int = 0
    total: int = 0
    percent: int = 0
    eta: int | None = None
    doing: str = ""
    restart: int = 0

    @property
    def label(self) -> str:
        """Return kind and name."""
        return f"{self.key.kind} {self.key.name}"


def line_of(cluster: LocalCluster, run: Object) -> Line:
    """Return what to show of a run now; progress comes from its pods' own files."""
    condition, status = succeeded(run), run.get("status") or {}
    line = Line(
        key_of(run),
        state_of(run),
        condition.get("reason", "Pending"),
        condition.get("message", ""),
        status.get("stage", "") or "",
        restart=(status.get("attempt") or {}).get("restarts", 0),
    )
    if line.state not in ON_ITS_WAY or line.reason == "Restarting":
        return line
    launch = running_launch(cluster, run)
    if launch is None:
        return line
    reports = [report for pod in launch.objects if pod["kind"] == "Pod" and (report := cluster.report_of(pod))]
    progress = measure(launch, reports, cluster.now())
    if progress is None:
        return Line(line.key, line.state, line.reason, line.message, launch.stage, restart=line.restart)
    return Line(
        line.key,
        "Running",
        line.reason,
        line.message,
        launch.stage,
        progress.step,
        progress.total,
        progress.percent,
        progress.eta_seconds,
        progress.message,
        line.restart,
    )


def running_launch(cluster: LocalCluster, run: Object) -> Launch | None:
    """Return the launch of a run that has a running pod, or None."""
    launches = observe(cluster.children(run["metadata"]["uid"])).launches
    return next((item for item in reversed(launches) if any(pod.phase == "Running" for pod in item.pods)), None)
