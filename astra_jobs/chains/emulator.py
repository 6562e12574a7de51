"""Emulated tools: the author answers in a tool's place, with explicit state, and is checked against the schema (SPEC 2.8).

The stage keeps the conversation's state and threads it from call to call; the authors' code shows the emulating model the
last five calls as text instead, and stores what it says unparsed. A result that breaks its tool's result schema is asked
for once more; after that the conversation is dropped.
"""

from dataclasses import dataclass, field
from typing import Any

from astra_jobs.authors.base import Author
from astra_jobs.authors.chain_requests import Emulate, Emulated
from astra_jobs.records.conversation import ToolCall
from astra_jobs.records.tool import Server, Tool
from astra_jobs.schemas import value_check

ATTEMPTS = 2


class OffSchema(Exception):
    """The emulator did not give a result of the declared form."""

    def __init__(self, tool: str, labels: dict[str, str]) -> None:
        super().__init__(tool)
        self.tool = tool
        self.labels = labels


@dataclass
class Emulator:
    """The tools of one conversation. ``state`` is what they remember."""

    server: Server
    conversation: str
    author: Author
    state: dict[str, Any] = field(default_factory=dict)

    async def call(self, tool: Tool, call: ToolCall) -> Emulated:
        """Return a value that keeps the tool's result schema, or an error of the tool's own; raise OffSchema."""
        answer: Emulated | None = None
        for attempt in range(ATTEMPTS):
            answer = await self.author.answer(
                Emulate(server=self.server, conversation=self.conversation, state=self.state, call=call, attempt=attempt)
            )
            if answer.error is not None or _valid(tool.returns, answer.value):
                self.state = answer.state
                return answer
        raise OffSchema(tool.name, dict(answer.labels) if answer else {})


def _valid(schema: dict[str, Any] | None, value: Any) -> bool:
    return schema is None or value_check(schema).accepts(value)
