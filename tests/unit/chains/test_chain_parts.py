"""The parts between the stages: provenance, votes, judging, faults, emulator, words, merge, statistics."""

import asyncio
import json
import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.api.v1alpha1.chains import ChainRollout, ChainVerification, Judging
from astra_jobs.authors.chain_requests import (
    Act,
    Action,
    ChainVerdict,
    ConversationVerdict,
    Emulate,
    Emulated,
    GivenArgument,
    JudgeChain,
    PlanTask,
    SketchTask,
    TaskSketch,
)
from astra_jobs.authors.procedural_chains import ProceduralChains
from astra_jobs.chains.card import wilson
from astra_jobs.chains.emulator import Emulator, OffSchema
from astra_jobs.chains.faults import KINDS, FaultInjector, fault_text
from astra_jobs.chains.funnel import Funnel
from astra_jobs.chains.judge import axes_of, complete, select
from astra_jobs.chains.merging import in_order, within_quota, without_copies
from astra_jobs.chains.rollout import Rollout, offer
from astra_jobs.chains.tasks import Task, _meaning_fault, _names_no_tool, drop_copies, language_fault
from astra_jobs.chains.verify import provenance_fault, verify
from astra_jobs.chains.words import exact_key, language_of, near_key
from astra_jobs.records.conversation import CallRecord, Conversation, Message, ToolCall
from astra_jobs.records.tool import Tool
from tests.unit.chains.chain_kit import author_of, server_of


def tool(name: str, argument: str, result: str, kind: str = "string") -> Tool:
    return Tool(
        name=name,
        description=f"{result} of a {argument}",
        parameters={"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]},
        returns={"type": "object", "properties": {result: {"type": kind}}, "required": [result]},
    )


SHIP, PORT = tool("ship_port", "ship", "port"), tool("port_depth", "port", "depth", "integer")


@pytest.mark.parametrize(
    ("chain", "text", "given_to", "fault"),
    [
        ([SHIP, PORT], "the depth of the port of ship k27", [("ship_port", "ship", "k27")], None),
        ([PORT, SHIP], "of port k27", [("port_depth", "port", "k27")], "ship_port.ship"),
        ([SHIP], "the port of a ship", [("ship_port", "ship", "k27")], "ship_port.ship"),
        ([SHIP], "the port of ship k271", [("ship_port", "ship", "k27")], "ship_port.ship"),
        ([SHIP], "the port of ship k27", [("ship_port", "ship", "")], "ship_port.ship"),
        ([SHIP], "the port of ship k27", [], "ship_port.ship"),
        ([SHIP], "find jobs for C++ people", [("ship_port", "ship", "C#")], "ship_port.ship"),
        ([SHIP], "find jobs for C++ people", [("ship_port", "ship", "C++")], None),
        ([SHIP], "दिन कितने हैं", [("ship_port", "ship", "दीन")], "ship_port.ship"),
        ([SHIP], "rows above 5", [("ship_port", "ship", "-5")], "ship_port.ship"),
        ([SHIP], "rows above -5", [("ship_port", "ship", "5")], "ship_port.ship"),
        ([SHIP], "less than €100", [("ship_port", "ship", "$100")], "ship_port.ship"),
        ([SHIP], "Send 👍 now", [("ship_port", "ship", "👍")], None),
        ([SHIP], "明天北京的天气", [("ship_port", "ship", "北京")], None),
        ([SHIP], "明天北京的天气", [("ship_port", "ship", "京北")], "ship_port.ship"),
        ([SHIP], "from York to the new town", [("ship_port", "ship", "New York")], "ship_port.ship"),
        ([SHIP], "ships Ann, and Bob.", [("ship_port", "ship", '["Ann", "Bob"]')], None),
        ([SHIP], "ships Ann, and Bob.", [("ship_port", "ship", '["Ann", "Eve"]')], "ship_port.ship"),
    ],
)
def test_every_argument_has_a_source(chain: list[Tool], text: str, given_to: list[tuple[str, str, str]], fault: str | None) -> None:
    sketch = TaskSketch(text=text, given=[GivenArgument(tool=a, argument=b, value=c) for a, b, c in given_to])
    found = provenance_fault(chain, sketch)
    assert found is None if fault is None else found is not None and found[1].startswith(fault)


class Votes:
    """An author of chains whose votes are given, one for each voter; None cannot be read."""

    def __init__(self, votes: list[bool | None]) -> None:
        self.votes = votes
        self.asked = Counter[int]()
        self.helper = ProceduralChains(author_of(), 0)

    async def answer(self, request: Any) -> Any:
        if isinstance(request, JudgeChain):
            self.asked[request.voter] += 1
            return ChainVerdict(valid=self.votes[request.voter])
        assert isinstance(request, SketchTask | PlanTask)
        return await self.helper.answer(request)


@pytest.mark.parametrize(
    ("votes", "stands", "reason"),
    [
        ([True, True, True], True, None),
        ([True, True, False], True, None),
        ([True, False, False], False, "Incoherent"),
        ([True, False, None], False, "Incoherent"),  # a tie is no majority
        ([True, True, None], True, None),
        ([True, None, None], False, "Unscored"),
        ([None, None, None], False, "Unscored"),
    ],
)
def test_votes_need_a_quorum_and_a_majority(votes: list[bool | None], stands: bool, reason: str | None) -> None:
    author, funnel, server = Votes(votes), Funnel(), server_of(0)
    settled = asyncio.run(verify(server, [server.tools[0].name], author, ChainVerification(votes=3, quorum=2), funnel))
    assert settled is stands
    assert [drop.reason for drop in funnel.dropped] == ([reason] if reason else [])
    assert all(author.asked[voter] == (3 if vote is None else 1) for voter, vote in enumerate(votes))


def call(fault: str | None = None) -> CallRecord:
    return CallRecord(turn=1, tool="t", arguments={}, status="error" if fault else "ok", fault=fault)


def verdict(**changes: Any) -> ConversationVerdict:
    base: dict[str, Any] = {"query_understanding": 1.0, "query_planning": 1.0, "relevance": 1.0, "faithfulness": 1.0}
    lists: dict[str, Any] = {"understanding": [], "planning": [], "status": [1.0], "needed": [1.0]}
    return ConversationVerdict(**(base | lists | changes))


def talk(rounds: list[int]) -> list[Message]:
    messages = [Message(role="user", content="?")]
    for count in rounds:
        messages.append(Message(role="assistant", tool_calls=[ToolCall(name="t", arguments={})] * count))
        messages += [Message(role="tool", content="{}", name="t")] * count
    return [*messages, Message(role="assistant", content="done")]


def test_axes_that_do_not_exist_are_left_out() -> None:
    assert set(axes_of(verdict(status=[], needed=[]), [])) == {"queryUnderstanding", "queryPlanning", "finalAnswer"}
    one_round = axes_of(verdict(), [call()])
    assert set(one_round) == {"queryUnderstanding", "queryPlanning", "callStatus", "conciseness", "finalAnswer"}
    two = axes_of(verdict(understanding=[1.0], planning=[0.5], status=[1.0, 1.0], needed=[1.0, 0.0]), [call(), call()])
    assert (two["contextPlanning"], two["conciseness"]) == (0.5, 0.5)


def test_injected_faults_are_left_out_of_status_and_conciseness() -> None:
    scores = axes_of(verdict(understanding=[1.0], planning=[1.0], status=[0.0, 1.0], needed=[0.0, 1.0]), [call("timeout"), call()])
    assert scores["callStatus"] == scores["conciseness"] == 1.0
    own_error = axes_of(verdict(understanding=[1.0], planning=[1.0], status=[0.0, 1.0], needed=[0.0, 1.0]), [call(), call()])
    assert own_error["callStatus"] == own_error["conciseness"] == 0.5
    assert "callStatus" not in axes_of(verdict(status=[0.0], needed=[0.0]), [call("auth")])


@pytest.mark.parametrize(
    "damage",
    [
        {"query_understanding": None},
        {"relevance": None},
        {"faithfulness": 1.5},
        {"planning": [None]},
        {"planning": []},
        {"status": [1.0]},
        {"needed": [1.0, 1.0, 1.0]},
        {"understanding": [-0.1]},
    ],
)
def test_verdict_with_a_hole_is_unscored(damage: dict[str, Any]) -> None:
    whole = {"understanding": [1.0], "planning": [1.0], "status": [1.0, 1.0], "needed": [1.0, 1.0]}
    assert complete(verdict(**whole), talk([1, 1]))
    assert not complete(verdict(**(whole | damage)), talk([1, 1]))


def test_selection_names_the_first_low_axis_then_the_mean() -> None:
    limits = Judging()
    assert select(None, limits)[-1][1] == ("Unscored", "the judge's answers could not be read")
    assert select({"queryUnderstanding": 1.0, "callStatus": 0.4, "conciseness": 0.1}, limits)[-1][0] == "callStatus"
    name, reason = select({"queryUnderstanding": 1.0, "conciseness": 0.5, "finalAnswer": 1.0}, limits)[-1]
    assert name == "meanScore"
    assert reason is not None
    assert select({"queryUnderstanding": 1.0, "conciseness": 0.7}, limits)[-1] == ("meanScore", None)


@pytest.mark.parametrize(("rate", "most"), [(0.2, 2), (0.5, 1), (0.9, 3), (0.0, 1)])
def test_faults_come_at_their_rate_and_never_too_many_in_a_row(rate: float, most: int) -> None:
    drawn = injected = 0
    kinds: Counter[str] = Counter()
    for seed in range(400):
        injector = FaultInjector(ChainRollout(failure_rate=rate, max_consecutive_failures=most), random.Random(seed))
        faults = [injector.draw() for _ in range(20)]
        run = "".join("x" if fault else "." for fault in faults)
        assert "x" * (most + 1) not in run
        drawn, injected = drawn + injector.drawn, injected + len(injector.injected)
        kinds.update(injector.injected)
    sigma = math.sqrt(rate * (1 - rate) / drawn)
    assert abs(injected / drawn - rate) <= 4 * sigma
    assert set(kinds) == (set(KINDS) if rate else set())


def test_equal_streams_draw_equal_faults() -> None:
    first, second = (FaultInjector(ChainRollout(), random.Random(7)) for _ in range(2))
    assert [first.draw() for _ in range(50)] == [second.draw() for _ in range(50)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_fault_can_be_read_as_a_result(kind: str) -> None:
    text = fault_text(kind, {"depth": 12, "unit": "m"})
    try:
        value = json.loads(text)
    except ValueError:
        value = {"error": text}
    assert "error" in value
    assert text == {"malformed": '{"depth', "empty": ""}.get(kind, f'{{"error":"{kind}"}}')


class Scripted:
    """Acts by a script; emulates with given values; remembers the state that it was shown."""

    def __init__(self, values: list[Any], actions: list[list[str]] | None = None) -> None:
        self.values, self.actions = values, actions or []
        self.states: list[dict[str, Any]] = []

    async def answer(self, request: Any) -> Any:
        if isinstance(request, Act):
            names = self.actions.pop(0) if self.actions else []
            return Action(content="" if names else "done", tool_calls=[ToolCall(name=name, arguments={}) for name in names])
        assert isinstance(request, Emulate)
        self.states.append(request.state)
        return Emulated(value=self.values.pop(0), state={"calls": len(self.states)})


def test_emulator_keeps_state_and_asks_again_for_a_result_off_schema() -> None:
    author = Scripted([{"port": 3}, {"port": "m41"}, {"port": "m42"}])
    emulator = Emulator(server_of(0), "c", author)
    question = ToolCall(name="ship_port", arguments={"ship": "k27"})
    assert asyncio.run(emulator.call(SHIP, question)).value == {"port": "m41"}
    assert asyncio.run(emulator.call(SHIP, question)).value == {"port": "m42"}
    assert author.states == [{}, {}, {"calls": 2}]
    with pytest.raises(OffSchema, match="ship_port"):
        asyncio.run(Emulator(server_of(0), "c", Scripted([{}, {}])).call(SHIP, question))


def test_parallel_calls_are_answered_in_order_and_unknown_tools_are_errors() -> None:
    author = Scripted([{"port": "m1"}, {"port": "m2"}], [["ship_port", "nowhere", "ship_port"]])
    player = Rollout(server_of(0), author, ChainRollout(failure_rate=0.0))
    rolled = asyncio.run(player.play(Task("t", "?", ("ship_port",)), [SHIP], random.Random(0)))
    assert rolled.closed
    texts = [message.content for message in rolled.messages if message.role == "tool"]
    assert texts == ['{"port":"m1"}', '{"error":"unknown tool nowhere"}', '{"port":"m2"}']
    assert author.states == [{}, {"calls": 1}]


def test_conversation_without_end_stops_at_the_limit() -> None:
    author = Scripted([{"port": "m1"}] * 9, [["ship_port"]] * 9)
    player = Rollout(server_of(0), author, ChainRollout(failure_rate=0.0, max_turns=4))
    rolled = asyncio.run(player.play(Task("t", "?", ("ship_port",)), [SHIP], random.Random(0)))
    assert not rolled.closed
    assert sum(message.role == "assistant" for message in rolled.messages) == 4


@given(st.integers(0, 40), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_offer_holds_the_needed_tools_and_one_to_three_others(index: int, seed: int) -> None:
    server = server_of(index)
    task = Task("t", "?", (server.tools[0].name, server.tools[1].name))
    offered = [tool.name for tool in offer(server, task, random.Random(seed))]
    assert len(set(offered)) == len(offered)
    assert set(task.targets) <= set(offered)
    assert 1 <= len(offered) - 2 <= 3


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the depth of the port of ship k27?", "en"),
        ("Find the color of ship k27.", "en"),
        ("Was ist die Tiefe von dem Hafen?", "de"),
        ("Quelle est la couleur de la maison ?", "fr"),
        ("Busca el color de la casa para mí.", "es"),
        ("船的颜色是什么", "zh"),
        ("船の色は何ですか", "ja"),
        ("Какой цвет у корабля?", "ru"),
        ("k27 m41", "und"),
        ("12 34", "und"),
        ("", "und"),
    ],
)
def test_language_is_identified_or_undetermined(text: str, language: str) -> None:
    assert language_of(text) == language


def test_language_that_cannot_be_told_is_not_known_to_be_equal() -> None:
    assert language_fault("k27", "k27") == ("UndeterminedLanguage", "und and und")
    assert language_fault("What is the color of it?", "Was ist die Farbe von dem?") == ("OtherLanguage", "de instead of en")
    assert language_fault("What is the color of it?", "Find the color of it.") is None


def test_copies_of_a_task_go_and_other_tasks_stay() -> None:
    texts = [
        "What is the color of ship k27?",
        "what is the  color of ship k27",
        "Please find the color of ship k27.",
        "What is the color of ship k28?",
        "For the log: what is the color of ship k27?",
    ]
    tasks = [Task(str(index), text, ()) for index, text in enumerate(texts)]
    funnel = Funnel()
    assert [task.id for task in drop_copies(tasks, funnel)] == ["0", "3", "4"]
    assert [(drop.name, drop.filter) for drop in funnel.dropped] == [("1", "exactDuplicate"), ("2", "nearDuplicate")]


def sample(name: str, text: str, tools: str = "sha256:a", fault: str | None = None, **labels: str) -> Conversation:
    messages = [Message(role="user", content=text)]
    return Conversation(
        id=name, server=name[0], tools=[SHIP], messages=messages, calls=[call(fault)], provenance=[tools, "chain", "task"], labels=labels
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("donors with O+", "donors with O-"),
        ("दिन कितने हैं", "दीन कितने हैं"),
        ("jobs for C++", "jobs for C#"),
        ("send 👍", "send 👎"),
        ("above 5", "above -5"),
        ("for €100", "for $100"),
        ("by 50%", "by 50"),
        ("明天北京", "后天北京"),
    ],
)
def test_tasks_that_differ_in_a_symbol_or_mark_are_no_copies(one: str, other: str) -> None:
    assert exact_key(one) != exact_key(other)
    assert near_key(one) != near_key(other)
    assert exact_key(one) == exact_key(f" {one.upper()}. ")


def test_a_rewriting_may_not_change_a_sign_or_symbol() -> None:
    class Silent:
        async def answer(self, request: Any) -> Any:
            raise AssertionError("no plan is asked for")

    for one, other in (("donors with O+", "donors with O-"), ("above 5", "above -5"), ("for €5", "for $5"), ("send 👍", "send 👎")):
        fault = asyncio.run(_meaning_fault(server_of(1), one, other, Silent()))  # type: ignore[arg-type]
        assert fault is not None
        assert fault[0] == "OtherMeaning"


def test_the_name_that_a_server_knows_a_tool_by_gives_it_away_too() -> None:
    server = server_of(1)
    renamed = server.tools[0].model_copy(update={"name": "tool_136a0785", "original_name": "获取天气"})
    server = server.model_copy(update={"tools": [renamed]})
    for text, kept in (("请获取天气", False), ("call tool_136a0785", False), ("明天会下雨吗", True)):
        assert _names_no_tool(Task("t", text, ()), server, Funnel()) is kept


def test_merge_drops_exactly_the_planted_copies_of_other_servers() -> None:
    text = "What is the color of ship k27?"
    samples = [
        sample("a1", text),
        sample("b1", text + " ", defect="copiedSample"),
        sample("c1", "Find the color of ship k27.", defect="nearlyCopiedSample"),
        sample("d1", text, tools="sha256:b"),
        sample("d2", "What is the motto of ship k27?"),
    ]
    funnel = Funnel()
    left, copies = without_copies(in_order(reversed(samples)), funnel)
    assert [item.id for item in left] == ["a1", "d1", "d2"]
    assert [(item.id, item.labels["filter"]) for item in copies] == [("b1", "globalExactDuplicate"), ("c1", "globalNearDuplicate")]
    rows = {row.filter: row for row in funnel.counts()}
    for name in ("globalExactDuplicate", "globalNearDuplicate"):
        assert (rows[name].planted, rows[name].planted_dropped, rows[name].clean_dropped) == (1, 1, 0)


@pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (0.25, 2), (0.5, 6), (1.0, 10)])
def test_recoveries_stay_within_their_quota(share: float, kept: int) -> None:
    samples = [sample(f"a{index:02d}", str(index), fault="timeout" if index < 10 else None) for index in range(16)]
    funnel = Funnel()
    left, over = within_quota(samples, share, funnel)
    held = [item for item in left if item.calls[0].fault]
    assert len(held) == kept
    assert len(left) + len(over) == 16
    assert within_quota(list(reversed(samples)), share, Funnel())[0] == list(reversed(left))
    row = next(row for row in funnel.counts() if row.filter == "recoveryQuota")
    assert (row.dropped, row.clean_dropped) == (10 - kept, 0)


def test_wilson_intervals_are_the_known_ones() -> None:
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
