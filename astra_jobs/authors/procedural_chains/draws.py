"""Which defect or mild imperfection the procedural author plays where: seeded draws at the declared rates (SPEC 6)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from astra_jobs.api.base import digest_of
from astra_jobs.api.v1alpha1.author import ProceduralChainAuthor

# Label of a whole-conversation defect → field of its rate. Exactly one of them, or none, is drawn for a conversation.
_BEHAVIOURS: tuple[tuple[str, str], ...] = (
    ("brokenResult", "broken_result"),
    ("endless", "endless"),
    ("misunderstoodQuery", "misunderstood_query"),
    ("wrongPlan", "wrong_plan"),
    ("misreadResult", "misread_result"),
    ("lostPlan", "lost_plan"),
    ("failingCalls", "failing_calls"),
    ("unneededCalls", "unneeded_calls"),
    ("wrongAnswer", "wrong_answer"),
    ("sloppy", "sloppy"),
)


def draws(seed: int, *names: object) -> random.Random:
    """Return an independent stream named by its purpose."""
    return random.Random(digest_of([seed, "author", *map(str, names)]))


def pick(rng: random.Random, rates: Sequence[tuple[str, float]]) -> str:
    """Return one of the named things by its rate, or '' for none; rates that add up to more than 1 are cut off."""
    point = rng.random()
    for name, rate in rates:
        point -= rate
        if point < 0:
            return name
    return ""


@dataclass(frozen=True)
class Behaviour:
    """How a conversation is played. ``imperfection`` is drawn only when there is no ``defect``."""

    defect: str
    imperfection: str
    gives_up: bool


def behaviour(settings: ProceduralChainAuthor, seed: int, conversation: str) -> Behaviour:
    """Draw the behaviour of a conversation."""
    rng = draws(seed, "behaviour", conversation)
    defects = settings.defects
    defect = pick(rng, [(label, getattr(defects, name)) for label, name in _BEHAVIOURS])
    mild = settings.imperfections
    imperfection = pick(rng, [("earlyStop", mild.early_stop), ("redundantCall", mild.redundant_call)])
    gives_up = rng.random() < defects.gives_up
    return Behaviour(defect, "" if defect else imperfection, gives_up and not defect)
