"""Reading a task's text and a conversation as the procedural author does: by the worlds' grammar alone (SPEC 6).

The author is stateless: who plays or judges a turn knows the server's world, the text and the messages, never a label.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from astra_jobs.authors.base import AuthorCannot
from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.tool import Server
from astra_jobs.worlds.questions import FORMS, Branch, WorldQuestion, ask, spoken
from astra_jobs.worlds.world import World, make_world, offering

_PHRASE = re.compile(r"((?:the \w+ and )*the \w+)((?: of the \w+)*) of (\w+) ([a-z][0-9]{2})\b")
_SENTENCE = re.compile(r"^(.*?)(What is|Find|Tell me|Look up) (the .+)[?.]$", re.DOTALL)
_IDENTIFIER = re.compile(r"\b[a-z][0-9]{2}\b")
_STATEMENT = re.compile(r"[Tt]he (\w+) is (.+)", re.DOTALL)
CallKey = tuple[str, str]


def world_of(server: Server) -> World:
    """Return the world behind a server, with the tools that the server offers; AuthorCannot when no world stands behind it."""
    if server.world is None:
        raise AuthorCannot(f"{server.name} is no procedural server")
    return offering(make_world(server.world.seed, server.world.worlds), tuple(tool.name for tool in server.tools))


@lru_cache(maxsize=16384)
def understand(world: World, text: str) -> WorldQuestion | None:
    """Return what a text asks of a world, or None when it cannot be planned."""
    branches: list[Branch] = []
    for heads, places, entity, start in _PHRASE.findall(text):
        path = list(reversed(places.split(" of the ")[1:]))
        for head in heads.removeprefix("the ").split(" and the "):
            chain = _chain(world, entity, [*path, head])
            if chain is None or start not in world.ids[entity]:
                return None
            branches.append(Branch(start, chain))
    return ask(world, branches, FORMS[0]) if branches else None


def _chain(world: World, entity: str, attributes: Sequence[str]) -> tuple[str, ...] | None:
    """Return the tools that lead from an entity over attributes; every one but the last must be a link."""
    chain = []
    for attribute in attributes:
        name = f"{entity}_{attribute}"
        if name not in world:
            return None
        chain.append(name)
        entity = attribute
    return tuple(chain)


def split_task(text: str) -> tuple[str, str] | None:
    """Return what stands before a task's sentence and the noun phrase that it asks for."""
    found = _SENTENCE.match(text)
    return (found[1], found[3]) if found else None


def identifiers(text: str) -> set[str]:
    """Return the identifiers in a text."""
    return set(_IDENTIFIER.findall(text))


def key_of(name: str, arguments: dict[str, Any]) -> CallKey:
    """Return what makes two calls the same."""
    return name, json.dumps(arguments, sort_keys=True)


def oracle_keys(question: WorldQuestion) -> list[CallKey]:
    """Return the needed calls in the order of the nodes."""
    return [key_of(call.tool, call.arguments) for call in question.oracle]


@dataclass(frozen=True)
class Outcome:
    """A call with what the conversation shows of its result: a value, or None for an error or a fault."""

    key: CallKey
    call: ToolCall
    value: dict[str, Any] | None


@dataclass
class Reading:
    """A conversation in rounds; a round is an assistant turn with calls. ``closing`` is the last message without calls."""

    rounds: list[list[Outcome]] = field(default_factory=list)
    closing: str | None = None

    @property
    def outcomes(self) -> list[Outcome]:
        """All calls in order."""
        return [outcome for calls in self.rounds for outcome in calls]


def read(messages: Sequence[Message]) -> Reading:
    """Read the messages after the task."""
    reading = Reading()
    index = 1
    while index < len(messages):
        message = messages[index]
        index += 1
        if message.role != "assistant":
            continue
        if not message.tool_calls:
            reading.closing = message.content
            continue
        results = messages[index : index + len(message.tool_calls)]
        reading.rounds.append(
            [
                Outcome(key_of(call.name, call.arguments), call, value_in(result.content))
                for call, result in zip(message.tool_calls, results, strict=False)
            ]
        )
        index += len(results)
    return reading


def value_in(text: str) -> dict[str, Any] | None:
    """Return the object that a tool's text holds, or None for an error, a fault or what is cut off."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "error" not in value else None


def say(world: World, calls: Sequence[tuple[str, str]]) -> str:
    """Return the closing message that states results of calls (tool, identifier)."""
    told = " and ".join(f"the {world.tool(tool).attribute} is {spoken(world, tool, key)}" for tool, key in calls)
    return told[0].upper() + told[1:] + "."


def statements(text: str) -> list[tuple[str, str]]:
    """Return what a closing message states, as (attribute, value)."""
    found = [_STATEMENT.fullmatch(part) for part in text.removesuffix(".").replace(" and the ", "\nthe ").split("\n")]
    return [(match[1], match[2]) for match in found if match]


def value_said(value: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the statements that a result allows: each field with its value as a closing message would say it."""
    unit = f" {value['unit']}" if "unit" in value else ""
    return [
        (name, (", ".join(map(str, item)) if isinstance(item, list) else str(item)) + unit)
        for name, item in value.items()
        if name != "unit"
    ]
