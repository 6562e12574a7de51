"""Answers the requests of EnvSynthesis without a model."""

from collections.abc import Callable
from typing import Any, cast

from astra_jobs.api.v1alpha1.author import EnvDefects
from astra_jobs.authors.base import AnswerT, AuthorCannot, Request
from astra_jobs.authors.env_requests import (
    AxisVerdict,
    CallStatement,
    Decompose,
    Decomposition,
    GroupQuestions,
    Groups,
    Implementation,
    ImplementTool,
    JudgeNecessity,
    MergeTools,
    NecessityVerdict,
    NodeContext,
    Origin,
    ScaleTool,
    ScoreGraph,
    SpecifyTool,
    ToolSpecification,
    WriteCall,
)
from astra_jobs.authors.procedural_envs import coding, judge
from astra_jobs.authors.procedural_envs.decompose import graph_for
from astra_jobs.authors.procedural_envs.plan import Plan, check_rates, known_question, plan_of, tool_of

_IN_GRAPH = ("brokenStructure", "needlessDependency", "poorDecomposition")


class ProceduralEnvironments:
    """The procedural author with its rates of planted defects. Its own labels are an output and never read by it."""

    def __init__(self, rates: EnvDefects) -> None:
        check_rates(rates)
        self.rates = rates
        self.answers: dict[type[Any], Callable[[Any], Any]] = {
            Decompose: self.decompose,
            JudgeNecessity: lambda request: NecessityVerdict(needed=judge.necessity(request.graph)),
            ScoreGraph: lambda request: AxisVerdict(passes=judge.verdicts(request.axis, request.graph, request.origin)),
            SpecifyTool: self.specify,
            ScaleTool: lambda request: ToolSpecification(tool=request.tool),  # the smallest models need one-line schemas
            WriteCall: self.write_call,
            ImplementTool: self.implement,
            GroupQuestions: self.group,
            MergeTools: self.merge,
        }

    async def answer(self, request: Request[AnswerT]) -> AnswerT:
        """Return the typed answer; AuthorCannot for questions that no world of this author asked."""
        handler = self.answers.get(type(request))
        if handler is None:
            raise AuthorCannot(f"the procedural author of environments does not answer {request.purpose}")
        return cast(AnswerT, handler(request))

    def plan(self, origin: Origin) -> Plan:
        """Return what is planted in a question."""
        return plan_of(origin, self.rates)

    def decompose(self, request: Decompose) -> Decomposition:
        """Return the question graph."""
        question = known_question(request.question.origin)
        if question.text != request.question.text:
            raise AuthorCannot(f"no question of this author: {request.question.text}")
        plan = self.plan(request.question.origin)
        graph = graph_for(request.question.origin, plan)
        return Decomposition(graph=graph, final_answer=question.final_answer, labels=_labels(plan, plan.defect in _IN_GRAPH))

    def specify(self, request: SpecifyTool) -> ToolSpecification:
        """Return a tool's document."""
        return ToolSpecification(tool=coding.document(request.context, request.taken, self.plan(request.context.origin)))

    def write_call(self, request: WriteCall) -> CallStatement:
        """Return the call of a node."""
        plan = self.plan(request.context.origin)
        statement, planted = coding.call_statement(request.context, request.tool, plan)
        return CallStatement(statement=statement, labels=_labels(plan, planted))

    def implement(self, request: ImplementTool) -> Implementation:
        """Return a tool's Python."""
        plan = self.plan(request.context.origin)
        return _implementation(request.context, coding.implement(request.context, request.tool.name, plan), plan)

    def merge(self, request: MergeTools) -> Implementation:
        """Return the base tool's Python with one more row."""
        code = coding.merged(request.member, request.tool.name, request.code)
        return _implementation(request.member, code, self.plan(request.member.origin))

    def group(self, request: GroupQuestions) -> Groups:
        """Return the sub-questions that ask one column, by column in the nodes' order."""
        groups: dict[str, list[int]] = {}
        for context in request.contexts:
            groups.setdefault(tool_of(context.origin, context.node)[0].name, []).append(context.node.id)
        return Groups(groups=list(groups.values()))


def _labels(plan: Plan, planted: bool) -> dict[str, str]:
    return {"origin": "procedural", **({"defect": plan.defect} if planted else {})}


def _implementation(context: NodeContext, code: coding.Code, plan: Plan) -> Implementation:
    tool, key = tool_of(context.origin, context.node)
    others = [{tool.argument: row} for row in code.rows if row != key]
    return Implementation(code=code.text, answer_path=tool.answer_path, others=others, labels=_labels(plan, code.planted))
