"""Back-translation compared as a graph: independent calls may swap (SPEC 2.4).

The authors' code compares tool lists for equality, which throws away every valid reordering of independent calls.
"""

from collections.abc import Sequence

import networkx as nx

from astra_jobs.authors.chain_requests import PlannedCall


def plan_of_chain(chain: Sequence[str]) -> list[PlannedCall]:
    """Return the plan of a chain: each call takes data of the call before it."""
    return [PlannedCall(tool=tool, needs=[index - 1] if index else []) for index, tool in enumerate(chain)]


def same_plan(first: Sequence[PlannedCall], second: Sequence[PlannedCall]) -> bool:
    """Tell whether two plans are one labelled graph up to the order of calls. A plan that is no graph equals nothing."""
    graphs = [_graph(plan) for plan in (first, second)]
    if graphs[0] is None or graphs[1] is None:
        return False
    if sorted(call.tool for call in first) != sorted(call.tool for call in second):
        return False
    return bool(nx.is_isomorphic(graphs[0], graphs[1], node_match=lambda left, right: left["tool"] == right["tool"]))


def _graph(plan: Sequence[PlannedCall]) -> "nx.DiGraph[int] | None":
    graph: nx.DiGraph[int] = nx.DiGraph()
    for index, call in enumerate(plan):
        graph.add_node(index, tool=call.tool)
    for index, call in enumerate(plan):
        if any(not 0 <= need < len(plan) for need in call.needs):
            return None
        graph.add_edges_from((need, index) for need in call.needs)
    return graph if nx.is_directed_acyclic_graph(graph) else None
