"""What the procedural author knows of a question, and which defect it plants in it.

Everything follows from the question's origin, so that the requests of one instance, which come one by one and in any
process, are answered by one plan. A question carries at most one defect.
"""

import random
from dataclasses import dataclass
from functools import lru_cache

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.api.v1alpha1.author import EnvDefects
from astra_jobs.authors.base import AuthorCannot
from astra_jobs.authors.env_requests import Origin
from astra_jobs.records.environment import QaGraph, QaNode
from astra_jobs.worlds.questions import WorldQuestion, draw_question
from astra_jobs.worlds.world import World, WorldTool, make_world

DEFECTS: dict[str, str] = {
    "brokenStructure": "broken_structure",
    "needlessDependency": "needless_dependency",
    "poorDecomposition": "poor_decomposition",
    "badCall": "bad_call",
    "forbiddenCode": "forbidden_code",
    "runawayTool": "runaway_tool",
    "unstableTool": "unstable_tool",
    "wrongAnswer": "wrong_answer",
    "echoingTool": "echoing_tool",
    "ambiguousData": "ambiguous_data",
}
"""Label of each defect → field of its rate."""


@lru_cache(maxsize=1024)
def drawn(world: World, draw: int) -> WorldQuestion:
    """Return the question that a seed draws in a world."""
    return draw_question(world, random.Random(draw))


def world_of(origin: Origin) -> World:
    """Return the world that a question came from."""
    return make_world(origin.world.seed, origin.world.worlds)


def known_question(origin: Origin) -> WorldQuestion:
    """Return the clean question and solution behind an origin."""
    return drawn(world_of(origin), origin.draw)


@dataclass(frozen=True)
class Plan:
    """The defect of a question, the node whose tool gets it, and the stream that chooses among its kinds."""

    defect: str
    node: int
    seed: str

    def rng(self) -> random.Random:
        """Return the stream of this plan's choices, from its start."""
        return random.Random(self.seed)


def check_rates(rates: EnvDefects) -> None:
    """Raise BadInput when the rates add up to more than one, because a question carries one defect at most."""
    total = sum(getattr(rates, field) for field in DEFECTS.values())
    if total > 1:
        raise BadInput("author.procedural.defects", "BadInput", f"the rates add up to {total:g}; make them 1 or less in all")


def plan_of(origin: Origin, rates: EnvDefects) -> Plan:
    """Draw the defect of a question; an empty name is none."""
    seed = digest_of(["defect", origin.world.seed, origin.draw])
    rng = random.Random(seed)
    roll, node = rng.random(), rng.choice(known_question(origin).graph.nodes).id
    for label, field in DEFECTS.items():
        roll -= getattr(rates, field)
        if roll < 0:
            return Plan(label, node, seed + label)
    return Plan("", node, seed)


def known_node(origin: Origin, node: QaNode) -> QaNode:
    """Return the clean node that a sub-question is; AuthorCannot when this author did not ask it."""
    for known in known_question(origin).graph.nodes:
        if known.question == node.question:
            return known
    raise AuthorCannot(f"no sub-question of this author: {node.question}")


def tool_of(origin: Origin, node: QaNode) -> tuple[WorldTool, str]:
    """Return the column and the row that answer a sub-question."""
    known = known_node(origin, node)
    call = next(call for call in known_question(origin).oracle if call.node == known.id)
    tool = world_of(origin).tool(call.tool)
    return tool, str(call.arguments[tool.argument])


def ends(graph: QaGraph) -> list[QaNode]:
    """Return the nodes that no other node depends on: what the main question asks for."""
    used = {dependency for node in graph.nodes for dependency in node.depends_on}
    return [node for node in graph.nodes if node.id not in used]
