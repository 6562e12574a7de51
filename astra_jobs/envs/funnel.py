"""The funnel of EnvSynthesis: which filters there are, what each saw and dropped, and what was planted for it.

Labels are read here, after the verdicts, to fill the confusion matrix, and nowhere else in this package (SPEC 6).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from astra_jobs.api.base import Model
from astra_jobs.records.environment import Environment
from astra_jobs.records.tool import Dropped, FilterCount

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

UNSCORED = "Unscored"
CANNOT = "AuthorCannot"


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
    numbers: dict[str, int] = Field(default_factory=dict)

    def labels(self) -> dict[str, str]:
        """Return the labels of whichever it is."""
        if self.environment is not None:
            return self.environment.labels
        return self.dropped.labels if self.dropped is not None else {}


def funnel(outcomes: Iterable[Outcome]) -> list[FilterCount]:
    """Count each filter; unscored items and refusals of the author are neither hits nor misses."""
    counts = {name: Counter[str]() for name in FILTERS}
    reasons = {name: Counter[str]() for name in FILTERS}
    for outcome in outcomes:
        planted = CATCHES.get(outcome.labels().get("defect", ""))
        for name in FILTERS:
            dropped = outcome.dropped is not None and outcome.dropped.filter == name
            counts[name] += _verdict(planted == name, outcome.dropped.reason if dropped and outcome.dropped else None)
            if dropped and outcome.dropped is not None:
                reasons[name][outcome.dropped.reason] += 1
                break
    return [_row(name, counts[name], reasons[name]) for name in FILTERS]


def _verdict(planted: bool, reason: str | None) -> Counter[str]:
    count = Counter(seen=1, planted=int(planted), dropped=int(reason is not None), unscored=int(reason == UNSCORED))
    if reason is not None and reason not in (UNSCORED, CANNOT):
        count["planted_dropped" if planted else "clean_dropped"] += 1
    return count


def _row(name: str, count: Counter[str], reasons: Counter[str]) -> FilterCount:
    return FilterCount(
        filter=name,
        seen=count["seen"],
        dropped=count["dropped"],
        reasons=dict(sorted(reasons.items())),
        planted=count["planted"],
        planted_dropped=count["planted_dropped"],
        clean_dropped=count["clean_dropped"],
        unscored=count["unscored"],
    )


def total(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Add the numbers of all outcomes."""
    numbers: Counter[str] = Counter()
    for outcome in outcomes:
        numbers.update(outcome.numbers)
    return dict(numbers)
