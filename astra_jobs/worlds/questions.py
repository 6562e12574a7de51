"""Questions about a world, with what solves them: question graph, oracle calls, typed targets, closing message (SPEC 6).

A question names one row by its id and asks for what a chain of tools leads to: "What is the depth of the port of ship
k27?". Several chains in one question are independent branches. The id at the start is the only value in the text, so
the answer can be had through the chain alone. Every node of the graph is a target, the ones on the way too.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from astra_jobs.records.environment import OracleCall, QaGraph, QaNode, Target
from astra_jobs.worlds.graph import Chain, chains_of, connected, scenario_of
from astra_jobs.worlds.world import World

FORMS = ("What is {0}?", "Find {0}.", "Tell me {0}.", "Look up {0}.")
"""Sentences around the phrase of a question."""


@dataclass(frozen=True)
class WorldQuestion:
    """A question and its solution; oracle calls and targets are in the order of the nodes, hop by hop."""

    text: str
    graph: QaGraph
    oracle: tuple[OracleCall, ...]
    targets: tuple[Target, ...]
    final_answer: str


@dataclass(frozen=True)
class Branch:
    """A chain of tools and the id that its first tool is called with."""

    start: str
    chain: Chain


@dataclass
class _Step:
    """A node in the making; equal steps of several branches are one node."""

    tool: str
    argument: str
    hop: int
    before: "_Step | None"
    id: int = 0


def draw_question(world: World, rng: random.Random) -> WorldQuestion:
    """Draw a question: ``params.parallel`` of them have two branches; hop counts are uniform up to ``params.max_hops``.

    The longest branch has the drawn hop count, the other one at most that.
    """
    levels = chains_of(world)
    hops = rng.randint(1, world.params.max_hops)
    first = rng.choice(levels[hops])
    if rng.random() >= world.params.parallel:
        question = question_for(world, [first], rng)
    else:
        question = question_for(world, [first, rng.choice(levels[rng.randint(1, hops)])], rng)
    assert question is not None, "a drawn chain is connected and two rows are enough for two branches"
    return question


def question_for(world: World, chains: Sequence[Sequence[str]], rng: random.Random) -> WorldQuestion | None:
    """Ask for what the given chains lead to, one chain a branch; None when a chain is broken or no rows are left.

    Branches of which none continues or equals another start at the same row half of the time, where their types agree.
    """
    if not chains or not all(connected(world, chain) for chain in chains):
        return None
    branches: list[Branch] = []
    for chain in chains:
        branch = _branch(world, tuple(chain), branches, rng)
        if branch is None:
            return None
        branches.append(branch)
    return ask(world, branches, rng.choice(FORMS))


def _branch(world: World, chain: Chain, taken: Sequence[Branch], rng: random.Random) -> Branch | None:
    """Draw the row that a branch starts from, so that no branch lies inside another one or gives its ids away."""
    entity = world.tool(chain[0]).entity
    alike = [branch for branch in taken if world.tool(branch.chain[0]).entity == entity]
    if alike and rng.random() < 0.5 and not any(_nested(chain, branch.chain) for branch in alike):
        return Branch(alike[0].start, chain)
    used = {key for branch in taken for key in ids_on(world, branch)}
    free = [branch for key in world.ids[entity] if used.isdisjoint(ids_on(world, branch := Branch(key, chain)))]
    return rng.choice(free) if free else None


def ids_on(world: World, branch: Branch) -> list[str]:
    """Return the identifiers that a branch meets: the start, what each link returns, the last one too if it is an id."""
    ids = [branch.start]
    for name in branch.chain:
        if world.tool(name).linked:
            ids.append(world.tool(name).data[ids[-1]])
    return ids


def _nested(one: Chain, other: Chain) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def ask(world: World, branches: Sequence[Branch], form: str) -> WorldQuestion:
    """Build the question about given branches; a pure function of its arguments."""
    ends, steps = _steps(world, branches)
    nodes = [_node(world, step, steps) for step in steps]
    text = form.format(_phrases(world, branches))
    oracle = tuple(OracleCall(node=step.id, tool=step.tool, arguments=_arguments(world, step)) for step in steps)
    targets = tuple(
        Target(node=step.id, tool=step.tool, answer=node.answer, answer_path=world.tool(step.tool).answer_path)
        for step, node in zip(steps, nodes, strict=True)
    )
    told = " and ".join(f"the {world.tool(step.tool).attribute} is {spoken(world, step.tool, step.argument)}" for step in ends)
    graph = QaGraph(question=text, nodes=nodes, scenario=scenario_of(nodes))
    return WorldQuestion(text, graph, oracle, targets, told[0].upper() + told[1:] + ".")


def _steps(world: World, branches: Sequence[Branch]) -> tuple[list[_Step], list[_Step]]:
    """Return the last step of each branch, and all steps numbered by hop, then by branch."""
    steps: dict[tuple[str, str], _Step] = {}
    ends = []
    for branch in branches:
        before, key = None, branch.start
        for hop, name in enumerate(branch.chain, start=1):
            before = steps.setdefault((name, key), _Step(name, key, hop, before))
            key = world.tool(name).data[key]
        assert before is not None, "chains are not empty"
        ends.append(before)
    ordered = sorted(steps.values(), key=lambda step: step.hop)
    for number, step in enumerate(ordered, start=1):
        step.id = number
    return ends, ordered


def _arguments(world: World, step: _Step) -> dict[str, Any]:
    return {world.tool(step.tool).argument: step.argument}


def _node(world: World, step: _Step, steps: Sequence[_Step]) -> QaNode:
    tool = world.tool(step.tool)
    place = f"{tool.entity} {step.argument}" if step.before is None else f"the {tool.entity} found in step {step.before.id}"
    return QaNode(
        id=step.id,
        hop=step.hop,
        question=f"What is the {tool.attribute} of {place}?",
        answer=tool.answer(step.argument),
        depends_on=[] if step.before is None else [step.before.id],
        parallel=sum(other.hop == step.hop for other in steps) > 1,
    )


def spoken(world: World, tool: str, key: str) -> str:
    """Return a value as the closing message says it: lists joined by commas, numbers with their unit."""
    held = world.tool(tool)
    value = held.data[key]
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value} {held.unit}" if held.unit else str(value)


def _phrases(world: World, branches: Sequence[Branch]) -> str:
    """Return the noun phrases of all branches; branches that part at their last tool share the rest of the phrase."""
    first = branches[0]
    last = [f"the {world.tool(branch.chain[-1]).attribute}" for branch in branches]
    if all((branch.start, branch.chain[:-1]) == (first.start, first.chain[:-1]) for branch in branches):
        return " and ".join(last) + _rest(world, first)
    return " and ".join(ending + _rest(world, branch) for ending, branch in zip(last, branches, strict=True))


def _rest(world: World, branch: Branch) -> str:
    """Return ' of the port of ship k27': what stands behind the attribute of a branch's last tool."""
    places = [f" of the {world.tool(name).attribute}" for name in reversed(branch.chain[:-1])]
    return "".join(places) + f" of {world.tool(branch.chain[0]).entity} {branch.start}"
