"""The tool graph of a server: who feeds whom, with the evidence for each edge kept apart (paper 3.1, SPEC 2.2).

Nodes are tools. An edge's ``proposed`` counts how often an accepted chain holds the pair in a row (the paper's frequency);
``schema`` says that a result field fits a required argument by name and type, which needs no author. The authors' code
drops the frequencies and skips over unknown tools, which makes false edges; here a chain with one was refused whole.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import networkx as nx

from astra_jobs.records.tool import Tool
from astra_jobs.schemas import listed

# An edge that only the schemas know is walked, but half as likely as one proposed once.
SCHEMA_WEIGHT = 0.5


def build_graph(tools: Sequence[Tool], chains: Iterable[Sequence[str]]) -> "nx.DiGraph[str]":
    """Return the graph of a server's tools; edges carry ``proposed``, ``schema`` and ``weight``."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(tool.name for tool in tools)
    offered = {tool.name: fields(tool) for tool in tools}
    wanted = {tool.name: required(tool) for tool in tools}
    for source in tools:
        for target in tools:
            if source.name != target.name and _fed(offered[source.name], wanted[target.name]):
                graph.add_edge(source.name, target.name, proposed=0, schema=True)
    for chain in chains:
        for first, second in pairwise(chain):
            if not graph.has_edge(first, second):
                graph.add_edge(first, second, proposed=0, schema=False)
            graph[first][second]["proposed"] += 1
    for _, _, data in graph.edges(data=True):
        data["weight"] = data["proposed"] + (SCHEMA_WEIGHT if data["schema"] else 0.0)
    return graph


def agreement(graph: "nx.DiGraph[str]") -> dict[str, int]:
    """Return how many edges each kind of evidence knows: both, proposed only, schema only."""
    counts = {"edgesBoth": 0, "edgesProposedOnly": 0, "edgesSchemaOnly": 0}
    for _, _, data in graph.edges(data=True):
        if data["proposed"] and data["schema"]:
            counts["edgesBoth"] += 1
        else:
            counts["edgesProposedOnly" if data["proposed"] else "edgesSchemaOnly"] += 1
    return counts


def required(tool: Tool) -> dict[str, Any]:
    """Return the schemas of a tool's required arguments."""
    found = listed(tool.parameters)
    return {name: found.properties[name] for name in found.required}


def fields(tool: Tool) -> dict[str, Any]:
    """Return the schemas of a result's top-level fields; none are known when the tool declares no result."""
    return dict(listed(tool.returns).properties) if tool.returns else {}


def fits(name: str, schema: Any, available: dict[str, Any]) -> bool:
    """Tell whether an argument can be filled from result fields: same name, and no type that contradicts."""
    if name not in available:
        return False
    wanted, offered = schema.get("type"), available[name].get("type")
    return wanted is None or offered is None or wanted == offered or (wanted == "number" and offered == "integer")


def feeds(source: Tool, target: Tool) -> bool:
    """Tell whether a result field of ``source`` fits a required argument of ``target``."""
    return _fed(fields(source), required(target))


def _fed(available: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return any(fits(name, schema, available) for name, schema in wanted.items())
