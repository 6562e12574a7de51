"""The funnel of a corpus: what each filter saw and dropped, and how that compares with what was planted (SPEC 6).

Labels are read here, after the verdicts, and nowhere else in this package. What real servers offer carries no truth to
compare with: it counts as seen and dropped, but is neither planted nor wrongly dropped.
"""

from dataclasses import dataclass

from astra_jobs.records.funnel import Dropped, FilterCount, Tally

CATCHES = {
    "reachable": "",
    "schema": "brokenSchema",
    "description": "vagueDescription",
    "toolsPerServer": "tooFewTools",
    "duplicates": "duplicate",
}
"""Filters in their order, and the planted defect that each must find; nothing is planted for the first."""


@dataclass(frozen=True)
class Verdict:
    """One filter's word on one item; ``reason`` '' lets it pass."""

    filter: str
    what: str
    name: str
    reason: str = ""
    detail: str = ""


class Funnel:
    """Counts of all filters and the items that were dropped."""

    def __init__(self) -> None:
        self.dropped: list[Dropped] = []
        self._tallies = {name: Tally() for name in CATCHES}

    def judge(self, verdict: Verdict, labels: dict[str, str]) -> bool:
        """Count a verdict; return True when the item passes."""
        planted = labels.get("defect", "") == (CATCHES[verdict.filter] or None)
        self._tallies[verdict.filter].add(planted, verdict.reason, known=labels.get("origin") == "procedural")
        if not verdict.reason:
            return True
        self.dropped.append(
            Dropped(
                what=verdict.what, name=verdict.name, filter=verdict.filter, reason=verdict.reason, detail=verdict.detail, labels=labels
            )
        )
        return False

    def counts(self) -> list[FilterCount]:
        """Return one row for each filter, in order."""
        return [tally.count(name) for name, tally in self._tallies.items()]
