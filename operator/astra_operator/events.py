"""What ``kubectl describe`` and ``astra describe`` tell of a run's life: a line for each attempt, start, interruption, wait and end. Pure.

Few, and each once: an event's name is a hash of what it is about, so that a step that is taken again after a crash, or a wait that comes
and goes within one launch, makes no second one. Conditions hold the truth; an event that is lost changes nothing.
"""

import hashlib
from typing import Any, Literal

from astra_jobs.api.v1alpha1.status import Status
from astra_operator.clusters.base import Event
from astra_operator.desired import naming
from astra_operator.steps import Forgo, Mark, Open, Start, Step
from astra_operator.view import View, name_of

_NOTE = 1000


def of_step(view: View, step: Step) -> Event | None:
    """Return the event of a step that was taken, None for one that nobody needs to read of."""
    newest = view.seen.newest_attempt
    if isinstance(step, Open):
        return _event(view, "Open", "AttemptOpened", f"attempt {step.number}", step.number)
    if isinstance(step, Start):
        workload = naming.workload_name(view.run["kind"], name_of(view.run).name, newest, step.stage.name, step.restart)
        again = ", from the last checkpoint" if step.restart else ""
        return _event(view, "Start", "StageStarted", f"stage {step.stage.name}: {workload}{again}", newest, step.stage.name, step.restart)
    if isinstance(step, Mark) and step.end.cause != "Suspended":
        note = f"stage {step.launch.stage}: {step.launch.name}: {step.end.message or step.end.cause}"
        return _event(view, "End", step.end.cause, note, newest, step.launch.stage, step.launch.restart, warning=True)
    if isinstance(step, Forgo):
        note = f"stage {step.stage.name}: {step.end.message}"
        return _event(view, "End", step.end.cause, note, newest, step.stage.name, step.restart, warning=True)
    return None


def of_status(view: View, status: dict[str, Any]) -> Event | None:
    """Return the event of a status that was written: the run's end, a wait, a suspension; None where it stands as it stood."""
    now, before = Status.model_validate(status), view.stored
    condition, earlier = now.condition("Succeeded"), before.condition("Succeeded")
    if condition is None or now.phase in (None, "Pending", "Running"):
        return None
    same_attempt = (now.attempt and now.attempt.digest) == (before.attempt and before.attempt.digest)
    if earlier is not None and same_attempt and (now.phase, condition.reason) == (before.phase, earlier.reason):
        return None
    about = (now.attempt.number if now.attempt else 0, now.stage, view.launch.restart if view.launch else 0, now.observed_generation)
    return _event(view, "Report", condition.reason, condition.message, *about, warning=now.phase in ("Failed", "Stalled"))


def _event(
    view: View, action: Literal["Open", "Start", "End", "Report"], reason: str, note: str, *about: Any, warning: bool = False
) -> Event:
    metadata = view.run["metadata"]
    mark = hashlib.sha256(repr((metadata["uid"], action, reason, *about)).encode()).hexdigest()[:16]
    return Event(f"{metadata['name']}.{mark}", action, reason, note[:_NOTE], warning)
