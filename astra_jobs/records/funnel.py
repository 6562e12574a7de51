"""Funnels: what each filter saw and dropped, and how that compares with what was planted for it (SPEC 6).

Labels are read here and in reports, after the verdicts; nothing that decides may read them.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from astra_jobs.api.base import Model, Named

UNSCORED, CANNOT, QUOTA = "Unscored", "AuthorCannot", "Quota"
NO_VERDICT = frozenset((UNSCORED, CANNOT, QUOTA))
"""Reasons that say nothing of a filter's judgement: such a drop is neither a hit nor a miss."""


class Dropped(Model):
    """Something that a filter took out, and why."""

    version: Literal[1] = 1
    what: str = Field(description="server, tool, chain, task, conversation or environment")
    name: str
    filter: str = Field(description="the filter that dropped it")
    reason: str = Field(description="reason code, PascalCase")
    detail: str = ""
    labels: Named[str] = Field(default_factory=dict, description="labels of what was dropped, for the confusion matrix")


class FilterCount(Model):
    """One row of a funnel and of its confusion matrix."""

    filter: str
    seen: int
    dropped: int
    reasons: Named[int] = Field(default_factory=dict)
    planted: int = Field(description="items seen that carry a defect planted for this filter")
    planted_dropped: int = Field(description="of these, dropped")
    clean_dropped: int = Field(description="dropped items that carry no defect planted for this filter")
    unscored: int = 0


class StageReport(Model):
    """report.json of a synthesis artifact: the funnel in order, plus free numbers."""

    version: Literal[1] = 1
    kind: str
    funnel: list[FilterCount]
    numbers: Named[float] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)


@dataclass
class Tally:
    """Counts of one filter while they grow."""

    seen: int = 0
    planted: int = 0
    planted_dropped: int = 0
    clean_dropped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, planted: bool, reason: str = "", known: bool = True) -> None:
        """Count an item; ``reason`` '' passed. ``known`` False: nobody planted anything there, so a drop is no miss either."""
        self.seen += 1
        if reason:
            self.reasons[reason] += 1
        if reason in NO_VERDICT:
            return
        self.planted += planted
        if reason:
            self.planted_dropped += planted
            self.clean_dropped += known and not planted

    def merge(self, row: FilterCount) -> None:
        """Add a finished row of the same filter."""
        self.seen += row.seen
        self.planted += row.planted
        self.planted_dropped += row.planted_dropped
        self.clean_dropped += row.clean_dropped
        self.reasons.update(row.reasons)

    def count(self, name: str) -> FilterCount:
        """Return the row of a filter."""
        return FilterCount(
            filter=name,
            seen=self.seen,
            dropped=sum(self.reasons.values()),
            reasons=dict(sorted(self.reasons.items())),
            planted=self.planted,
            planted_dropped=self.planted_dropped,
            clean_dropped=self.clean_dropped,
            unscored=self.reasons[UNSCORED],
        )
