"""Chains of the procedural author: proposed, sketched as tasks, judged and planned (SPEC 2.1 and 2.4)."""

import random
from collections.abc import Sequence

from astra_jobs.authors.chain_requests import (
    ChainVerdict,
    GivenArgument,
    JudgeChain,
    PlannedCall,
    PlanTask,
    ProposedChain,
    ProposedChains,
    SketchTask,
    TaskPlan,
    TaskSketch,
)
from astra_jobs.authors.procedural_chains.reading import identifiers, understand
from astra_jobs.worlds.graph import Chain, chains_of
from astra_jobs.worlds.questions import FORMS, Branch, ask
from astra_jobs.worlds.world import World

MOST_CHAINS = 10
UNKNOWN_TOOL = "oracle_everything"


def feeder(world: World, chain: Sequence[str], index: int) -> int | None:
    """Return the latest earlier tool of a chain whose result a tool takes, or None."""
    argument = world.tool(chain[index]).argument
    for earlier in range(index - 1, -1, -1):
        tool = world.tool(chain[earlier])
        if tool.linked and tool.attribute == argument:
            return earlier
    return None


def roots(world: World, chain: Sequence[str]) -> list[int]:
    """Return the places in a chain that take nothing of an earlier call; a sound chain has one, its first."""
    return [index for index in range(len(chain)) if feeder(world, chain, index) is None]


def propose(world: World, rng: random.Random, rates: tuple[float, float]) -> ProposedChains:
    """Return chains along true links; at the given rates one with an unknown tool, or with a pair that is no link."""
    known = [chain for level in chains_of(world)[1:] for chain in level]
    kept = sorted(rng.sample(known, min(MOST_CHAINS, len(known))))
    chains = []
    for chain in kept:
        chains.append(ProposedChain(tools=list(chain), task=_question(world, [Branch(_start(world, chain, rng), chain)], rng)))
        point = rng.random()
        if point < rates[0]:
            tools = [*chain[:1], UNKNOWN_TOOL, *chain[1:]]
            chains.append(ProposedChain(tools=tools, task=chains[-1].task, labels={"defect": "unknownTool"}))
        elif point < rates[0] + rates[1]:
            wrong = [tool.name for tool in world.tools if tool.name not in chain and len(roots(world, [*chain, tool.name])) > 1]
            if wrong:
                tools = [*chain, rng.choice(wrong)]
                chains.append(ProposedChain(tools=tools, task=chains[-1].task, labels={"defect": "wrongChain"}))
    return ProposedChains(chains=chains)


def sketch(request: SketchTask, world: World, rng: random.Random, misleading: float) -> TaskSketch:
    """Describe a chain by a task. A chain with several roots is a defect; so is, at a rate, a task for other calls."""
    chain = request.chain
    starts = roots(world, chain)
    if len(starts) > 1:
        return _sketch_broken(world, chain, starts, rng)
    start = _start(world, chain, rng)
    branches = [Branch(start, path) for path in paths_of(world, chain)]
    labels: dict[str, str] = {}
    if rng.random() < misleading:
        entity = world.tool(chain[0]).entity
        others = [path for level in chains_of(world)[1:] for path in level if world.tool(path[0]).entity == entity]
        others = [path for path in others if [path] != [branch.chain for branch in branches]]
        if others:
            branches = [Branch(start, rng.choice(others))]
            labels = {"defect": "misleadingTask"}
    return TaskSketch(text=_question(world, branches, rng), given=[_given(world, chain[0], start)], labels=labels)


def _sketch_broken(world: World, chain: Sequence[str], starts: Sequence[int], rng: random.Random) -> TaskSketch:
    """Half of the chains that hang together by nothing get a task that names every start, the others only the first."""
    branches = []
    for root in starts:
        part = [root]
        for index in range(root + 1, len(chain)):
            if feeder(world, chain, index) == part[-1]:
                part.append(index)
        path = tuple(chain[index] for index in part)
        branches.append(Branch(_start(world, path, rng), path))
    named = branches if rng.random() < 0.5 else branches[:1]
    given = [_given(world, branch.chain[0], branch.start) for branch in named]
    labels = {"defect": "wrongChain" if named is branches else "brokenArgument"}
    return TaskSketch(text=_question(world, named, rng), given=given, labels=labels)


def judge_chain(request: JudgeChain, world: World) -> ChainVerdict:
    """Say whether every later call takes an earlier one's data and the task names what the first one starts from."""
    late = [request.chain[index] for index in roots(world, request.chain)[1:]]
    if late:
        return ChainVerdict(valid=False, reason=f"{late[0]} takes nothing of an earlier call")
    if identifiers(request.text).isdisjoint(world.ids[world.tool(request.chain[0]).entity]):
        return ChainVerdict(valid=False, reason="the task does not say where to start")
    return ChainVerdict(valid=True)


def plan(request: PlanTask, world: World) -> TaskPlan:
    """Read the calls that a text asks for."""
    question = understand(world, request.text)
    if question is None:
        return TaskPlan(calls=[])
    nodes = zip(question.graph.nodes, question.oracle, strict=True)
    return TaskPlan(calls=[PlannedCall(tool=call.tool, needs=[need - 1 for need in node.depends_on]) for node, call in nodes])


def paths_of(world: World, chain: Sequence[str]) -> list[Chain]:
    """Return the paths from the first tool of a sound chain to each tool that feeds no other."""
    feeders = [feeder(world, chain, index) for index in range(len(chain))]
    paths = []
    for end in range(len(chain)):
        if end in feeders:
            continue
        path: list[str] = []
        place: int | None = end
        while place is not None:
            path.insert(0, chain[place])
            place = feeders[place]
        paths.append(tuple(path))
    return paths


def _start(world: World, chain: Sequence[str], rng: random.Random) -> str:
    return rng.choice(world.ids[world.tool(chain[0]).entity])


def _given(world: World, tool: str, value: str) -> GivenArgument:
    return GivenArgument(tool=tool, argument=world.tool(tool).argument, value=value)


def _question(world: World, branches: Sequence[Branch], rng: random.Random) -> str:
    return ask(world, branches, rng.choice(FORMS)).text
