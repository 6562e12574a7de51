"""Verdicts of the procedural author: it reads the sub-questions by their grammar and knows what the main one asks.

It never sees labels. What it cannot read it does not pass.
"""

import re

from astra_jobs.api.base import canonical
from astra_jobs.authors.env_requests import Axis, Origin
from astra_jobs.authors.procedural_envs.plan import ends, known_question
from astra_jobs.records.environment import QaGraph, QaNode

_SUM = re.compile(r"What is \d+ plus \d+\?")
_LOOKUP = re.compile(r"What is the (\w+) of (?:\w+ [a-z]\d\d|the \w+ found in step \d+)\?")
_STEP = re.compile(r"found in step (\d+)")


def necessity(graph: QaGraph) -> list[bool]:
    """Tell for each node whether it needs a tool: small sums do not."""
    return [_SUM.fullmatch(node.question) is None for node in graph.nodes]


def verdicts(axis: Axis, graph: QaGraph, origin: Origin) -> list[bool]:
    """Judge one axis: one verdict a node, or one in all for completeness."""
    if axis == "DependencyConsistency":
        return [set(node.depends_on) == {int(step) for step in _STEP.findall(node.question)} for node in graph.nodes]
    if axis == "Atomicity":
        return [_LOOKUP.fullmatch(node.question) is not None for node in graph.nodes]
    asked = {_meaning(node) for node in ends(known_question(origin).graph)}
    if axis == "SequentialRationality":
        last = {node.id for node in ends(graph)}
        return [node.id not in last or _meaning(node) in asked for node in graph.nodes]
    return [asked <= {_meaning(node) for node in graph.nodes}]


def _meaning(node: QaNode) -> tuple[str, bytes]:
    """Return the attribute that a node asks for with its answer: two nodes of one meaning tell the same."""
    found = re.search(r"What is the (\w+) of", node.question)
    return (found[1] if found else node.question, canonical(node.answer.to_dict()))
