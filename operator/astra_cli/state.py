"""Where a run stands, in the word of ``status.phase``, read from its conditions: the same on a laptop and in a cluster."""

from collections.abc import Mapping

from astra_jobs.api.v1alpha1.status import RunPhase
from astra_operator.clusters.base import Object, RunKey
from astra_operator.phase import phase_of
from astra_operator.resolve import condition_status, references

ON_ITS_WAY: tuple[RunPhase, ...] = ("Pending", "Waiting", "Running")


def succeeded(run: Object) -> dict[str, str]:
    """Return the condition that says how a run stands, empty before the first."""
    conditions = (run.get("status") or {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == "Succeeded"), {})


def observed(run: Object) -> bool:
    """Tell if the status speaks of the newest spec."""
    return bool((run.get("status") or {}).get("observedGeneration", 0) >= run["metadata"]["generation"])


def state_of(run: Object) -> RunPhase:
    """Return a run's state in one word; Pending while nobody has looked at its newest spec."""
    if not observed(run):
        return "Pending"
    return phase_of({item["type"]: (item["status"], item["reason"]) for item in run["status"].get("conditions", [])})


def for_input(run: Object) -> bool:
    """Tell if a run waits for another run."""
    return state_of(run) == "Waiting" and succeeded(run).get("reason") == "WaitingForInput"


def moving(run: Object, by_key: Mapping[RunKey, Object]) -> bool:
    """Tell if a run may still change by itself: it works, or it waits for one that does."""
    state = state_of(run)
    if for_input(run):
        return any(moving(by_key[item.target], by_key) for item in references(run) if item.target in by_key)
    if state == "Succeeded":
        return condition_status(run, "Reconciling") == "True"
    return state in ON_ITS_WAY
