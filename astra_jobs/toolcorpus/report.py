"""The funnel of a corpus: what each filter saw and dropped, and how that compares with what was planted (SPEC 6).

Labels are read here, after the verdicts, and nowhere else in this package. What real servers offer carries no truth to
compare with: it counts as seen and dropped, but is neither planted nor wrongly dropped.
"""

from collections import Counter
from dataclasses import dataclass, field

from astra_jobs.records.tool import Dropped, FilterCount

CATCHES = {"schema": "brokenSchema", "description": "vagueDescription", "toolsPerServer": "tooFewTools", "duplicates": "duplicate"}
"""Filters in their order, and the planted defect that each must find."""


@dataclass(frozen=True)
class Verdict:
    """One filter's word on one item; ``reason`` '' lets it pass."""

    filter: str
    what: str
    name: str
    reason: str = ""
    detail: str = ""


@dataclass
class _Tally:
    seen: int = 0
    planted: int = 0
    planted_dropped: int = 0
    clean_dropped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class Funnel:
    """Counts of all filters and the items that were dropped."""

    def __init__(self) -> None:
        self.dropped: list[Dropped] = []
        self._tallies = {name: _Tally() for name in CATCHES}

    def judge(self, verdict: Verdict, labels: dict[str, str]) -> bool:
        """Count a verdict; return True when the item passes."""
        tally = self._tallies[verdict.filter]
        planted = labels.get("defect") == CATCHES[verdict.filter]
        tally.seen += 1
        tally.planted += planted
        if not verdict.reason:
            return True
        tally.reasons[verdict.reason] += 1
        tally.planted_dropped += planted
        tally.clean_dropped += not planted and labels.get("origin") == "procedural"
        self.dropped.append(
            Dropped(
                what=verdict.what, name=verdict.name, filter=verdict.filter, reason=verdict.reason, detail=verdict.detail, labels=labels
            )
        )
        return False

    def counts(self) -> list[FilterCount]:
        """Return one row for each filter, in order."""
        return [
            FilterCount(
                filter=name,
                seen=tally.seen,
                dropped=sum(tally.reasons.values()),
                reasons=dict(sorted(tally.reasons.items())),
                planted=tally.planted,
                planted_dropped=tally.planted_dropped,
                clean_dropped=tally.clean_dropped,
            )
            for name, tally in self._tallies.items()
        ]
