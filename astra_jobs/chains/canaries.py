"""Canaries: known good and known bad items for each judge; below the asked accuracy the stage stops (SPEC 2).

They are made of a world of their own by its oracle and by mechanical damage, so neither the author nor its labels take part
in saying what is right. Every shard asks them before it spends anything else; an answer that cannot be read counts wrong.
"""

import random
from collections.abc import Awaitable, Callable, Mapping

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.api.v1alpha1.chains import ChainSynthesisSpec
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.authors.base import Author
from astra_jobs.authors.chain_requests import JudgeChain, ScoreTask
from astra_jobs.chains.asking import ask_readable
from astra_jobs.chains.judge import judge, select
from astra_jobs.records.conversation import Conversation, Message
from astra_jobs.records.tool import Server, WorldReference
from astra_jobs.worlds.examples import conversation
from astra_jobs.worlds.graph import connected
from astra_jobs.worlds.questions import draw_question
from astra_jobs.worlds.world import World, make_world

WORLD_SEED = 2**40
JUDGES: tuple[str, ...] = ("chain", "task", "conversation")


async def check_judges(author: Author, spec: ChainSynthesisSpec) -> Mapping[str, float]:
    """Return the accuracy of each judge; raise BadInput (JudgeUnreliable) when one is below ``minCanaryAccuracy``."""
    world = make_world(WORLD_SEED, ProceduralWorlds())
    tools = [tool.document() for tool in world.tools]
    reference = WorldReference(seed=WORLD_SEED, worlds=world.params)
    server = Server(name="canaries", domain=world.domain, origin="Procedural", world=reference, tools=tools)
    asks = {"chain": _chain_canary, "task": _task_canary, "conversation": _conversation_canary}
    accuracy = {}
    for name in JUDGES:
        right = 0
        for index in range(spec.judge.canaries):
            rng = random.Random(digest_of(["canary", name, index]))
            right += await _is_right(asks[name], _Item(world, server, author, spec), rng, index % 2 == 0)
        accuracy[name] = right / spec.judge.canaries
        if accuracy[name] < spec.judge.min_canary_accuracy:
            raise BadInput(
                "judge.minCanaryAccuracy",
                "JudgeUnreliable",
                f"the {name} judge got {right} of {spec.judge.canaries} known items right, "
                f"{spec.judge.min_canary_accuracy} of them are asked for; use another author",
            )
    return accuracy


class _Item:
    """What a canary is made of and who judges it."""

    def __init__(self, world: World, server: Server, author: Author, spec: ChainSynthesisSpec) -> None:
        self.world, self.server, self.author, self.spec = world, server, author, spec


Canary = Callable[[_Item, random.Random, bool], Awaitable[bool | None]]


async def _is_right(canary: Canary, item: _Item, rng: random.Random, good: bool) -> bool:
    return await canary(item, rng, good) == good


async def _chain_canary(item: _Item, rng: random.Random, good: bool) -> bool | None:
    """A bad chain ends in a tool that takes nothing of what came before."""
    question = draw_question(item.world, rng)
    chain = [question.oracle[0].tool]
    entity = item.world.tool(chain[0]).entity
    if good:
        chain += [tool.name for tool in item.world.tools if connected(item.world, [*chain, tool.name])][:1]
    else:
        chain += [
            rng.choice([tool.name for tool in item.world.tools if tool.entity == entity or not connected(item.world, [*chain, tool.name])])
        ]
    answer = await ask_readable(
        item.author,
        lambda attempt: JudgeChain(server=item.server, chain=chain, text=question.text, voter=0, attempt=attempt),
        lambda verdict: verdict.valid is not None,
    )
    return None if answer is None else answer.valid


async def _task_canary(item: _Item, rng: random.Random, good: bool) -> bool | None:
    """A bad task does not say which row it is about."""
    question = draw_question(item.world, rng)
    text = question.text
    if not good:
        text = " ".join(word for word in text.split() if not any(char.isdigit() for char in word))
    targets = [call.tool for call in question.oracle]
    answer = await ask_readable(
        item.author,
        lambda attempt: ScoreTask(server=item.server, text=text, targets=targets, attempt=attempt),
        lambda scores: None not in (scores.question_quality, scores.scenario_realism, scores.tool_necessity),
    )
    if answer is None:
        return None
    least = item.spec.score
    return bool(
        (answer.question_quality or 0) >= least.question_quality
        and (answer.scenario_realism or 0) >= least.scenario_realism
        and (answer.tool_necessity or 0) >= least.tool_necessity
    )


async def _conversation_canary(item: _Item, rng: random.Random, good: bool) -> bool | None:
    """A bad conversation ends with another one's answer, or does nothing at all."""
    number = rng.randrange(10_000)
    shown = conversation(WORLD_SEED, item.world.params, number)
    messages = list(shown.messages)
    calls = list(shown.calls)
    if not good and rng.random() < 0.5:
        messages = [messages[0], Message(role="assistant", content="I could not get the data.")]
        calls = []
    elif not good:
        messages[-1] = Message(role="assistant", content=_other_answer(item.world, shown, number))
    scores = await judge(item.server, shown.tools, messages, calls, item.author)
    return None if scores is None else select(scores, item.spec.judge)[-1][1] is None


def _other_answer(world: World, shown: Conversation, number: int) -> str:
    """Return the closing message of the next example that asks for something else."""
    while True:
        number += 1
        other = conversation(WORLD_SEED, world.params, number).messages[-1].content
        if other != shown.messages[-1].content:
            return other
