"""Decompositions: the world's own question graph, or one with a planted defect."""

import random
from collections.abc import Callable, Sequence

from astra_jobs.authors.env_requests import Origin
from astra_jobs.authors.procedural_envs.plan import Plan, ends, known_question, world_of
from astra_jobs.records.environment import Answer, QaGraph, QaNode
from astra_jobs.worlds.graph import scenario_of


def levelled(question: str, nodes: Sequence[QaNode]) -> QaGraph:
    """Return a graph whose hops, parallel flags and scenario follow from its (acyclic) dependencies."""
    hops: dict[int, int] = {}
    while len(hops) < len(nodes):
        for node in nodes:
            if all(dependency in hops for dependency in node.depends_on):
                hops[node.id] = 1 + max((hops[dependency] for dependency in node.depends_on), default=0)
    shared = list(hops.values())
    placed = [node.model_copy(update={"hop": hops[node.id], "parallel": shared.count(hops[node.id]) > 1}) for node in nodes]
    return QaGraph(question=question, nodes=placed, scenario=scenario_of(placed))


def graph_for(origin: Origin, plan: Plan) -> QaGraph:
    """Return the graph that the author claims for a question."""
    graph = known_question(origin).graph
    if plan.defect == "brokenStructure":
        return _choose(plan, BROKEN)(graph, plan.rng())
    if plan.defect == "needlessDependency":
        return needless(graph, plan.rng())
    if plan.defect == "poorDecomposition":
        kinds = [compound]
        if known_other_rows(origin):
            kinds.append(lambda graph, rng: padded(graph, rng, origin))
        if len({node.hop for node in graph.nodes}) > 1:
            kinds += [unlinked, unfinished]
        return _choose(plan, kinds)(graph, plan.rng())
    return graph


Spoil = Callable[[QaGraph, random.Random], QaGraph]


def _choose(plan: Plan, kinds: Sequence[Spoil]) -> Spoil:
    return plan.rng().choice(kinds)


def _last(graph: QaGraph, **update: object) -> QaGraph:
    return graph.model_copy(update={"nodes": [*graph.nodes[:-1], graph.nodes[-1].model_copy(update=update)]})


def cyclic(graph: QaGraph, rng: random.Random) -> QaGraph:
    """Let the first node depend on the last one."""
    first, last = graph.nodes[0], graph.nodes[-1]
    spoilt = first.model_copy(update={"depends_on": sorted({*first.depends_on, last.id})})
    rest = [
        node.model_copy(update={"depends_on": sorted({*node.depends_on, first.id})}) if node.id == last.id else node
        for node in graph.nodes[1:]
    ]
    return graph.model_copy(update={"nodes": [spoilt, *rest]})


def gapped(graph: QaGraph, rng: random.Random) -> QaGraph:
    """Skip a number before the last node."""
    return _last(graph, id=graph.nodes[-1].id + 1)


def raised(graph: QaGraph, rng: random.Random) -> QaGraph:
    """Put the last node one hop too high."""
    return _last(graph, hop=graph.nodes[-1].hop + 1)


def mislabelled(graph: QaGraph, rng: random.Random) -> QaGraph:
    """Give the graph the name of another shape."""
    others = [name for name in ("SingleHop", "ParallelSingleHop", "MultiHop", "ParallelMultiHop") if name != graph.scenario]
    return graph.model_copy(update={"scenario": rng.choice(others)})


BROKEN: tuple[Spoil, ...] = (cyclic, gapped, raised, mislabelled)


def needless(graph: QaGraph, rng: random.Random) -> QaGraph:
    """Let the last node depend on a sum that nobody needs a tool for."""
    first, second = rng.randint(2, 9), rng.randint(2, 9)
    extra = QaNode(
        id=len(graph.nodes) + 1,
        hop=1,
        question=f"What is {first} plus {second}?",
        answer=Answer(kind="number", value=first + second),
    )
    last = graph.nodes[-1]
    nodes = [*graph.nodes[:-1], last.model_copy(update={"depends_on": [*last.depends_on, extra.id]}), extra]
    return levelled(graph.question, nodes)


def compound(graph: QaGraph, rng: random.Random) -> QaGraph:
    """Ask two things in each sub-question: breaks atomicity."""
    nodes = [node.model_copy(update={"question": f"{node.question[:-1]}, and how did it change?"}) for node in graph.nodes]
    return graph.model_copy(update={"nodes": nodes})


def unlinked(graph: QaGraph, rng: random.Random) -> QaGraph:
    """Leave out every dependency: breaks dependency consistency."""
    return levelled(graph.question, [node.model_copy(update={"depends_on": []}) for node in graph.nodes])


def unfinished(graph: QaGraph, rng: random.Random) -> QaGraph:
    """Leave out the last thing that was asked for: breaks completeness."""
    lost = ends(graph)[-1].id
    kept = [node for node in graph.nodes if node.id != lost]
    number = {node.id: index for index, node in enumerate(kept, start=1)}
    renumbered = [node.model_copy(update={"id": number[node.id], "depends_on": [number[one] for one in node.depends_on]}) for node in kept]
    return levelled(graph.question, renumbered)


def known_other_rows(origin: Origin) -> list[tuple[str, str]]:
    """Return (tool, id) of rows that the question does not ask for."""
    used = {(call.tool, str(value)) for call in known_question(origin).oracle for value in call.arguments.values()}
    return [(tool.name, key) for tool in world_of(origin).tools for key in tool.data if (tool.name, key) not in used]


def padded(graph: QaGraph, rng: random.Random, origin: Origin) -> QaGraph:
    """Add as many steps that lead nowhere: breaks sequential rationality."""
    rows = known_other_rows(origin)
    chosen = rng.sample(rows, min(len(rows), len(graph.nodes)))
    nodes = list(graph.nodes)
    for name, key in chosen:
        tool = world_of(origin).tool(name)
        question = f"What is the {tool.attribute} of {tool.entity} {key}?"
        nodes.append(QaNode(id=len(nodes) + 1, hop=1, question=question, answer=tool.answer(key)))
    return levelled(graph.question, nodes)
