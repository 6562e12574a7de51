"""Which tool can follow which: a tool that returns an entity's id feeds the tools that take that entity (SPEC 6)."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import networkx

from astra_jobs.records.environment import QaNode, Scenario
from astra_jobs.worlds.world import World

Chain = tuple[str, ...]


def tool_graph(world: World) -> "networkx.DiGraph[str]":
    """Return the graph over tool names; an edge a → b says that b's argument takes the id that a returns."""
    graph: networkx.DiGraph[str] = networkx.DiGraph()
    graph.add_nodes_from(tool.name for tool in world.tools)
    for first in world.tools:
        graph.add_edges_from((first.name, second.name) for second in world.tools if first.linked and first.attribute == second.argument)
    return graph


@lru_cache(maxsize=1024)
def chains_of(world: World) -> tuple[tuple[Chain, ...], ...]:
    """Return all paths of the tool graph by length: element h holds those of h tools (element 0 is empty)."""
    graph = tool_graph(world)
    levels: list[tuple[Chain, ...]] = [(), tuple((tool.name,) for tool in world.tools)]
    while levels[-1]:
        levels.append(tuple((*chain, after) for chain in levels[-1] for after in graph.successors(chain[-1])))
    return tuple(levels[:-1])


def connected(world: World, chain: Sequence[str]) -> bool:
    """Tell whether the world has every tool of a chain and each takes what the one before returns."""
    if not chain or any(name not in world for name in chain):
        return False
    tools = [world.tool(name) for name in chain]
    return all(first.linked and first.attribute == second.argument for first, second in pairwise(tools))


def scenario_of(nodes: Sequence[QaNode]) -> Scenario:
    """Name the shape of a question graph: longest chain above one is multi-hop, two nodes of one hop are parallel."""
    hops = [node.hop for node in nodes]
    parallel = len(set(hops)) < len(hops)
    if max(hops) == 1:
        return "ParallelSingleHop" if parallel else "SingleHop"
    return "ParallelMultiHop" if parallel else "MultiHop"
