"""The procedural author: it reads what worlds write, answers equal requests equally, and judges by the world."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.api.v1alpha1.chains import Judging
from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.authors.base import AuthorCannot
from astra_jobs.authors.chain_requests import JudgeConversation, PlanTask, ProposeChains, RewriteTask, ScoreTask, WriteTask
from astra_jobs.authors.procedural_chains import ProceduralChains
from astra_jobs.authors.procedural_chains.reading import oracle_keys, split_task, statements, understand, value_said
from astra_jobs.chains.judge import judge, select
from astra_jobs.chains.tasks import language_fault
from astra_jobs.records.conversation import Message
from astra_jobs.worlds.examples import conversation
from astra_jobs.worlds.questions import draw_question
from astra_jobs.worlds.world import make_world
from tests.unit.chains.chain_kit import author_of, mcp_server, server_of

SIZES = [
    ProceduralWorlds(),
    ProceduralWorlds(entity_types=5, rows=9, max_hops=5, parallel=0.6),
    ProceduralWorlds(entity_types=2, rows=2, max_hops=2),
]
AUTHOR = ProceduralChains(author_of(), 0)


@given(st.integers(0, 10**6), st.sampled_from(SIZES), st.integers(0, 100))
@settings(max_examples=150, deadline=None)
def test_author_reads_exactly_what_a_world_asks(seed: int, size: ProceduralWorlds, number: int) -> None:
    world = make_world(seed, size)
    question = draw_question(world, random.Random(number))
    for text in (question.text, f"As a clerk I ask: {question.text}", f"{question.text} Only the result."):
        understood = understand(world, text)
        assert understood is not None
        assert oracle_keys(understood) == oracle_keys(question)
        assert understood.final_answer == question.final_answer
    parts = split_task(question.text)
    assert parts is not None
    assert parts[0] == ""
    said = {pair for call in question.oracle for pair in value_said(world.tool(call.tool).call(call.arguments))}
    assert set(statements(question.final_answer)) <= said


@pytest.mark.parametrize("text", ["", "What is the color of the ship?", "What is the colour of ship k27?", "Find the color of ship a00."])
def test_what_the_world_does_not_hold_cannot_be_planned(text: str) -> None:
    assert understand(make_world(0, ProceduralWorlds()), text) is None


@given(st.integers(0, 10**6), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_perfect_conversations_score_one_on_every_axis(seed: int, number: int) -> None:
    server = server_of(seed % 1000)
    assert server.world is not None
    shown = conversation(server.world.seed, server.world.worlds, number)
    scores = asyncio.run(judge(server, shown.tools, shown.messages, shown.calls, AUTHOR))
    assert scores is not None
    assert set(scores.values()) == {1.0}


def damaged(messages: list[Message], how: str) -> list[Message]:
    if how == "noCalls":
        return [messages[0], messages[-1]]
    if how == "lie":
        return [*messages[:-1], messages[-1].model_copy(update={"content": "The color is purple."})]
    if how == "silence":
        return [*messages[:-1], messages[-1].model_copy(update={"content": ""})]
    first = messages[1].tool_calls[0].model_copy(update={"arguments": {"nothing": "z99"}})
    return [
        messages[0],
        messages[1].model_copy(update={"tool_calls": [first]}),
        messages[2].model_copy(update={"content": '{"error":"x"}'}),
        messages[-1],
    ]


@pytest.mark.parametrize("how", ["noCalls", "lie", "silence", "wrongCall"])
@pytest.mark.parametrize("number", range(5))
def test_damaged_conversations_fail(how: str, number: int) -> None:
    server = server_of(number)
    assert server.world is not None
    shown = conversation(server.world.seed, server.world.worlds, number)
    messages = damaged(shown.messages, how)
    calls = [] if how == "noCalls" else shown.calls[:1] if how == "wrongCall" else shown.calls
    scores = asyncio.run(judge(server, shown.tools, messages, calls, AUTHOR))
    assert select(scores, Judging())[-1][1] is not None


def requests() -> list[Any]:
    server = server_of(3)
    assert server.world is not None
    shown = conversation(server.world.seed, server.world.worlds, 1)
    text = shown.messages[0].content
    return [
        ProposeChains(server=server),
        PlanTask(server=server, text=text),
        ScoreTask(server=server, text=text, targets=[]),
        WriteTask(server=server, chain=None, tools=2, index=4),
        RewriteTask(server=server, text=text, targets=[], variant="Persona"),
        JudgeConversation(server=server, tools=shown.tools, messages=shown.messages),
    ]


def test_equal_requests_get_equal_answers_from_two_authors() -> None:
    first, second = (ProceduralChains(author_of({"changed_language": 0.3, "vague_task": 0.3}), 9) for _ in range(2))
    answers = [asyncio.run(first.answer(request)) for request in requests()]
    assert [asyncio.run(second.answer(request)) for request in reversed(requests())] == list(reversed(answers))


def test_author_refuses_servers_that_it_did_not_make() -> None:
    foreign = mcp_server()
    for request in requests():
        with pytest.raises(AuthorCannot):
            asyncio.run(AUTHOR.answer(request.model_copy(update={"server": foreign})))


@pytest.mark.parametrize("variant", ["Diversity", "Complexity", "Persona"])
def test_honest_rewritings_keep_language_and_plan(variant: Any) -> None:
    for index in range(20):
        server = server_of(index)
        assert server.world is not None
        world = make_world(server.world.seed, server.world.worlds)
        question = draw_question(world, random.Random(index))
        rewritten = asyncio.run(AUTHOR.answer(RewriteTask(server=server, text=question.text, targets=[], variant=variant)))
        assert rewritten.text != question.text
        assert language_fault(question.text, rewritten.text) is None
        understood = understand(world, rewritten.text)
        assert understood is not None
        assert oracle_keys(understood) == oracle_keys(question)


def test_author_never_asks_the_same_twice() -> None:
    server = server_of(1)
    assert server.world is not None
    world = make_world(server.world.seed, server.world.worlds)
    asked: list[str] = []
    for index in range(80):
        written = asyncio.run(AUTHOR.answer(WriteTask(server=server, chain=None, tools=1, index=index, avoid=asked)))
        if written.text:
            asked.append(written.text)
    keys = [frozenset(oracle_keys(question)) for text in asked if (question := understand(world, text))]
    assert len(set(keys)) == len(keys) == len(asked)
    assert len(asked) <= sum(len(world.ids[tool.entity]) for tool in world.tools)
