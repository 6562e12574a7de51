"""The funnel of EnvSynthesis: which filters there are, what each saw and dropped, and what was planted for it.

Labels are read here, after the verdicts, to fill the confusion matrix, and nowhere else in this package (SPEC 6).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from astra_jobs.api.base import Model, Named
from astra_jobs.records.environment import Environment
from astra_jobs.records.funnel import Dropped, FilterCount, Tally

FILTERS: tuple[str, ...] = (
    "authorCannot", "structure", "necessity", "quality", "callStatement", "staticGate", "limits", "stability", "answer", "echo",
    "mutation", "replay",
)  # fmt: skip
"""In the order in which an instance meets them. ``authorCannot`` and ``replay`` are guards for which nothing is planted."""

CATCHES: Mapping[str, str] = {
    "brokenStructure": "structure",
    "needlessDependency": "necessity",
    "poorDecomposition": "quality",
    "badCall": "callStatement",
    "forbiddenCode": "staticGate",
    "runawayTool": "limits",
    "unstableTool": "stability",
    "wrongAnswer": "answer",
    "echoingTool": "echo",
    "ambiguousData": "mutation",
}
"""Value of labels["defect"] → the one filter that must drop it."""


class Refused(Exception):
    """An instance that a filter drops: the filter, a reason code, and a detail for readers."""

    def __init__(self, filter_name: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{filter_name}: {reason}: {detail}")
        self.filter = filter_name
        self.reason = reason
        self.detail = detail


class Outcome(Model):
    """What became of one question: an environment or a drop, and small counts for the report."""

    index: int
    environment: Environment | None = None
    dropped: Dropped | None = None
    numbers: Named[int] = Field(default_factory=dict)

    def labels(self) -> dict[str, str]:
        """Return the labels of whichever it is."""
        if self.environment is not None:
            return self.environment.labels
        return self.dropped.labels if self.dropped is not None else {}


def funnel(outcomes: Iterable[Outcome]) -> list[FilterCount]:
    """Count each filter up to the one that dropped the outcome."""
    tallies = {name: Tally() for name in FILTERS}
    for outcome in outcomes:
        planted = CATCHES.get(outcome.labels().get("defect", ""))
        for name in FILTERS:
            dropped = outcome.dropped if outcome.dropped is not None and outcome.dropped.filter == name else None
            tallies[name].add(planted == name, dropped.reason if dropped else "")
            if dropped:
                break
    return [tally.count(name) for name, tally in tallies.items()]


def total(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Add the numbers of all outcomes."""
    numbers: Counter[str] = Counter()
    for outcome in outcomes:
        numbers.update(outcome.numbers)
    return dict(numbers)
