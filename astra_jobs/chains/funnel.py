"""The funnel of ChainSynthesis: which filters there are, what each saw and dropped, and what was planted for it.

A defect's label names what was planted; ``CATCHES`` says which filter must find it. Labels are read here, after the
verdicts, to fill the confusion matrix, and nowhere else in this package (SPEC 6).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from astra_jobs.records.tool import Dropped, FilterCount

# The order of the stages; every report has one row for each, whether it dropped something or not.
FILTERS: tuple[str, ...] = (
    "authorCannot",
    "knownTools",
    "argumentProvenance",
    "coherence",
    "backTranslation",
    "taskTargets",
    "toolNames",
    "language",
    "meaning",
    "exactDuplicate",
    "nearDuplicate",
    "questionQuality",
    "scenarioRealism",
    "toolNecessity",
    "resultSchema",
    "turnLimit",
    "queryUnderstanding",
    "queryPlanning",
    "responseUnderstanding",
    "contextPlanning",
    "callStatus",
    "conciseness",
    "finalAnswer",
    "meanScore",
    "globalExactDuplicate",
    "globalNearDuplicate",
    "recoveryQuota",
)

# Value of labels["defect"] → the one filter that must drop it.
CATCHES: Mapping[str, str] = {
    "unknownTool": "knownTools",
    "brokenArgument": "argumentProvenance",
    "wrongChain": "coherence",
    "misleadingTask": "backTranslation",
    "wrongTarget": "taskTargets",
    "namedTool": "toolNames",
    "changedLanguage": "language",
    "changedMeaning": "meaning",
    "copiedTask": "exactDuplicate",
    "nearCopy": "nearDuplicate",
    "vagueTask": "questionQuality",
    "unrealisticTask": "scenarioRealism",
    "needlessTool": "toolNecessity",
    "brokenResult": "resultSchema",
    "endless": "turnLimit",
    "misunderstoodQuery": "queryUnderstanding",
    "wrongPlan": "queryPlanning",
    "misreadResult": "responseUnderstanding",
    "lostPlan": "contextPlanning",
    "failingCalls": "callStatus",
    "unneededCalls": "conciseness",
    "givesUp": "finalAnswer",
    "wrongAnswer": "finalAnswer",
    "sloppy": "meanScore",
    "copiedSample": "globalExactDuplicate",
    "nearlyCopiedSample": "globalNearDuplicate",
}
UNSCORED, CANNOT, QUOTA = "Unscored", "AuthorCannot", "Quota"
Labels = Mapping[str, str]


@dataclass
class Tally:
    """Counts of one filter."""

    seen: int = 0
    planted: int = 0
    planted_dropped: int = 0
    clean_dropped: int = 0
    unscored: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass
class Funnel:
    """Counts and drops of one server, or of the merge."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)

    def passes(self, name: str, labels: Labels) -> None:
        """Count an item that a filter let through."""
        tally = self.tallies.setdefault(name, Tally())
        tally.seen += 1
        tally.planted += planted_for(name, labels)

    def drop(self, name: str, item: tuple[str, str], why: tuple[str, str], labels: Labels) -> None:
        """Count and record an item (what, name) that a filter dropped for a reason (code, detail).

        An unscored item, a refusal and a quota say nothing of the filter's judgement: they are neither hits nor misses.
        """
        tally = self.tallies.setdefault(name, Tally())
        tally.seen += 1
        tally.reasons[why[0]] += 1
        if why[0] in (UNSCORED, CANNOT, QUOTA):
            tally.unscored += why[0] == UNSCORED
        elif planted_for(name, labels):
            tally.planted += 1
            tally.planted_dropped += 1
        else:
            tally.clean_dropped += 1
        self.dropped.append(Dropped(what=item[0], name=item[1], filter=name, reason=why[0], detail=why[1], labels=dict(labels)))

    def counts(self) -> list[FilterCount]:
        """Return one row for each filter, in the order of the stages."""
        return [_count(name, self.tallies.get(name, Tally())) for name in FILTERS]


def planted_for(name: str, labels: Labels) -> bool:
    """Tell whether an item carries a defect that this filter must find."""
    return CATCHES.get(labels.get("defect", "")) == name


def _count(name: str, tally: Tally) -> FilterCount:
    return FilterCount(
        filter=name,
        seen=tally.seen,
        dropped=sum(tally.reasons.values()),
        reasons=dict(sorted(tally.reasons.items())),
        planted=tally.planted,
        planted_dropped=tally.planted_dropped,
        clean_dropped=tally.clean_dropped,
        unscored=tally.unscored,
    )


def add_counts(parts: Iterable[list[FilterCount]]) -> list[FilterCount]:
    """Add the rows of several funnels, by filter."""
    funnel = Funnel()
    for rows in parts:
        for row in rows:
            tally = funnel.tallies.setdefault(row.filter, Tally())
            tally.seen += row.seen
            tally.planted += row.planted
            tally.planted_dropped += row.planted_dropped
            tally.clean_dropped += row.clean_dropped
            tally.unscored += row.unscored
            tally.reasons.update(row.reasons)
    return funnel.counts()
