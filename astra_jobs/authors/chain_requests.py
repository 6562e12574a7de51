"""The typed requests of ChainSynthesis: what the stages ask of an author, model or procedural (SPEC 2).

Every judging request carries ``attempt``: an answer that cannot be read is *unscored*, asked for again a few times, and
never becomes a value. ``labels`` of an answer tell what was planted; they are copied along and read by reports only.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from astra_jobs.api.base import Model
from astra_jobs.authors.base import Request
from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.tool import Server, Tool

Variant = Literal["Diversity", "Complexity", "Persona"]


class ProposedChain(Model):
    """Tools in which a later call needs an earlier call's data, with a task that needs them."""

    tools: list[str]
    task: str
    labels: dict[str, str] = Field(default_factory=dict)


class ProposedChains(Model):
    """Answer to ProposeChains."""

    chains: list[ProposedChain]


class ProposeChains(Request[ProposedChains]):
    """Ask for chains over all tools of a server."""

    purpose: ClassVar[str] = "proposeChains"
    server: Server


class GivenArgument(Model):
    """An argument whose value the task's text itself holds."""

    tool: str
    argument: str
    value: str


class TaskSketch(Model):
    """A task for one chain, and which arguments its text supplies."""

    text: str
    given: list[GivenArgument]
    labels: dict[str, str] = Field(default_factory=dict)


class SketchTask(Request[TaskSketch]):
    """Chain to task: the first half of back-translation."""

    purpose: ClassVar[str] = "sketchTask"
    server: Server
    chain: list[str]


class ChainVerdict(Model):
    """One judge's word on a chain and its task; ``valid`` None is unscored."""

    valid: bool | None
    reason: str = ""


class JudgeChain(Request[ChainVerdict]):
    """Is each later call of use of an earlier one's data, and does the task say where to start?"""

    purpose: ClassVar[str] = "judgeChain"
    server: Server
    chain: list[str]
    text: str
    voter: int
    attempt: int = 0


class PlannedCall(Model):
    """A call of a plan; ``needs`` are indices of calls whose results it takes."""

    tool: str
    needs: list[int] = Field(default_factory=list)


class TaskPlan(Model):
    """The calls that a text asks for; an empty list says that nothing can be planned. None is unscored."""

    calls: list[PlannedCall] | None


class PlanTask(Request[TaskPlan]):
    """Task to chain: the second half of back-translation; the planner never sees the chain."""

    purpose: ClassVar[str] = "planTask"
    server: Server
    text: str
    attempt: int = 0


class WrittenTask(Model):
    """A task and the tools that it is meant to need. An empty text says that there is nothing new to ask."""

    text: str
    targets: list[str]
    labels: dict[str, str] = Field(default_factory=dict)


class WriteTask(Request[WrittenTask]):
    """Write a task for a chain, or (``chain`` None) from the server alone with ``tools`` calls.

    ``avoid`` lists the server's earlier tasks.
    """

    purpose: ClassVar[str] = "writeTask"
    server: Server
    chain: list[str] | None
    tools: int
    index: int
    avoid: list[str] = Field(default_factory=list)


class RewrittenTask(Model):
    """A rewriting of a task."""

    text: str
    labels: dict[str, str] = Field(default_factory=dict)


class RewriteTask(Request[RewrittenTask]):
    """Rewrite a task with the same tools in the same order."""

    purpose: ClassVar[str] = "rewriteTask"
    server: Server
    text: str
    targets: list[str]
    variant: Variant


class TaskScores(Model):
    """Scores of a task, 1 to 5; None is unscored."""

    question_quality: int | None
    scenario_realism: int | None
    tool_necessity: int | None


class ScoreTask(Request[TaskScores]):
    """Score a task."""

    purpose: ClassVar[str] = "scoreTask"
    server: Server
    text: str
    targets: list[str]
    attempt: int = 0


class Action(Model):
    """One assistant turn: calls, or a closing message."""

    content: str = ""
    tool_calls: list[ToolCall] = Field(default_factory=list)
    labels: dict[str, str] = Field(default_factory=dict)


class Act(Request[Action]):
    """Play the next assistant turn of a conversation; ``conversation`` tells rollouts of one task apart."""

    purpose: ClassVar[str] = "act"
    server: Server
    conversation: str
    tools: list[Tool]
    messages: list[Message]


class Emulated(Model):
    """What a tool would answer: a value, or an error that it reports itself; ``state`` replaces the old state."""

    value: Any = None
    error: str | None = None
    state: dict[str, Any]
    labels: dict[str, str] = Field(default_factory=dict)


class Emulate(Request[Emulated]):
    """Answer a call in a tool's place, given the conversation's structured state."""

    purpose: ClassVar[str] = "emulate"
    server: Server
    conversation: str
    state: dict[str, Any]
    call: ToolCall
    attempt: int = 0


class ConversationVerdict(Model):
    """What a judge says of a conversation, part by part; None is unscored.

    Rounds are the assistant turns with calls, in order. ``understanding`` and ``planning`` hold a value for each round from
    the second on, ``status`` and ``needed`` one for each call. The stage makes the seven axes of it, so that structure
    decides what applies and injected faults can be left out.
    """

    query_understanding: float | None
    query_planning: float | None
    understanding: list[float | None]
    planning: list[float | None]
    status: list[float | None]
    needed: list[float | None]
    relevance: float | None
    faithfulness: float | None


class JudgeConversation(Request[ConversationVerdict]):
    """Judge a whole conversation."""

    purpose: ClassVar[str] = "judgeConversation"
    server: Server
    tools: list[Tool]
    messages: list[Message]
    attempt: int = 0
