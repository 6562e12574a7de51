"""What sessions' calls hold of the supervisor's memory: bounded for each and in all, given back when they end."""

import asyncio
from typing import Any

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.pool import Engine, process_sandbox
from astra_jobs.sandbox.pool.ledger import CALL, SESSION
from astra_jobs.sandbox.protocol import SandboxLimits, SequenceConflict
from tests.conformance.sandbox.ways import COUNT, ECHO, tool

LENGTH = tool("length", "def length(x):\n    return len(x)\n", {"type": "object", "properties": {"x": {"type": "string"}}})
BIG = "y" * (1 << 18)


def run(body: Any, **settings: Any) -> None:
    async def outer() -> None:
        async with process_sandbox(SandboxLimits(), prove=False, **settings) as engine:
            await asyncio.wait_for(body(engine), 120)

    asyncio.run(outer())


def test_a_call_without_a_trace_keeps_no_arguments_and_is_still_known() -> None:
    async def body(engine: Engine) -> None:
        one = engine.create(await engine.put([LENGTH, COUNT]), 0)
        held = engine.calls.ledger.held
        refused = [await engine.call(one, seq, "length", {"z": BIG}) for seq in range(20)]
        assert {result.outcome for result in refused} == {"invalid_args"}
        assert engine.calls.ledger.held - held < 20 * (CALL + 1000)
        assert await engine.call(one, 3, "length", {"z": BIG}) == refused[3]
        with pytest.raises(SequenceConflict):
            await engine.call(one, 3, "length", {"z": BIG + "y"})
        assert (await engine.call(one, 20, "length", {"x": BIG})).value == len(BIG)
        assert engine.calls.ledger.held - held > len(BIG)
        await engine.close(one)
        assert engine.calls.ledger.held == 0

    run(body)


def test_the_books_are_even_whatever_becomes_of_calls() -> None:
    leave = tool("leave", "import os\ndef leave():\n    os._exit(1)\n")

    async def body(engine: Engine) -> None:
        environment = await engine.put([leave, COUNT, LENGTH])
        for seed in range(4):
            one = engine.create(environment, seed)
            names = ["count", "leave", "length", "nothing", "count"]
            results = await engine.call_many(one, 0, [(name, {"x": BIG} if name == "length" else {}) for name in names])
            assert [result.outcome for result in results] == ["ok", "tool_error", "ok", "unknown_tool", "ok"]
            branch = engine.fork(one, None, None)
            pending = asyncio.ensure_future(engine.call(branch, 0, "count", {}))
            await asyncio.sleep(0)
            await engine.close(branch)
            assert (await pending).outcome == "session_lost"
            kept = engine._sessions[one]
            assert kept.waiting == 0
            texts = sum(len(one.result.text) for one in kept.results.values())
            assert kept.held == SESSION + sum(CALL + len(one.body) for one in kept.results.values()) + texts
            await engine.close(one)
        assert engine.calls.ledger.held == 0

    run(body)


def test_one_sessions_history_is_bounded_and_so_is_a_log_that_comes_along() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([LENGTH, COUNT])
        one = engine.create(environment, 0)
        results = [await engine.call(one, seq, "length", {"x": BIG}) for seq in range(8)]
        assert [result.outcome for result in results] == ["ok"] * 3 + ["invalid_args"] * 5
        assert "more than 1 MiB" in results[-1].text
        assert (await engine.call(one, 8, "count", {})).value == 1
        entry = ("length", {"x": BIG}, "ok", str(len(BIG)))
        assert (await engine.call(engine.create(environment, 0, log=[entry] * 3), 0, "count", {})).value == 1
        with pytest.raises(BadInput, match=r"log\[\d+\].*more than 2 MiB"):
            engine.create(environment, 0, log=[entry] * 20)

    run(body, session_log_mib=1)


def test_idle_sessions_of_the_environment_that_holds_most_end_when_memory_is_short() -> None:
    async def body(engine: Engine) -> None:
        greedy, modest = await engine.put([LENGTH, COUNT]), await engine.put([ECHO])
        small = engine.create(modest, 0)
        assert (await engine.call(small, 0, "echo", {"x": "a"})).outcome == "ok"
        large = [engine.create(greedy, seed) for seed in range(12)]
        for one in large:
            assert [(await engine.call(one, seq, "length", {"x": BIG})).outcome for seq in range(2)] == ["ok", "ok"]
        assert engine.calls.ledger.held <= engine.calls.ledger.most + len(BIG) + 2 * CALL, "the last call came on top"
        assert engine.counts()["shed_total"] > 0
        assert engine.has(small)
        assert [engine.has(one) for one in large] == sorted(engine.has(one) for one in large), "the oldest go first"
        assert engine.has(large[-1])
        lost = await engine.call(large[0], 2, "count", {})
        assert (lost.outcome, lost.trusted) == ("session_lost", False)
        log = [("length", {"x": BIG}, "ok", str(len(BIG)))] * 2  # whoever has the history makes the session anew
        again = engine.create(greedy, 0, log=log)
        assert (await engine.call(again, 0, "count", {})).value == 1

    run(body, log_mib=4)


def test_where_nothing_can_end_the_caller_is_asked_to_come_back() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([LENGTH, COUNT])
        one = engine.create(environment, 0)
        for seq in range(4):
            await engine.call(one, seq, "length", {"x": BIG})
        result = await engine.call(one, 4, "count", {})
        assert (result.outcome, result.retry_after > 0) == ("overloaded", True)
        assert engine.has(one)

    run(body, log_mib=1)
