"""The necessity gate and the four scores of a decomposition (SPEC 3.2, 3.3).

A verdict that is missing, or that does not fit the graph, is unscored and drops the instance. In the authors' code
every failing judge gives 1, and keeping the best tenth by score then gathers the failures.
"""

from statistics import fmean

from astra_jobs.authors.base import Author
from astra_jobs.authors.env_requests import AXES, Axis, JudgeNecessity, Origin, ScoreGraph
from astra_jobs.envs.funnel import Refused
from astra_jobs.records.environment import QaGraph
from astra_jobs.records.funnel import UNSCORED

FIELDS: dict[Axis, str] = {
    "DependencyConsistency": "dependencyConsistency",
    "Atomicity": "atomicity",
    "SequentialRationality": "sequentialRationality",
    "Completeness": "completeness",
}


async def gate_necessity(author: Author, graph: QaGraph) -> QaGraph:
    """Return the graph with the judge's ``needs_tool``; Refused when others depend on a node that needs none."""
    needed = (await author.answer(JudgeNecessity(graph=graph))).needed
    if needed is None or len(needed) != len(graph.nodes):
        raise Refused("necessity", UNSCORED, "no verdict for each node")
    used = {dependency for node in graph.nodes for dependency in node.depends_on}
    needless = [node.id for node, needs in zip(graph.nodes, needed, strict=True) if not needs and node.id in used]
    if needless:
        raise Refused("necessity", "DependsOnToolFree", f"others depend on node {needless[0]}, which needs no tool")
    if not any(needed):
        raise Refused("necessity", "NoToolNeeded", "no node needs a tool")
    nodes = [node.model_copy(update={"needs_tool": needs}) for node, needs in zip(graph.nodes, needed, strict=True)]
    return graph.model_copy(update={"nodes": nodes})


async def score(author: Author, graph: QaGraph, origin: Origin, least: float) -> dict[str, float]:
    """Return the four scores and their mean ``quality``; Refused below ``least`` or when one is unscored."""
    scores: dict[str, float] = {}
    for axis in AXES:
        passes = (await author.answer(ScoreGraph(axis=axis, graph=graph, origin=origin))).passes
        if passes is None or len(passes) != (1 if axis == "Completeness" else len(graph.nodes)):
            raise Refused("quality", UNSCORED, f"no verdict on {FIELDS[axis]}")
        scores[FIELDS[axis]] = fmean(passes)
    quality = fmean(scores.values())
    if quality < least:
        worst = min(scores, key=lambda name: scores[name])
        raise Refused("quality", worst[0].upper() + worst[1:], f"{quality:.3f} is below {least:g}")
    return {**scores, "quality": quality}
