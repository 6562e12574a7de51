"""What a call leaves behind is collected within that call: the next one is charged with nothing of it."""

import asyncio
import os
import signal

from astra_jobs.sandbox.pool import Engine, process_sandbox
from astra_jobs.sandbox.protocol import SandboxLimits
from tests.conformance.sandbox.ways import COUNT, tool
from tests.unit.sandbox.waiting import process_of, until

FINALIZED = tool(
    "leave",
    """
DONE = []
class Left:
    def __del__(self):
        DONE.append(sum(range(100)))
def leave():
    before = len(DONE)
    for _ in range(3000):
        left = Left()
        left.me = left
    del left
    return [before, len(DONE) - before > 0]
""",
)
"""Leaves cycles whose finalizers work; tells how many were done before it began."""
ENDLESS = tool(
    "leave",
    """
class Left:
    def __del__(self):
        while True: pass
def leave():
    left = Left()
    left.me = left
    return 1
""",
)
BIG = tool("leave", "def leave():\n    left = [bytearray(30 << 20)]\n    left.append(left)\n    return 1\n")
MANY = tool(
    "leave",
    """
def leave():
    for _ in range(300):
        left = [bytearray(1 << 20)]
        left.append(left)
        [[] for _ in range(700)]
""",
)
DROPPED = tool(
    "leave",
    """
KEPT = []
def leave():
    KEPT.clear()
    made = [bytearray(40 << 20), [[] for _ in range(3000)]]
    made.append(made)
    KEPT.append(made)
    return 1
""",
)
RAISING = tool("leave", "def leave():\n    held = bytearray(30 << 20)\n    raise ValueError(held and 1)\n")
KEEPING = tool(
    "leave",
    """
def leave():
    held = bytearray(30 << 20)
    try:
        raise ValueError(1)
    except ValueError as error:
        again = error
    return 1
""",
)


def outcomes(code: object, calls: int, limits: SandboxLimits) -> list[str]:
    async def body() -> list[str]:
        async with process_sandbox(limits, prove=False) as engine:
            one = engine.create(await engine.put([code, COUNT]), 0)  # type: ignore[list-item]
            found = [(await engine.call(one, seq, "leave", {})).outcome for seq in range(calls)]
            found.append((await engine.call(one, calls, "count", {})).outcome)
            if "limit_time" not in found:  # an endless call is ended by itself or from outside, whichever sees it first
                assert engine.counts().get("kills_total", 0) == 0
            return found

    return asyncio.run(body())


def test_finalizers_run_in_the_call_that_left_them() -> None:
    async def body(engine: Engine) -> None:
        one = engine.create(await engine.put([FINALIZED, COUNT]), 0)
        values = [(await engine.call(one, seq, "leave", {})).value for seq in range(80)]
        assert [before for before, _ in values] == [3000 * number for number in range(80)]
        again = engine.create(await engine.put([FINALIZED, COUNT]), 0)
        for seq in range(3):
            assert (await engine.call(again, seq, "leave", {})).value == values[seq]
        os.kill(await process_of(engine, again), signal.SIGKILL)
        assert (await engine.call(again, 3, "leave", {})).value == values[3]
        await until(lambda: not engine.calls.pending)
        assert engine.counts().get("deaths_total", 0) == 0

    async def outer() -> None:
        async with process_sandbox(SandboxLimits(seconds=10), prove=False) as engine:
            await body(engine)

    asyncio.run(outer())


def test_a_finalizer_without_end_is_its_own_calls_limit_of_time() -> None:
    assert outcomes(ENDLESS, 3, SandboxLimits(seconds=0.2)) == ["limit_time"] * 3 + ["ok"]


def test_memory_that_calls_drop_is_there_for_the_next() -> None:
    limits = SandboxLimits(seconds=20, memory_mib=192)
    for code in (BIG, DROPPED, KEEPING):
        assert outcomes(code, 20, limits) == ["ok"] * 21
    assert outcomes(RAISING, 20, limits) == ["tool_error"] * 20 + ["ok"]


def test_garbage_is_collected_while_a_call_runs_as_anywhere_in_python() -> None:
    assert outcomes(MANY, 2, SandboxLimits(seconds=20, memory_mib=192)) == ["ok"] * 3


def test_memory_that_a_session_keeps_counts_against_the_call_that_asks_for_too_much() -> None:
    keep = tool("leave", "KEPT = []\ndef leave():\n    KEPT.append(bytearray(40 << 20))\n    return 1\n")
    found = outcomes(keep, 6, SandboxLimits(seconds=20, memory_mib=192))
    assert found[-1] == "ok"
    assert set(found) == {"ok", "limit_memory"}
    assert found[:-1] == sorted(found[:-1], reverse=True)
