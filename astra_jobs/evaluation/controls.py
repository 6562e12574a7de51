"""Two policies without weights, played through the same renderer, loop and sandbox as a model.

``oracle`` makes the calls that solve the environment: it must earn 1.0, or the environments are broken.
``randomArgument`` knows the form and nothing else: as many calls in as many turns as the oracle, each of a random tool
in scope with an argument that looks valid (one that some held-out environment's oracle uses for a like parameter).
"""

import random
from collections.abc import Sequence
from typing import Any

from astra_jobs.api.base import canonical, digest_of
from astra_jobs.model import chatform
from astra_jobs.model.generation.base import OnTurn, Sampling, Trajectory
from astra_jobs.model.generation.scripted import ScriptedEngine
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.environment import Environment, OracleCall
from astra_jobs.schemas import listed


class ControlEngine:
    """Plays fixed messages for the environments, whose order the prompts follow."""

    def __init__(self, renderer: Renderer, scripts: Sequence[Sequence[Message]]) -> None:
        turns = [[renderer.encode(chatform.turn(message)) for message in script] for script in scripts]
        self._engine = ScriptedEngine(lambda row, turn, so_far: turns[row][turn], logprob=0.0)

    async def generate(
        self, prompts: Sequence[list[int]], on_turn: OnTurn, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[Trajectory]:
        """Run one episode for each prompt (see ``Engine``)."""
        return await self._engine.generate(prompts, on_turn, sampling, keys)


def oracle_script(environment: Environment) -> list[Message]:
    """Return the oracle's turns: the calls of each hop together, then the final answer."""
    turns = [Message(role="assistant", tool_calls=[_call(call) for call in calls]) for calls in _by_hop(environment)]
    return [*turns, Message(role="assistant", content=environment.final_answer)]


def random_script(environment: Environment, pool: Sequence[Any]) -> list[Message]:
    """Return as many calls as the oracle makes, of random tools in scope with random values of ``pool`` that fit by type."""
    stream = random.Random(digest_of(["randomArgument", environment.id]))
    tools = [entry.tool for entry in environment.tools if entry.band is None]
    turns = []
    for calls in _by_hop(environment):
        chosen = [stream.choice(tools) for _ in calls]
        turns.append(
            Message(
                role="assistant",
                tool_calls=[ToolCall(name=tool.name, arguments=_arguments(tool.parameters, pool, stream)) for tool in chosen],
            )
        )
    return [*turns, Message(role="assistant", content=str(stream.choice(pool)))]


def argument_pool(environments: Sequence[Environment]) -> list[Any]:
    """Return every value that an oracle passes as an argument, each once, in a fixed order."""
    values = {canonical(value): value for entry in environments for call in entry.oracle for value in call.arguments.values()}
    return [values[key] for key in sorted(values)]


def _arguments(schema: dict[str, Any], pool: Sequence[Any], stream: random.Random) -> dict[str, Any]:
    found = listed(schema)
    names = found.required if "required" in schema else found.properties
    return {name: _value(found.properties[name], pool, stream) for name in names}


def _value(schema: dict[str, Any], pool: Sequence[Any], stream: random.Random) -> Any:
    if schema.get("enum"):
        return stream.choice(schema["enum"])
    types = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
    wanted = types.get(str(schema.get("type")), (str,))
    fitting = [value for value in pool if isinstance(value, wanted)]
    return stream.choice(fitting or list(pool))


def _call(call: OracleCall) -> ToolCall:
    return ToolCall(name=call.tool, arguments=call.arguments)


def _by_hop(environment: Environment) -> list[list[OracleCall]]:
    hops = {node.id: node.hop for node in environment.graph.nodes}
    found: dict[int, list[OracleCall]] = {}
    for call in environment.oracle:
        found.setdefault(hops[call.node], []).append(call)
    return [found[hop] for hop in sorted(found)]
