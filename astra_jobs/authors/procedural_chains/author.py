"""The procedural author of ChainSynthesis: answers the typed requests from exact knowledge of the worlds (SPEC 6).

It is a *declared imperfect* author: at stated rates it plants labelled defects, each for one filter to find, and mild
faults that a sound judge keeps. Its judging answers come from the text, the messages and the world, never from labels;
at a stated rate they cannot be read, as a model's sometimes cannot. Equal requests get equal answers.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from astra_jobs.api.base import Model
from astra_jobs.api.v1alpha1.author import ProceduralChainAuthor
from astra_jobs.authors.base import AuthorCannot, Request
from astra_jobs.authors.chain_requests import (
    Act,
    Action,
    ChainVerdict,
    ConversationVerdict,
    Emulate,
    Emulated,
    JudgeChain,
    JudgeConversation,
    PlanTask,
    ProposeChains,
    ProposedChains,
    RewriteTask,
    RewrittenTask,
    ScoreTask,
    SketchTask,
    TaskPlan,
    TaskScores,
    TaskSketch,
    WriteTask,
    WrittenTask,
)
from astra_jobs.authors.procedural_chains import acting, judging, planning, tasks
from astra_jobs.authors.procedural_chains.draws import Behaviour, behaviour, draws
from astra_jobs.authors.procedural_chains.reading import key_of, world_of
from astra_jobs.worlds.world import WorldToolError

AnswerT = TypeVar("AnswerT", bound=Model)


class ProceduralChains:
    """Answers every request of ChainSynthesis about procedural servers; AuthorCannot for any other server."""

    def __init__(self, settings: ProceduralChainAuthor, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self._behaviours: dict[str, Behaviour] = {}
        self._answers: dict[type[Any], Callable[[Any], Model]] = {
            ProposeChains: self._propose,
            SketchTask: self._sketch,
            JudgeChain: self._judge_chain,
            PlanTask: self._plan,
            WriteTask: self._write,
            RewriteTask: self._rewrite,
            ScoreTask: self._score,
            Act: self._act,
            Emulate: self._emulate,
            JudgeConversation: self._judge_conversation,
        }

    async def answer(self, request: Request[AnswerT]) -> AnswerT:
        """Return the typed answer or raise AuthorCannot."""
        known = self._answers.get(type(request))
        if known is None:
            raise AuthorCannot(f"the procedural author of chains knows no request {type(request).__name__}")
        return cast(AnswerT, known(request))

    def _unreadable(self, *key: object) -> bool:
        rate = self.settings.defects.unreadable_verdict
        return rate > 0 and draws(self.seed, "unreadable", *key).random() < rate

    def _propose(self, request: ProposeChains) -> ProposedChains:
        defects = self.settings.defects
        rng = draws(self.seed, "propose", request.server.name)
        return planning.propose(world_of(request.server), rng, (defects.unknown_tool, defects.wrong_chain))

    def _sketch(self, request: SketchTask) -> TaskSketch:
        rng = draws(self.seed, "sketch", request.server.name, *request.chain)
        return planning.sketch(request, world_of(request.server), rng, self.settings.defects.misleading_task)

    def _judge_chain(self, request: JudgeChain) -> ChainVerdict:
        if self._unreadable("chain", request.server.name, request.text, request.voter, request.attempt):
            return ChainVerdict(valid=None)
        return planning.judge_chain(request, world_of(request.server))

    def _plan(self, request: PlanTask) -> TaskPlan:
        if self._unreadable("plan", request.server.name, request.text, request.attempt):
            return TaskPlan(calls=None)
        return planning.plan(request, world_of(request.server))

    def _write(self, request: WriteTask) -> WrittenTask:
        rng = draws(self.seed, "write", request.server.name, request.index)
        return tasks.write(request, world_of(request.server), rng, self.settings.defects)

    def _rewrite(self, request: RewriteTask) -> RewrittenTask:
        rng = draws(self.seed, "rewrite", request.server.name, request.variant, request.text)
        return tasks.rewrite(request, world_of(request.server), rng, self.settings.defects)

    def _score(self, request: ScoreTask) -> TaskScores:
        if self._unreadable("score", request.server.name, request.text, request.attempt):
            return TaskScores(question_quality=None, scenario_realism=None, tool_necessity=None)
        return tasks.score(request, world_of(request.server))

    def _behaviour(self, conversation: str) -> Behaviour:
        found = self._behaviours.get(conversation)
        if found is None:
            if len(self._behaviours) > 4096:
                self._behaviours.clear()
            found = self._behaviours[conversation] = behaviour(self.settings, self.seed, conversation)
        return found

    def _act(self, request: Act) -> Action:
        rng = draws(self.seed, "act", request.conversation)
        return acting.act(request, world_of(request.server), self._behaviour(request.conversation), rng)

    def _emulate(self, request: Emulate) -> Emulated:
        world = world_of(request.server)
        if self._behaviour(request.conversation).defect == "brokenResult":
            return Emulated(value={"result": None}, state=request.state, labels={"defect": "brokenResult"})
        if request.call.name not in world:
            raise AuthorCannot(f"{request.server.name} has no tool {request.call.name}")
        try:
            value = world.tool(request.call.name).call(request.call.arguments)
        except WorldToolError as error:
            return Emulated(error=str(error), state=request.state)
        # Worlds do not change; what was told is remembered all the same, as a tool that writes would have to.
        key = "/".join(key_of(request.call.name, request.call.arguments))
        return Emulated(value=value, state={**request.state, key: value})

    def _judge_conversation(self, request: JudgeConversation) -> ConversationVerdict:
        last = request.messages[-1].content
        if self._unreadable("conversation", request.server.name, request.messages[0].content, len(request.messages), last, request.attempt):
            return ConversationVerdict(
                query_understanding=None,
                query_planning=None,
                understanding=[],
                planning=[],
                status=[],
                needed=[],
                relevance=None,
                faithfulness=None,
            )
        return judging.judge(request, world_of(request.server))
