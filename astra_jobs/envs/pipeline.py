"""One question from its text to a verified environment, or to the filter that drops it (SPEC 3.1 to 3.6)."""

from dataclasses import dataclass

from astra_jobs.api.job import JobContext
from astra_jobs.api.v1alpha1.envs import EnvSynthesisSpec
from astra_jobs.authors.base import Author, AuthorCannot
from astra_jobs.authors.env_requests import Decompose, Decomposition, MainQuestion
from astra_jobs.envs import judging, structure
from astra_jobs.envs.build import Draft, build
from astra_jobs.envs.funnel import Outcome, Refused
from astra_jobs.envs.merging import merge_tools
from astra_jobs.envs.mutation import prove, targets_of
from astra_jobs.envs.probes import Sandboxes
from astra_jobs.envs.seeds import main_question
from astra_jobs.envs.verify import CHECKS, verify
from astra_jobs.records.environment import Environment, EnvTool, OracleCall, QaGraph, Verification
from astra_jobs.records.funnel import CANNOT, Dropped


def name_of(index: int) -> str:
    """Return the id of a question and of the environment made of it."""
    return f"env-{index:07d}"


@dataclass(frozen=True)
class Pipeline:
    """What all questions of a run share."""

    spec: EnvSynthesisSpec
    author: Author
    sandboxes: Sandboxes
    ctx: JobContext

    async def run(self, index: int) -> Outcome:
        """Return what becomes of the question of a number."""
        labels: dict[str, str] = {}
        numbers: dict[str, int] = {}
        question = main_question(self.spec.seeds.procedural, self.ctx, index)
        try:
            environment = await self._make(index, question, labels, numbers)
        except Refused as refused:
            return self._drop(index, question, refused, labels, numbers)
        except AuthorCannot as cannot:
            return self._drop(index, question, Refused("authorCannot", CANNOT, str(cannot)), labels, numbers)
        return Outcome(index=index, environment=environment, numbers=numbers)

    async def _make(self, index: int, question: MainQuestion, labels: dict[str, str], numbers: dict[str, int]) -> Environment:
        hops = self.spec.seeds.procedural.worlds.max_hops
        answer = await self.author.answer(Decompose(question=question, max_hops=hops))
        labels.update(answer.labels)
        structure.validate(answer.graph, hops)
        graph = await judging.gate_necessity(self.author, answer.graph)
        scores = await judging.score(self.author, graph, question.origin, self.spec.quality.min_score)
        drafts, proof = await self._tools(index, graph, question, labels, numbers)
        return self._environment(index, question, answer, graph, drafts).model_copy(
            update={"scores": scores, "verification": proof, "labels": labels}
        )

    async def _tools(
        self, index: int, graph: QaGraph, question: MainQuestion, labels: dict[str, str], numbers: dict[str, int]
    ) -> tuple[list[Draft], Verification]:
        """Build, verify and merge; merged tools are verified like any others, or given up for the unmerged ones."""
        checks = dict.fromkeys(CHECKS, True)
        drafts = await build(self.author, graph, question.origin, labels)
        probes = await verify(drafts, self.sandboxes, numbers)
        proof = prove(drafts, probes, checks)
        merged = await merge_tools(self.author, drafts, self.sandboxes, self.ctx.stream("envs", "merge", index), numbers)
        if merged != drafts:
            try:
                again = await verify(merged, self.sandboxes, {})
                drafts, proof = merged, prove(merged, again, {**checks, "merged": True})
            except Refused:
                numbers["mergesFailed"] = numbers.get("mergesFailed", 0) + 1
        return drafts, proof

    def _environment(self, index: int, question: MainQuestion, answer: Decomposition, graph: QaGraph, drafts: list[Draft]) -> Environment:
        tools = {draft.tool.name: EnvTool(tool=draft.tool, code=draft.code, domain=question.domain) for draft in drafts}
        return Environment(
            id=name_of(index),
            question=question.text,
            final_answer=answer.final_answer,
            scenario=graph.scenario,
            domain=question.domain,
            tools=list(tools.values()),
            targets=targets_of(drafts),
            oracle=[OracleCall(node=draft.context.node.id, tool=draft.tool.name, arguments=draft.arguments) for draft in drafts],
            graph=graph,
            world_seed=question.origin.world.seed,
            worlds=question.origin.world.worlds,
        )

    def _drop(self, index: int, question: MainQuestion, why: Refused, labels: dict[str, str], numbers: dict[str, int]) -> Outcome:
        dropped = Dropped(
            what="environment", name=name_of(index), filter=why.filter, reason=why.reason, detail=f"{question.text} {why.detail}".strip(),
            labels=labels,
        )  # fmt: skip
        return Outcome(index=index, dropped=dropped, numbers=numbers)
