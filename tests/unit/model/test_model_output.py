"""Whatever a policy samples: the turn is read, answered in order, written down and read back, and nothing raises (SPEC 5)."""

import asyncio
import json
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.episodes.loop import EpisodeLimits, EpisodeLoop, Session, tool_codes
from astra_jobs.episodes.written import DEEPEST, Malformed, read_call
from astra_jobs.model import chatform
from astra_jobs.model import tokenizer as tokenizers_module
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.environment import Answer, Environment, EnvTool, QaGraph, QaNode, Target
from astra_jobs.records.episode import Episode
from astra_jobs.records.lines import read_lines, write_lines
from astra_jobs.records.tool import Tool
from astra_jobs.sandbox.choice import sandbox_of
from astra_jobs.sandbox.protocol import Sandbox, SandboxLimits
from astra_jobs.worlds import examples

RENDERER = Renderer(tokenizers_module.train([examples.conversation(2 * seed, ProceduralWorlds()) for seed in range(40)], 640))
CALL, END_CALL, END = chatform.CALL, chatform.END_CALL, chatform.END
ANSWER = Answer(kind="number", value=5)
ENVIRONMENT = Environment(
    id="e", question="q", scenario="SingleHop", domain="d",
    tools=[
        EnvTool(
            tool=Tool(name="f", description="d", parameters={"type": "object", "properties": {"x": {}}}),
            code="def f(x=None):\n    return {'n': x, 'big': 10**400}\n",
        )
    ],
    targets=[Target(node=1, tool="f", answer=ANSWER, answer_path="/n")], oracle=[], world_seed=1, worlds=ProceduralWorlds(),
    graph=QaGraph(question="q", nodes=[QaNode(id=1, hop=1, question="q", answer=ANSWER)], scenario="SingleHop"),
)  # fmt: skip


async def episode_of(sandbox: Sandbox, turns: list[list[int]]) -> Episode:
    loop = EpisodeLoop(ENVIRONMENT, RENDERER, Session(sandbox, tool_codes(ENVIRONMENT), 1), EpisodeLimits(max_turns=4))
    for ids in turns:
        if await loop.turn(ids) is None:
            break
    await loop.session.close()
    return loop.finish(0, 1, 1)


def played(turns: list[list[list[int]]]) -> list[Episode]:
    """Return an episode for each list of turns, played in one sandbox, after writing and reading it."""

    async def run() -> list[Episode]:
        async with sandbox_of(None, SandboxLimits()) as sandbox:
            return [await episode_of(sandbox, one) for one in turns]

    episodes = asyncio.run(run())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "episodes.jsonl"
        write_lines(path, episodes)
        assert list(read_lines(path, Episode)) == episodes
    return episodes


def ids_of(*pieces: str) -> list[int]:
    return RENDERER.encode(pieces)


def nested(levels: int) -> str:
    return '{"name": "f", "arguments": {"x": ' + "[" * levels + "]" * levels + "}}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"name": "f\\ud83d", "arguments": {}}', "half of a surrogate pair"),
        ('{"name": "f", "arguments": {"x": "\\udc00"}}', "half of a surrogate pair"),
        ('{"name": "f", "arguments": {"\\ud83d": 1}}', "half of a surrogate pair"),
        ('{"name": "f", "arguments": {"x": [{"y": "a\\ud83d b"}]}}', "half of a surrogate pair"),
        (nested(DEEPEST + 1), "nested deeper than 64 levels"),
        (nested(200), "nested deeper than 64 levels"),
        (nested(100_000), "nested deeper than 64 levels"),
        ('{"name": "f", "arguments": {"x": 1e999}}', "1e999 is beyond a double's range"),
        ('{"name": "f", "arguments": {"x": -1e999}}', "-1e999 is beyond a double's range"),
        ('{"name": "f", "arguments": {"x": ' + "9" * 400 + "}}", "an integer of 400 digits is beyond"),
        ('{"name": "f", "arguments": {"x": ' + "9" * 309 + "}}", "an integer beyond a double's range"),
        ('{"name": "f", "arguments": {"x": ' + "9" * 9000 + "}}", "an integer of 9000 digits is beyond"),
        ('{"name": "f", "arguments": {"x": NaN}}', "NaN is not JSON"),
        ('{"name": "f", "arguments": {"x": -Infinity}}', "-Infinity is not JSON"),
        ('{"name": "f", "arguments": {"x": 1, "x": 2}}', 'key "x" stands twice'),
        ('{"name": "f", "name": "g", "arguments": {}}', 'key "name" stands twice'),
        ('{"name": "f", "arguments": {"x": 1}', 'Expecting \',\' delimiter at character 35: "e": "f", "arguments": {"x": 1}"'),
        ('{"name": "f", "arguments": {"x": "a\0b"}}', "Invalid control character"),
        ('{"name": "f"}', 'keys are "name"; a call has name and arguments'),
        ('{"name": 7, "arguments": {}}', "name is not text"),
        ('{"name": "f", "arguments": "{}"}', "arguments is not an object"),
        ("[]", "not a JSON object"),
        ("", "Expecting value at character 0: nothing is there"),
    ],
)
def test_a_call_that_no_record_can_hold_is_malformed_and_says_where(text: str, fault: str) -> None:
    call = read_call(text)
    assert isinstance(call, Malformed)
    assert call.text == text
    assert fault.strip('"') in call.fault
    assert len(call.fault) < 200


@pytest.mark.parametrize(
    "value",
    ['"a\\u0000b"', '"\\ud83d\\ude00"', "1e308", "9" * 300, "-0.0", '"</tool_call>"', "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1), "{}"],
)
def test_odd_but_sound_values_reach_the_tool_and_the_record(value: str) -> None:
    [episode] = played([[ids_of(CALL, '{"name": "f", "arguments": {"x": ' + value + "}}", END_CALL, END)]])
    assert episode.calls[0].arguments == {"x": json.loads(value)}
    assert episode.calls[0].outcome in ("ok", "tool_error", "invalid_args")


def test_a_malformed_call_keeps_its_place_its_text_and_says_what_is_wrong() -> None:
    bad, good = '{"name": "f", "arguments": {"x": 1}', '{"name": "f", "arguments": {"x": 5}}'
    [episode] = played([[ids_of(CALL, bad, END_CALL, CALL, good, END_CALL, CALL, good, END)]])
    shown = [message.content for message in episode.messages if message.role == "tool"]
    assert [call.outcome for call in episode.calls] == ["malformed", "ok", "malformed"]
    assert episode.calls[0].text == bad
    assert episode.calls[2].fault == "</tool_call> is missing"
    assert "Expecting ',' delimiter" in shown[0]
    assert shown[1].startswith('{"n":5,')
    assert (episode.reward.value, len(shown)) == (0.5, 3)


def test_a_control_token_inside_a_call_spoils_it_though_its_text_would_be_json() -> None:
    for control in (chatform.RESPONSE, chatform.START, chatform.END_THINK):
        parsed = RENDERER.parse(ids_of(CALL, '{"name": "f", "arguments": {"x": "', control, '"}}', END_CALL, END))
        assert parsed.calls == []
        assert parsed.written == [Malformed(parsed.malformed[0], f"the token {control} has no place there")]


FRAGMENTS = st.sampled_from(
    [
        "{", "}", "[", "]", '"', ":", ",", "\\", "\\ud83d", "\\udc00", "\\u0000", "\0", "1e999", "-", "NaN", "Infinity", "9" * 400, "null",
        '{"name": "f", "arguments": {', '{"name": "f", "arguments": {"x": ', "}}", '"x": ', "[" * 200, "]" * 200, '{"a":' * 100, "}" * 100,
        '{"name": "f", "arguments": {"x": 5}}', '{"name": "g\\ud83d", "arguments": {}}', '"name"', '"arguments"', "\n", "é", "👍", "\u202e",
    ]
)  # fmt: skip
CONTROLS = st.sampled_from([*chatform.CONTROLS, CALL, END_CALL, CALL, END_CALL])
VOCABULARY = st.integers(0, len(RENDERER.tokenizer) + 64)  # models pad their vocabulary beyond the tokenizer's
PIECE = st.one_of(FRAGMENTS.map(ids_of), CONTROLS.map(ids_of), VOCABULARY.map(lambda number: [number]), st.text(max_size=5).map(ids_of))
INSIDE = st.one_of(FRAGMENTS, st.text(max_size=6)).map(ids_of)
WRAPPED = st.lists(INSIDE, max_size=6).map(lambda parts: [*ids_of(CALL), *chain(*parts), *ids_of(END_CALL)])
TURN = st.lists(st.one_of(PIECE, WRAPPED), max_size=10).map(lambda parts: [*chain(*parts), *ids_of(END)])
EPISODES = st.lists(st.lists(TURN, min_size=1, max_size=3), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(EPISODES)
def test_arbitrary_tokens_are_answered_one_by_one_and_kept(turns: list[list[list[int]]]) -> None:
    for episode in played(turns):
        answers = [message for message in episode.messages if message.role == "tool"]
        assert len(answers) == len(episode.calls)
        assert [message.name for message in answers] == [call.tool for call in episode.calls]
        assert all((call.text is None) == (call.fault is None) == (call.outcome != "malformed") for call in episode.calls)
        assert 0 <= episode.reward.value <= 1
        assert not episode.reward.masked


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(st.characters(), max_size=40), st.lists(FRAGMENTS, max_size=12).map("".join)))
def test_any_text_is_a_call_or_says_why_it_is_none(text: str) -> None:
    call: Any = read_call(text)
    if isinstance(call, Malformed):
        assert call.text == text
        assert 0 < len(call.fault) < 300
        assert call.fault.encode()
    else:
        assert json.loads(json.dumps(call.arguments)) == call.arguments
