"""Structural validation of a question graph, before any judge (SPEC 3.1).

The authors' code checks nothing here. Ids are 1..n, dependencies exist and have no cycle, a node's hop is one more
than the greatest of its dependencies, its parallel flag and the scenario label follow from the graph.
"""

import networkx

from astra_jobs.envs.funnel import Refused
from astra_jobs.records.environment import QaGraph, QaNode, Scenario


def validate(graph: QaGraph, max_hops: int) -> None:
    """Raise Refused with the first thing that is wrong."""
    nodes = {node.id: node for node in graph.nodes}
    if sorted(node.id for node in graph.nodes) != list(range(1, len(graph.nodes) + 1)) or not nodes:
        raise Refused("structure", "IdsNotContiguous", f"ids are {[node.id for node in graph.nodes]}")
    for node in graph.nodes:
        if not set(node.depends_on) <= set(nodes) or len(set(node.depends_on)) != len(node.depends_on):
            raise Refused("structure", "UnknownDependency", f"node {node.id} depends on {node.depends_on}")
    if not networkx.is_directed_acyclic_graph(dependency_graph(graph)):
        raise Refused("structure", "Cycle", "the dependencies form a cycle")
    for node in graph.nodes:
        hop = 1 + max((nodes[dependency].hop for dependency in node.depends_on), default=0)
        if node.hop != hop:
            raise Refused("structure", "WrongHop", f"node {node.id} has hop {node.hop}, its dependencies give {hop}")
    _check_labels(graph, max_hops)


def _check_labels(graph: QaGraph, max_hops: int) -> None:
    hops = [node.hop for node in graph.nodes]
    if max(hops) > max_hops:
        raise Refused("structure", "TooManyHops", f"{max(hops)} hops; the budget is {max_hops}")
    wrong = [node.id for node in graph.nodes if node.parallel != (hops.count(node.hop) > 1)]
    if wrong:
        raise Refused("structure", "WrongParallelFlag", f"node {wrong[0]}")
    if graph.scenario != scenario(graph.nodes):
        raise Refused("structure", "WrongScenario", f"{graph.scenario}; the graph is {scenario(graph.nodes)}")


def dependency_graph(graph: QaGraph) -> "networkx.DiGraph[int]":
    """Return the graph over node ids; an edge a → b says that b depends on a."""
    edges: networkx.DiGraph[int] = networkx.DiGraph()
    edges.add_nodes_from(node.id for node in graph.nodes)
    edges.add_edges_from((dependency, node.id) for node in graph.nodes for dependency in node.depends_on)
    return edges


def scenario(nodes: list[QaNode]) -> Scenario:
    """Name the shape: a chain longer than one is multi-hop, two nodes of one hop are parallel."""
    hops = [node.hop for node in nodes]
    parallel = len(set(hops)) < len(hops)
    if max(hops) == 1:
        return "ParallelSingleHop" if parallel else "SingleHop"
    return "ParallelMultiHop" if parallel else "MultiHop"
