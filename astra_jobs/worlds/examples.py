"""Perfect demonstrations straight from a world, for tests and for first tries at tokenizers and training.

ChainSynthesis makes the conversations that models are really trained on; these have no defects, faults or judges.
"""

import random

from astra_jobs.api.base import canonical, digest_of
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.records.conversation import CallRecord, Conversation, Message, ToolCall
from astra_jobs.records.environment import OracleCall
from astra_jobs.worlds.questions import WorldQuestion, draw_question
from astra_jobs.worlds.world import World, make_world


def conversation(seed: int, params: ProceduralWorlds, number: int = 0, most_distractors: int = 3) -> Conversation:
    """Return the ``number``-th perfect conversation in the world of a seed.

    The tools offered are those of the oracle and one to ``most_distractors`` others of the same world, shuffled. Calls
    of one hop stand together in one assistant message.
    """
    world = make_world(seed, params)
    rng = random.Random(digest_of(["example", seed, params.to_dict(), number]))
    question = draw_question(world, rng)
    messages, calls = _solve(world, question)
    return Conversation(
        id=f"example-{seed}-{number}",
        server=f"{world.domain}-{seed}",
        tools=[world.tool(name).document() for name in offered(world, question, rng, most_distractors)],
        messages=messages,
        calls=calls,
        labels={"origin": "procedural"},
    )


def offered(world: World, question: WorldQuestion, rng: random.Random, most: int) -> list[str]:
    """Return names of the needed tools with one to ``most`` others, shuffled; none others when ``most`` is 0."""
    needed = sorted({call.tool for call in question.oracle})
    others = [tool.name for tool in world.tools if tool.name not in needed]
    count = min(len(others), rng.randint(1, most)) if most else 0
    names = needed + rng.sample(others, count)
    rng.shuffle(names)
    return names


def _solve(world: World, question: WorldQuestion) -> tuple[list[Message], list[CallRecord]]:
    """Play the oracle hop by hop."""
    messages = [Message(role="user", content=question.text)]
    records = []
    for turn in by_hop(question):
        records += [
            CallRecord(turn=len(messages), tool=call.tool, arguments=call.arguments, status="ok", value=_value(world, call))
            for call in turn
        ]
        messages.append(Message(role="assistant", tool_calls=[ToolCall(name=call.tool, arguments=call.arguments) for call in turn]))
        messages += [Message(role="tool", name=call.tool, content=canonical(_value(world, call)).decode()) for call in turn]
    messages.append(Message(role="assistant", content=question.final_answer))
    return messages, records


def by_hop(question: WorldQuestion) -> list[list[OracleCall]]:
    """Return the oracle's calls in turns: those of one hop need nothing of each other and go out together."""
    hops = {node.id: node.hop for node in question.graph.nodes}
    turns: list[list[OracleCall]] = [[] for _ in range(max(hops.values()))]
    for call in question.oracle:
        turns[hops[call.node] - 1].append(call)
    return turns


def _value(world: World, call: OracleCall) -> object:
    return world.tool(call.tool).call(call.arguments)
