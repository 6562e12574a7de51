"""The typed requests of EnvSynthesis: what its stages ask of an author, model or procedural (SPEC 3).

A judging answer without a verdict (``None``) is *unscored*: it never passes and never counts as a value. ``labels``
of an answer tell what was planted; they are copied along and read by reports only.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from astra_jobs.api.base import Model
from astra_jobs.authors.base import Request
from astra_jobs.records.environment import QaGraph, QaNode
from astra_jobs.records.tool import Tool, WorldReference

Axis = Literal["DependencyConsistency", "Atomicity", "SequentialRationality", "Completeness"]
AXES: tuple[Axis, ...] = ("DependencyConsistency", "Atomicity", "SequentialRationality", "Completeness")


class Origin(Model):
    """Where a main question came from, so that an author with exact knowledge can look it up."""

    world: WorldReference
    draw: int = Field(description="seed of the stream that drew the question")


class MainQuestion(Model):
    """A question to decompose."""

    text: str
    domain: str
    origin: Origin


class Decomposition(Model):
    """Answer to Decompose; the graph is what the author claims, not yet checked."""

    graph: QaGraph
    final_answer: str
    labels: dict[str, str] = Field(default_factory=dict)


class Decompose(Request[Decomposition]):
    """Main question to question graph, within a budget of hops."""

    purpose: ClassVar[str] = "decompose"
    question: MainQuestion
    max_hops: int


class NecessityVerdict(Model):
    """Whether each node needs a tool, in the nodes' order; None is unscored."""

    needed: list[bool] | None


class JudgeNecessity(Request[NecessityVerdict]):
    """Ask which sub-questions nobody can answer without a tool."""

    purpose: ClassVar[str] = "judgeNecessity"
    graph: QaGraph


class AxisVerdict(Model):
    """One verdict a node (one in all for completeness); None is unscored."""

    passes: list[bool] | None


class ScoreGraph(Request[AxisVerdict]):
    """Judge one of the four axes of a decomposition."""

    purpose: ClassVar[str] = "scoreGraph"
    axis: Axis
    graph: QaGraph
    origin: Origin


class NodeContext(Model):
    """A sub-question with what its tool may build on: the questions and answers of its direct dependencies."""

    node: QaNode
    dependencies: list[QaNode]
    origin: Origin


class ToolSpecification(Model):
    """A tool's document."""

    tool: Tool


class SpecifyTool(Request[ToolSpecification]):
    """Sub-question to tool document; ``taken`` are the names that this instance uses already."""

    purpose: ClassVar[str] = "specifyTool"
    context: NodeContext
    taken: list[str]


class ScaleTool(Request[ToolSpecification]):
    """Ask for a richer document that every call of the old one still fits."""

    purpose: ClassVar[str] = "scaleTool"
    tool: Tool


class CallStatement(Model):
    """Text of one Python call with literal keyword arguments."""

    statement: str
    labels: dict[str, str] = Field(default_factory=dict)


class WriteCall(Request[CallStatement]):
    """Sub-question and tool document to the call that answers it."""

    purpose: ClassVar[str] = "writeCall"
    context: NodeContext
    tool: Tool


class Implementation(Model):
    """Python of a tool; ``others`` are further valid argument sets, each of which gives another result."""

    code: str
    answer_path: str
    others: list[dict[str, Any]]
    labels: dict[str, str] = Field(default_factory=dict)


class ImplementTool(Request[Implementation]):
    """Tool document and call to Python."""

    purpose: ClassVar[str] = "implementTool"
    context: NodeContext
    tool: Tool
    arguments: dict[str, Any]


class Groups(Model):
    """Ids of homogeneous sub-questions: same kind of source, same attribute, same parameters."""

    groups: list[list[int]]


class GroupQuestions(Request[Groups]):
    """Ask which sub-questions of one instance could share a tool."""

    purpose: ClassVar[str] = "groupQuestions"
    contexts: list[NodeContext]


class MergeTools(Request[Implementation]):
    """Ask for the base tool's Python with the data of one more member."""

    purpose: ClassVar[str] = "mergeTools"
    tool: Tool
    code: str
    member: NodeContext
    member_code: str
