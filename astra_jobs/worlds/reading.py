"""Reading a question back into the chains and ids that it asks for: the inverse of ``questions.ask``.

The procedural author plans tasks with it as an LLM would, from the text alone, so that back-translation (SPEC 2.4) is a
check and not a memory. It reads noun phrases and ignores the sentence around them.
"""

import re
from itertools import pairwise

from astra_jobs.worlds.graph import connected
from astra_jobs.worlds.questions import Branch
from astra_jobs.worlds.world import World

_PHRASE = re.compile(r"\bthe (\w+)((?: and the \w+)*)((?: of the \w+)*) of (?!the )(\w+) ([a-z]\d\d)\b")


def read_question(world: World, text: str) -> tuple[Branch, ...] | None:
    """Return the branches that a text asks for in their order; None when it asks for nothing that the world has."""
    branches: list[Branch] = []
    for asked, more, links, entity, start in _PHRASE.findall(text):
        way = [entity, *reversed(re.findall(r" of the (\w+)", links))]
        for attribute in [asked, *re.findall(r" and the (\w+)", more)]:
            names = [*way, attribute]
            chain = tuple(f"{first}_{second}" for first, second in pairwise(names))
            if not connected(world, chain) or start not in world.ids[entity]:
                return None
            branches.append(Branch(start, chain))
    return tuple(branches) or None
