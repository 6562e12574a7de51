"""How far the running stage is, from what its pods say; untrusted, and written at most every so often."""

from datetime import datetime

from astra_jobs.api.result import ProgressReport
from astra_jobs.api.v1alpha1.status import Progress
from astra_operator.clusters.base import format_time, parse_time
from astra_operator.observed import Launch
from astra_operator.pods import succeeded
from astra_operator.view import View

_LARGEST = 2**53
CATCHING_UP = 60.0
"""Seconds after its first pod's start in which a launch that goes on may report less than was done before."""


def progress_of(view: View, done: bool) -> Progress | None:
    """Return the stage's progress, the stored one while it is young: writing status is not free."""
    stored = view.stored.progress if view.same_attempt else None
    if done:
        last = stored or Progress()
        return last.model_copy(update={"percent": 100, "display": "100%", "eta_seconds": None, "step": last.total, "message": ""})
    if stored is not None and view.current and view.stored.stage != view.current.name:
        stored = None
    if view.launch is None or view.launch.end is not None:
        return stored
    fresh = measure(view.launch, [report for report in view.reports.values() if report], view.now)
    if fresh is None or (stored is not None and (not _due(view, stored) or _catching_up(view.launch, stored, fresh, view.now))):
        return stored
    return fresh


def _catching_up(launch: Launch, stored: Progress, fresh: Progress, now: datetime) -> bool:
    """Tell if a launch that goes on has not read its checkpoint yet: nothing that was done is lost, so nobody reads that it is.

    What it goes on from is known from its first step; a minute later the rest is taken for true too (shards begin one by one).
    """
    if fresh.percent >= stored.percent or not stored.time or parse_time(stored.time) > launch.made:
        return False
    starts = [pod.started for pod in launch.pods if pod.started]
    return fresh.step == 0 or not starts or (now - min(starts)).total_seconds() < CATCHING_UP


def measure(launch: Launch, reports: list[ProgressReport], now: datetime) -> Progress | None:
    """Sum up the reports of a launch's pods; shards that have ended count as whole."""
    if not reports:
        return None
    total = sum(min(report.total, _LARGEST) for report in reports)
    step = min(sum(min(report.step, report.total) for report in reports), total)
    share = sum(min(report.step, report.total) / report.total if report.total else 0.0 for report in reports)
    whole = sum(succeeded(pod) for pod in launch.pods)
    percent = int(100 * min(1.0, (share + whole) / max(1, launch.request.shards)))
    newest = min(now.timestamp(), max(report.time for report in reports))
    return Progress(
        step=step,
        total=total,
        percent=percent,
        display=f"{percent}%",
        eta_seconds=_eta(launch, percent, now),
        message=" ".join(reports[0].message.split())[:200],
        time=format_time(datetime.fromtimestamp(max(0.0, newest), tz=now.tzinfo)),
    )


def _eta(launch: Launch, percent: int, now: datetime) -> int | None:
    spent = launch.seconds(now)
    return int(spent * (100 - percent) / percent) if percent > 0 and spent > 0 else None


def _due(view: View, stored: Progress) -> bool:
    """Tell if the stored progress is old enough to be replaced."""
    return not stored.time or (view.now - parse_time(stored.time)).total_seconds() >= view.settings.progress_interval
