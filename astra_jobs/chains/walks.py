"""Random walks over a tool graph: length-bounded, biased by edge weight, never twice through a tool (paper 3.1, SPEC 2.3).

The authors' code enumerates every walk, cycles included, which explodes. Here the work is bounded: a length is drawn, then
a walk of that length is tried, at most ``TRIES`` times for each walk wanted. The stream belongs to (seed, server) alone.
"""

import random
from itertools import accumulate

import networkx as nx

from astra_jobs.api.v1alpha1.chains import Walks

TRIES = 20


def draw_walks(graph: "nx.DiGraph[str]", settings: Walks, stream: random.Random) -> list[list[str]]:
    """Return at most ``per_server`` different walks in the order drawn; a small graph may hold fewer."""
    nodes = sorted(graph)
    found: dict[tuple[str, ...], None] = {}
    for _ in range(TRIES * settings.per_server if nodes else 0):
        if len(found) == settings.per_server:
            break
        length = stream.randint(settings.min_length, settings.max_length)
        walk = _walk(graph, nodes, length, stream)
        if walk is not None:
            found.setdefault(tuple(walk))
    return [list(walk) for walk in found]


def _walk(graph: "nx.DiGraph[str]", nodes: list[str], length: int, stream: random.Random) -> list[str] | None:
    """Try one acyclic walk; None when it ran into a dead end before its length."""
    walk = [stream.choice(nodes)]
    while len(walk) < length:
        nexts = sorted(node for node in graph.successors(walk[-1]) if node not in walk)
        if not nexts:
            return None
        bounds = list(accumulate(graph[walk[-1]][node]["weight"] for node in nexts))
        walk.append(stream.choices(nexts, cum_weights=bounds)[0])
    return walk
