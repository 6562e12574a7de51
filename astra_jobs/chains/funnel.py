"""The funnel of ChainSynthesis: which filters there are, what each saw and dropped, and what was planted for it.

A defect's label names what was planted; ``CATCHES`` says which filter must find it. Labels are read here, after the
verdicts, to fill the confusion matrix, and nowhere else in this package (SPEC 6).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from astra_jobs.records.funnel import Dropped, FilterCount, Tally

# The judge's seven axes, each a filter of its own (SPEC 2.9).
AXES: tuple[str, ...] = (
    "queryUnderstanding",
    "queryPlanning",
    "responseUnderstanding",
    "contextPlanning",
    "callStatus",
    "conciseness",
    "finalAnswer",
)

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
    *AXES,
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
Labels = Mapping[str, str]


@dataclass
class Funnel:
    """Counts and drops of one server, or of the merge."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)

    def passes(self, name: str, labels: Labels) -> None:
        """Count an item that a filter let through."""
        self.tallies.setdefault(name, Tally()).add(planted_for(name, labels))

    def drop(self, name: str, item: tuple[str, str], why: tuple[str, str], labels: Labels) -> None:
        """Count and record an item (what, name) that a filter dropped for a reason (code, detail)."""
        self.tallies.setdefault(name, Tally()).add(planted_for(name, labels), why[0])
        self.dropped.append(Dropped(what=item[0], name=item[1], filter=name, reason=why[0], detail=why[1], labels=dict(labels)))

    def counts(self) -> list[FilterCount]:
        """Return one row for each filter, in the order of the stages."""
        return [self.tallies.get(name, Tally()).count(name) for name in FILTERS]


def planted_for(name: str, labels: Labels) -> bool:
    """Tell whether an item carries a defect that this filter must find."""
    return CATCHES.get(labels.get("defect", "")) == name


def add_counts(parts: Iterable[list[FilterCount]]) -> list[FilterCount]:
    """Add the rows of several funnels, by filter."""
    funnel = Funnel()
    for rows in parts:
        for row in rows:
            funnel.tallies.setdefault(row.filter, Tally()).merge(row)
    return funnel.counts()
