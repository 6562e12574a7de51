"""Splitting environments for evaluation off: by world, and by clusters of near-duplicate questions (SPEC 7).

Questions are compared with their identifiers masked, so that one form of question about one pair of words never stands
on both sides. The split depends on the kept environments and the run's seed alone.
"""

import random
from collections.abc import Sequence

from astra_jobs.embed.hashed import embed
from astra_jobs.embed.neighbours import clusters
from astra_jobs.records.environment import Environment
from astra_jobs.text.tokens import words

NEAR = 0.97
"""Least cosine of near-duplicate questions."""


def families(environments: Sequence[Environment]) -> list[list[int]]:
    """Return positions that must stay together: those of one world, or of near-duplicate questions, in chains."""
    near = clusters(embed([_masked(environment.question) for environment in environments]), NEAR)
    groups: dict[int, int] = {}
    for position, environment in enumerate(environments):
        groups.setdefault(environment.world_seed, near[position])
    joined: dict[int, int] = {}

    def root(name: int) -> int:
        while joined.get(name, name) != name:
            name = joined[name]
        return name

    for position, environment in enumerate(environments):
        low, high = sorted((root(near[position]), root(groups[environment.world_seed])))
        joined[high] = low
    found: dict[int, list[int]] = {}
    for position in range(len(environments)):
        found.setdefault(root(near[position]), []).append(position)
    return list(found.values())


def _masked(question: str) -> str:
    """Return a question with a 0 for every word that holds a digit."""
    return " ".join("0" if any(char.isdigit() for char in word) else word for word in words(question))


def held_out(environments: Sequence[Environment], share: float, rng: random.Random) -> set[int]:
    """Draw whole families until the share is reached as nearly as families allow; return the positions."""
    wanted = round(share * len(environments))
    groups = families(environments)
    rng.shuffle(groups)
    chosen: set[int] = set()
    for group in groups:
        if len(chosen) + len(group) <= wanted:
            chosen.update(group)
    return chosen
