"""Conversations with tool calls: rollouts of ChainSynthesis, samples of SFT, transcripts of episodes."""

from typing import Any, Literal

from pydantic import Field

from astra_jobs.api.base import Model, Named
from astra_jobs.records.tool import Tool


class ToolCall(Model):
    """A call as the model wrote it."""

    name: str
    arguments: dict[str, Any]


class Message(Model):
    """One message. An assistant's message may hold several calls; tool messages follow in the calls' order."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = Field(default_factory=list)
    name: str = Field(default="", description="tool that answered, for tool messages")
    train: bool = Field(default=True, description="assistant messages only: False leaves it out of the loss")


class CallRecord(Model):
    """What became of one call of a conversation."""

    turn: int = Field(description="index of the assistant message")
    tool: str
    arguments: dict[str, Any]
    status: Literal["ok", "error"]
    value: Any = None
    fault: str | None = Field(
        default=None, description="injected fault: timeout, unreachable, rateLimited, serverError, malformed, empty, auth"
    )


class Conversation(Model):
    """A whole conversation with the tools that were offered."""

    version: Literal[1] = 1
    id: str
    server: str
    tools: list[Tool]
    messages: list[Message]
    calls: list[CallRecord] = Field(default_factory=list)
    scores: Named[float] = Field(default_factory=dict, description="the seven axes that apply, 0..1")
    labels: Named[str] = Field(default_factory=dict)
    provenance: list[str] = Field(default_factory=list, description="digests: tools, chain, task")
