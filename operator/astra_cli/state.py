"""Where a run stands, in one word, read from its status alone: the same on a laptop and in a cluster."""

from collections.abc import Mapping
from typing import Literal

from astra_operator.clusters.base import Object, RunKey
from astra_operator.resolve import condition_status, references

State = Literal["Waiting", "Queued", "Running", "Succeeded", "Failed", "Suspended"]


def succeeded(run: Object) -> dict[str, str]:
    """Return the condition that says how a run stands, empty before the first."""
    conditions = (run.get("status") or {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == "Succeeded"), {})


def observed(run: Object) -> bool:
    """Tell if the status speaks of the newest spec."""
    return bool((run.get("status") or {}).get("observedGeneration", 0) >= run["metadata"]["generation"])


def state_of(run: Object) -> State:
    """Return a run's state in one word."""
    if not observed(run):
        return "Queued"
    condition = succeeded(run)
    ended: dict[str, State] = {"True": "Succeeded", "False": "Failed"}
    if condition.get("status") in ended:
        return ended[condition["status"]]
    if condition_status(run, "Suspended") == "True" and condition_status(run, "Reconciling") != "True":
        return "Suspended"
    if condition.get("reason") in ("WaitingForInput", "ReferenceCycle"):
        return "Waiting"
    return "Running" if condition.get("reason") == "Running" else "Queued"


def moving(run: Object, by_key: Mapping[RunKey, Object]) -> bool:
    """Tell if a run may still change by itself: it works, or it waits for one that does."""
    state = state_of(run)
    if state == "Waiting":
        return any(moving(by_key[item.target], by_key) for item in references(run) if item.target in by_key)
    if state == "Succeeded":
        return condition_status(run, "Reconciling") == "True"
    return state in ("Queued", "Running")
