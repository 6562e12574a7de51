"""Where a run stands in one word for people, from its conditions alone; machines read the conditions. Pure."""

from collections.abc import Mapping

from astra_jobs.api.v1alpha1.status import RunPhase

AT_WORK = ("Running", "Restarting")


def phase_of(conditions: Mapping[str, tuple[str, str]]) -> RunPhase:
    """Return the word for status and reason of each type of condition.

    An end comes first, then what somebody has to change or has asked for, then what the run does or waits for.
    """

    def holds(kind: str) -> bool:
        return conditions.get(kind, ("", ""))[0] == "True"

    status, reason = conditions.get("Succeeded", ("Unknown", "Pending"))
    if status != "Unknown":
        return "Succeeded" if status == "True" else "Failed"
    if holds("Stalled"):
        return "Stalled"
    if holds("Suspended") and not holds("Reconciling"):
        return "Suspended"
    if reason in AT_WORK:
        return "Running"
    return "Pending" if reason == "Pending" else "Waiting"
