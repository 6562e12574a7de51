"""Rollout: an agent loop with native tool calls against emulated tools (paper 3.3, SPEC 2.8).

One assistant turn may hold several calls; their faults are drawn and their answers given in the order of the calls, so
that state and streams never depend on timing. A conversation that does not close within ``maxTurns`` stays open.
"""

import random
from dataclasses import dataclass, field

from astra_jobs.api.v1alpha1.chains import ChainRollout
from astra_jobs.authors.base import Author
from astra_jobs.authors.chain_requests import Act
from astra_jobs.chains.emulator import Emulator, OffSchema
from astra_jobs.chains.faults import MAX_CHARS, FaultInjector, fault_text
from astra_jobs.chains.tasks import Task
from astra_jobs.episodes.observation import error_text, result_text, unknown_tool
from astra_jobs.records.conversation import CallRecord, Message, ToolCall
from astra_jobs.records.tool import Server, Tool

MOST_OTHERS = 3


@dataclass
class Rolled:
    """A rollout and how it went."""

    tools: list[Tool]
    messages: list[Message]
    calls: list[CallRecord] = field(default_factory=list)
    closed: bool = False
    off_schema: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    faults_drawn: int = 0


def offer(server: Server, task: Task, stream: random.Random) -> list[Tool]:
    """Return the task's tools with one to three others of the server, in a seeded order."""
    needed = [tool for tool in server.tools if tool.name in task.targets]
    others = [tool for tool in server.tools if tool.name not in task.targets]
    tools = needed + stream.sample(others, min(len(others), stream.randint(1, MOST_OTHERS)))
    stream.shuffle(tools)
    return tools


@dataclass
class Rollout:
    """Plays one task."""

    server: Server
    author: Author
    settings: ChainRollout

    async def play(self, task: Task, tools: list[Tool], stream: random.Random) -> Rolled:
        """Return the conversation about a task with the tools offered; ``stream`` draws the faults."""
        rolled = Rolled(tools=tools, messages=[Message(role="user", content=task.text)], labels=dict(task.labels))
        emulator = Emulator(self.server, task.id, self.author)
        injector = FaultInjector(self.settings, stream)
        try:
            for _ in range(self.settings.max_turns):
                action = await self.author.answer(
                    Act(server=self.server, conversation=task.id, tools=tools, messages=list(rolled.messages))
                )
                rolled.labels.update(action.labels)
                rolled.messages.append(Message(role="assistant", content=action.content, tool_calls=action.tool_calls))
                if not action.tool_calls:
                    rolled.closed = True
                    break
                await _answer_calls(rolled, action.tool_calls, emulator, injector)
        except OffSchema as error:
            rolled.off_schema = error.tool
            rolled.labels.update(error.labels)
        rolled.faults_drawn = injector.drawn
        return rolled


async def _answer_calls(rolled: Rolled, calls: list[ToolCall], emulator: Emulator, injector: FaultInjector) -> None:
    turn = len(rolled.messages) - 1
    offered = {tool.name: tool for tool in rolled.tools}
    for call in calls:
        record, text = await _answer_call(call, turn, offered.get(call.name), emulator, injector)
        rolled.calls.append(record)
        rolled.messages.append(Message(role="tool", content=text, name=call.name))


async def _answer_call(call: ToolCall, turn: int, tool: Tool | None, emulator: Emulator, injector: FaultInjector) -> tuple[CallRecord, str]:
    if tool is None:
        return CallRecord(turn=turn, tool=call.name, arguments=call.arguments, status="error"), error_text(
            unknown_tool(call.name), MAX_CHARS
        )
    fault = injector.draw()
    if fault not in (None, "malformed"):
        record = CallRecord(turn=turn, tool=call.name, arguments=call.arguments, status="error", fault=fault)
        return record, fault_text(str(fault), None)
    answer = await emulator.call(tool, call)
    if fault is not None:
        value = {"error": answer.error} if answer.error is not None else answer.value
        return CallRecord(turn=turn, tool=call.name, arguments=call.arguments, status="error", fault=fault), fault_text(fault, value)
    if answer.error is not None:
        return CallRecord(turn=turn, tool=call.name, arguments=call.arguments, status="error"), error_text(answer.error, MAX_CHARS)
    record = CallRecord(turn=turn, tool=call.name, arguments=call.arguments, status="ok", value=answer.value)
    return record, result_text(answer.value, MAX_CHARS)
