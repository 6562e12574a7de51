"""Procedural worlds: a few entity types in a line, a table for each, a tool for each column (SPEC 6).

A world is a pure function of its seed and its size, equal on every machine. Each type links to the next by a
one-to-one column of ids and carries one or two leaf attributes, so a world of n types asks for up to n hops. Worlds
of corpora have even seeds, those of environments odd ones, so that no environment repeats what a conversation told.

What a world has not: tools that write, tools of several arguments, missing tools and missing slots.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise

from astra_jobs.api.base import digest_of
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.worlds.tools import WorldTool, WorldToolError
from astra_jobs.worlds.values import draw_column, draw_ids
from astra_jobs.worlds.words import ATTRIBUTES, DOMAINS, NUMBER_UNITS, TYPES, kind_of

__all__ = ["World", "WorldTool", "WorldToolError", "make_world", "offering"]


@dataclass(frozen=True, eq=False)
class World:
    """A generated world; equal seeds and sizes give the same one."""

    seed: int
    params: ProceduralWorlds
    domain: str
    types: tuple[str, ...]
    """Entity types in link order: each type's table links to the next type."""
    ids: Mapping[str, tuple[str, ...]]
    """Identifiers of the rows, by type; no identifier occurs twice in a world."""
    tools: tuple[WorldTool, ...]

    @cached_property
    def _by_name(self) -> dict[str, WorldTool]:
        return {tool.name: tool for tool in self.tools}

    def tool(self, name: str) -> WorldTool:
        """Return a tool by name; KeyError when the world has none of that name."""
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether the world has a tool of that name."""
        return name in self._by_name


@lru_cache(maxsize=1024)
def offering(world: World, names: tuple[str, ...]) -> World:
    """Return the world with these tools only: what is left of it when a corpus has dropped some."""
    return replace(world, tools=tuple(tool for tool in world.tools if tool.name in names))


@lru_cache(maxsize=1024)
def make_world(seed: int, params: ProceduralWorlds) -> World:
    """Generate the world of a seed. The shape of questions (hops, parallel) does not change the world's tables."""
    rng = random.Random(digest_of(["world", seed, params.entity_types, params.rows]))
    types = tuple(rng.sample(TYPES, params.entity_types))
    drawn = draw_ids(params.rows * len(types), rng)
    ids = {name: tuple(drawn[index * params.rows : (index + 1) * params.rows]) for index, name in enumerate(types)}
    tools = _links(types, ids, rng) + _leaves(types, ids, rng)
    rng.shuffle(tools)
    return World(seed, params, rng.choice(DOMAINS), types, ids, tuple(tools))


def _links(types: tuple[str, ...], ids: Mapping[str, tuple[str, ...]], rng: random.Random) -> list[WorldTool]:
    """Link each type to the next by a random one-to-one column."""
    tools = []
    for source, target in pairwise(types):
        column = rng.sample(ids[target], len(ids[target]))
        data = dict(zip(ids[source], column, strict=True))
        tools.append(WorldTool(f"{source}_{target}", source, source, target, "text", "", linked=True, data=data))
    return tools


def _leaves(types: tuple[str, ...], ids: Mapping[str, tuple[str, ...]], rng: random.Random) -> list[WorldTool]:
    """Give each type one leaf attribute, and one of them a second one, all of different words."""
    owners = [*types, rng.choice(types)]
    tools = []
    for entity, attribute in zip(owners, rng.sample(ATTRIBUTES, len(owners)), strict=True):
        kind = kind_of(attribute)
        data = dict(zip(ids[entity], draw_column(kind, list(ids[entity]), rng), strict=True))
        unit = NUMBER_UNITS.get(attribute, "")
        tools.append(WorldTool(f"{entity}_{attribute}", entity, entity, attribute, kind, unit, linked=False, data=data))
    return tools
