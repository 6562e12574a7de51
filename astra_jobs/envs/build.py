"""Making a tool for each sub-question that needs one (SPEC 3.4): specification, scaling, call, Python.

Each step is one typed request. Scaling may add optional parameters and enumeration values; what it breaks is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from astra_jobs.authors.base import Author
from astra_jobs.authors.env_requests import ImplementTool, NodeContext, Origin, ScaleTool, SpecifyTool, WriteCall
from astra_jobs.envs.funnel import Refused
from astra_jobs.envs.statement import read_call
from astra_jobs.records.environment import QaGraph
from astra_jobs.records.tool import Tool


@dataclass(frozen=True)
class Draft:
    """A node's tool before it is proven: Python, the call that answers, other valid arguments, where the answer is."""

    context: NodeContext
    tool: Tool
    code: str
    arguments: dict[str, Any]
    answer_path: str
    others: tuple[dict[str, Any], ...]


def contexts(graph: QaGraph, origin: Origin) -> list[NodeContext]:
    """Return the nodes that need a tool, with their direct dependencies."""
    nodes = {node.id: node for node in graph.nodes}
    return [
        NodeContext(node=node, dependencies=[nodes[dependency] for dependency in node.depends_on], origin=origin)
        for node in graph.nodes
        if node.needs_tool
    ]


async def build(author: Author, graph: QaGraph, origin: Origin, labels: dict[str, str]) -> list[Draft]:
    """Return a draft for each node that needs a tool; what the author planted is added to ``labels``."""
    drafts: list[Draft] = []
    for context in contexts(graph, origin):
        specified = (await author.answer(SpecifyTool(context=context, taken=[draft.tool.name for draft in drafts]))).tool
        if specified.name in {draft.tool.name for draft in drafts}:
            raise Refused("callStatement", "NameTaken", specified.name)
        tool = (await author.answer(ScaleTool(tool=specified))).tool
        check_compatible(specified, tool)
        written = await author.answer(WriteCall(context=context, tool=tool))
        labels.update(written.labels)
        arguments = read_call(written.statement, tool)
        made = await author.answer(ImplementTool(context=context, tool=tool, arguments=arguments))
        labels.update(made.labels)
        others = tuple(other for other in made.others if other != arguments)
        drafts.append(Draft(context, tool, made.code, arguments, made.answer_path, others))
    return drafts


def check_compatible(old: Tool, new: Tool) -> None:
    """Raise Refused unless every call of the old document fits the new one."""
    before, after = old.parameters.get("properties", {}), new.parameters.get("properties", {})
    required = set(new.parameters.get("required", []))
    if new.name != old.name or not set(before) <= set(after) or not required <= set(old.parameters.get("required", [])):
        raise Refused("callStatement", "NotBackwardCompatible", new.name)
    for name, schema in before.items():
        if not _wider(schema, after[name]):
            raise Refused("callStatement", "NotBackwardCompatible", f"{new.name}.{name}")


def _wider(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    if old.get("type") != new.get("type"):
        return False
    return "enum" not in new or ("enum" in old and set(map(str, old["enum"])) <= set(map(str, new["enum"])))
