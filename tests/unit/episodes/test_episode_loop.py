"""The loop over turns against a scripted chat form and a sandbox that can lose sessions."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.episodes.loop import EpisodeLimits
from astra_jobs.episodes.observation import error_text, result_text
from astra_jobs.episodes.runner import Runner, Task
from astra_jobs.episodes.written import Malformed
from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.environment import Answer, Environment, EnvTool, QaGraph, QaNode, Target
from astra_jobs.records.episode import Episode
from astra_jobs.records.tool import Tool
from astra_jobs.sandbox.protocol import CallResult, ToolCode

ANSWER = Answer(kind="text", value="m41")
ENVIRONMENT = Environment(
    id="e",
    question="Which port?",
    scenario="SingleHop",
    domain="d",
    tools=[EnvTool(tool=Tool(name="port", description="", parameters={}), code="")],
    targets=[Target(node=1, tool="port", answer=ANSWER, answer_path="/port")],
    oracle=[],
    graph=QaGraph(question="Which port?", nodes=[QaNode(id=1, hop=1, question="q", answer=ANSWER)], scenario="SingleHop"),
    world_seed=1,
    worlds=ProceduralWorlds(),
)
CALL: dict[str, Any] = {"name": "port", "arguments": {"ship": "s1"}}


@dataclass
class JsonTurn:
    content: str
    written: list[ToolCall | Malformed]


class JsonDialect:
    """Turns are JSON texts whose characters are the ids."""

    def prompt(self, tools: list[Tool], messages: list[Message]) -> list[int]:
        return [ord(char) for char in messages[-1].content]

    def observations(self, texts: list[str]) -> list[int]:
        return [ord(char) for char in "|".join(texts)]

    def parse(self, ids: list[int]) -> JsonTurn:
        body = json.loads("".join(map(chr, ids)))
        written = [Malformed(call, "no brace") if isinstance(call, str) else ToolCall(**call) for call in body.get("calls", [])]
        return JsonTurn(body.get("say", ""), written)


@dataclass
class ScriptedRollout:
    ids: list[int]
    ending: str = ""
    seen: list[str] = field(default_factory=list)


@dataclass
class ScriptedEngine:
    """Plays the same turns for every row; a turn of None is the token limit."""

    script: list[dict[str, Any] | None]

    async def generate(self, prompts: list[list[int]], on_turn: Any, sampling: None, keys: list[str]) -> list[ScriptedRollout]:
        async def row(index: int) -> ScriptedRollout:
            rollout = ScriptedRollout([])
            for body in self.script:
                if body is None:
                    break
                ids = [ord(char) for char in json.dumps(body)]
                rollout.ids += ids
                observed = await on_turn(index, ids)
                if observed is None:
                    break
                rollout.ids += observed
                rollout.seen.append("".join(map(chr, observed)))
            return rollout

        return list(await asyncio.gather(*(row(index) for index in range(len(prompts)))))


@dataclass
class FakePool:
    """A sandbox in memory; ``respond(session, seq)`` decides the result, ``log`` records what happened."""

    respond: Callable[[str, int], CallResult] = lambda session, seq: CallResult(outcome="ok", value={"port": "m41"})
    log: list[tuple[Any, ...]] = field(default_factory=list)
    running: int = 0
    most: int = 0
    opened: int = 0

    async def put(self, tools: list[ToolCode]) -> str:
        return "env"

    async def open(self, environment: str, seed: int) -> str:
        self.opened += 1
        self.log.append(("open", f"s{self.opened}"))
        return f"s{self.opened}"

    async def call(self, session: str, seq: int, tool: str, arguments: dict[str, Any]) -> CallResult:
        self.log.append(("call", session, seq, tool))
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return self.respond(session, seq)

    async def close(self, session: str) -> None:
        self.log.append(("close", session))

    async def shutdown(self) -> None:
        return None


def play(script: list[dict[str, Any] | None], pool: FakePool | None = None, **limits: Any) -> tuple[Episode, ScriptedRollout, FakePool]:
    async def run() -> tuple[Episode, ScriptedRollout, FakePool]:
        sandbox = pool or FakePool()
        runner: Any = Runner(ScriptedEngine(script), JsonDialect(), sandbox, EpisodeLimits(**{"max_turns": 6, **limits}))
        [(episode, rollout)] = await runner.run([Task(ENVIRONMENT, 3, "k")], None)
        return episode, rollout, sandbox

    return asyncio.run(run())


def test_a_solved_episode() -> None:
    episode, rollout, pool = play([{"calls": [CALL]}, {"say": "m41"}])
    assert (episode.ending, episode.reward.value, episode.turns, episode.sample) == ("Answered", 1.0, 2, 3)
    assert rollout.seen == ['{"port":"m41"}']
    assert [message.role for message in episode.messages] == ["user", "assistant", "tool", "assistant"]
    assert (episode.prompt_tokens, episode.response_tokens) == (len("Which port?"), len(rollout.ids))
    assert pool.log[-1] == ("close", "s1")


def test_no_session_is_opened_without_a_call() -> None:
    episode, _, pool = play([{"say": "no idea"}])
    assert (episode.ending, episode.reward.value, pool.log) == ("Answered", 0.0, [])


BAD = '{"name": "port", "arguments": {"ship": "s1"'
SHOWN = '{"error":"malformed call: no brace"}'
GOOD = '{"port":"m41"}'


@pytest.mark.parametrize(
    ("calls", "seen", "outcomes"),
    [
        ([BAD, CALL], [SHOWN, GOOD], ["malformed", "ok"]),
        ([CALL, BAD], [GOOD, SHOWN], ["ok", "malformed"]),
        ([BAD, CALL, BAD, BAD, CALL], [SHOWN, GOOD, SHOWN, SHOWN, GOOD], ["malformed", "ok", "malformed", "malformed", "ok"]),
        (
            [BAD, {"name": "nope", "arguments": {}}, CALL],
            [SHOWN, '{"error":"unknown tool nope"}', GOOD],
            ["malformed", "unknown_tool", "ok"],
        ),
        ([BAD], [SHOWN], ["malformed"]),
    ],
)
def test_answers_stand_in_the_order_of_the_calls(calls: list[Any], seen: list[str], outcomes: list[str]) -> None:
    episode, rollout, pool = play([{"calls": calls}, {"say": ""}])
    assert rollout.seen[0] == "|".join(seen)
    assert [message.content for message in episode.messages if message.role == "tool"] == seen
    assert [call.outcome for call in episode.calls] == outcomes
    assert [(call.text, call.fault) for call in episode.calls if call.outcome == "malformed"] == [(BAD, "no brace")] * outcomes.count(
        "malformed"
    )
    assert [entry for entry in pool.log if entry[0] == "call"] == [("call", "s1", seq, "port") for seq in range(outcomes.count("ok"))]


def test_malformed_and_unknown_calls_count() -> None:
    episode, _, _ = play([{"calls": [BAD, {"name": "nope", "arguments": {}}]}, {"calls": [CALL]}, {"say": ""}])
    assert episode.reward.value == pytest.approx(0.5)


def test_the_calls_of_the_last_turn_still_count() -> None:
    episode, rollout, _ = play([{"calls": [CALL]}, {"say": "never reached"}], max_turns=1)
    assert (episode.ending, episode.reward.value, rollout.seen) == ("TurnLimit", 1.0, [])


def test_an_engine_that_stops_by_itself_met_the_token_limit() -> None:
    episode, _, _ = play([{"calls": [CALL]}, None])
    assert (episode.ending, episode.reward.value) == ("TokenLimit", 1.0)


def test_calls_of_a_turn_run_one_after_the_other() -> None:
    pool = FakePool(lambda session, seq: CallResult(outcome="ok", value=seq))
    _, rollout, _ = play([{"calls": [CALL] * 6}, {"say": ""}], pool)
    assert pool.most == 1
    assert rollout.seen == ["0|1|2|3|4|5"]


def test_calls_above_the_bound_of_a_turn_do_not_run_and_count() -> None:
    episode, rollout, pool = play([{"calls": [CALL] * 6}, {"say": ""}], max_parallel_calls=4)
    assert [call.outcome for call in episode.calls] == ["ok"] * 4 + ["malformed"] * 2
    assert episode.calls[5].text == json.dumps(CALL)
    assert rollout.seen[0].endswith('|{"error":"malformed call: call 6 of the turn was not run; at most 4 are"}')
    assert (len([entry for entry in pool.log if entry[0] == "call"]), episode.reward.calls) == (4, 6)


def test_a_result_that_no_record_can_hold_is_an_error_of_the_tool() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    for value in (deep, {"x": "\ud800"}, [float("nan")]):
        results = [CallResult(outcome="ok", value=value), CallResult(outcome="ok", value={"port": "m41"})]
        episode, rollout, _ = play([{"calls": [CALL, CALL]}, {"say": ""}], FakePool(lambda session, seq, results=results: results[seq]))  # type: ignore[misc]
        assert [call.outcome for call in episode.calls] == ["tool_error", "ok"]
        assert rollout.seen[0].startswith('{"error":"the result cannot be kept: ')


def test_a_lost_session_is_rebuilt_from_its_log() -> None:
    def respond(session: str, seq: int) -> CallResult:
        lost = session == "s1" and seq == 1
        return CallResult(outcome="session_lost") if lost else CallResult(outcome="ok", value={"port": "m41"})

    episode, _, pool = play([{"calls": [CALL]}, {"calls": [CALL]}, {"say": ""}], FakePool(respond))
    assert [call.outcome for call in episode.calls] == ["ok", "ok"]
    assert not episode.reward.masked
    assert pool.log[2:7] == [
        ("call", "s1", 1, "port"),
        ("close", "s1"),
        ("open", "s2"),
        ("call", "s2", 0, "port"),
        ("call", "s2", 1, "port"),
    ]


def test_infrastructure_that_stays_down_masks_the_episode() -> None:
    episode, _, pool = play([{"calls": [CALL]}, {"say": ""}], FakePool(lambda session, seq: CallResult(outcome="infra_error")))
    assert (episode.ending, episode.reward.masked, episode.reward.calls) == ("Infrastructure", True, 0)
    assert pool.opened == 3


def test_observations_are_compact_json_cut_to_length() -> None:
    assert result_text({"a": "é", "b": [1, 2]}, 100) == '{"a":"é","b":[1,2]}'
    assert result_text("x" * 50, 10) == '"' + "x" * 9
    assert error_text("no such ship", 100) == '{"error":"no such ship"}'


def test_a_failed_call_shows_its_text_or_else_its_outcome() -> None:
    results = [CallResult(outcome="tool_error", text="no such ship"), CallResult(outcome="limit_time")]
    _, rollout, _ = play([{"calls": [CALL, CALL]}, {"say": ""}], FakePool(lambda session, seq: results[seq]))
    assert rollout.seen == ['{"error":"no such ship"}|{"error":"limit_time"}']
