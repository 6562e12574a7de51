"""Work between calls, zygotes that stand still, and texts that are no JSON: killed, replaced and refused in time."""

import asyncio
import json
import math
import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.sandbox.inside.encode import Unfit, encode, fitted
from astra_jobs.sandbox.pool import Engine, Walls, process_sandbox
from astra_jobs.sandbox.pool.records import is_json
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits
from tests.conformance.sandbox.ways import COUNT, tool
from tests.patience import patience
from tests.unit.sandbox.waiting import process_of, until

LIMITS = SandboxLimits(seconds=0.2)
BURN = tool(
    "burn",
    """
import os
N, WRITE = [0], os.write
def late(descriptor, data):
    sent = WRITE(descriptor, data)
    while True:
        pass
def burn():
    N[0] += 1
    os.write = late
    return N[0]
""",
)


def test_a_session_that_works_between_its_calls_is_killed_and_comes_back() -> None:
    async def body(engine: Engine, kills: bool) -> None:
        one = engine.create(await engine.put([BURN, COUNT]), 0)
        assert (await engine.call(one, 0, "burn", {})).value == 1
        if kills:
            await until(lambda: engine.counts().get("kills_total") == 1)
            assert one not in engine.pids()
        else:
            pid = await process_of(engine, one)
            await until(lambda: _cpu(pid) > 1.0)

    async def outer() -> None:
        async with process_sandbox(LIMITS, prove=False) as engine:
            await body(engine, True)
        async with process_sandbox(LIMITS, prove=False, walls=Walls(cpu=False)) as engine:
            await body(engine, False)

    asyncio.run(outer())


def _cpu(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def test_a_session_that_rests_between_its_calls_is_left_alone() -> None:
    heap = tool("heap", "H = []\ndef heap():\n    H.append([[] for _ in range(20000)])\n    return len(H)\n")

    async def outer() -> None:
        async with process_sandbox(SandboxLimits(seconds=1.0), prove=False) as engine:
            one = engine.create(await engine.put([heap]), 0)
            for seq in range(130):
                assert (await engine.call(one, seq, "heap", {})).value == seq + 1
            rounds = engine.calls.patrol.rounds
            await until(lambda: engine.calls.patrol.rounds > rounds + 5)
            assert engine.counts().get("kills_total", 0) == engine.counts()["replays_total"] == 0

    asyncio.run(outer())


@pytest.mark.parametrize("base", [False, True], ids=["an environment's zygote", "the base zygote"])
def test_a_stopped_zygote_is_replaced_and_its_sessions_lose_nothing(base: bool) -> None:
    async def outer() -> None:
        async with process_sandbox(SandboxLimits(), prove=False) as engine:
            environment = await engine.put([COUNT])
            one, other = engine.create(environment, 0), engine.create(environment, 1)
            assert (await engine.call(one, 0, "count", {})).value == 1
            zygote = engine.calls.rooms.zygotes[environment]
            await until(lambda: zygote.pid)
            os.kill(zygote.base.process.pid if base else zygote.pid, signal.SIGSTOP)
            started = time.monotonic()
            assert (await engine.call(other, 0, "count", {})).value == 1
            assert time.monotonic() - started < patience(), "it did not wait for a stopped process"
            await until(lambda: zygote.gone)
            assert (await engine.call(one, 1, "count", {})).value == 2

    asyncio.run(outer())


FORGED = ["NaN", "-Infinity", "Infinity", "1e999", '"\\ud800"', "", "nothing", "[1,", "01", "1 2", "[" * 5000 + "]" * 5000]


@pytest.mark.parametrize("text", FORGED, ids=[text[:10] for text in FORGED])
def test_a_text_that_is_not_json_has_no_value_and_is_told_from_json(text: str) -> None:
    assert not is_json(text)
    assert CallResult("ok", text=text).value is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(anything)
def test_whatever_the_encoder_writes_is_json(value: object) -> None:
    try:
        text = encode(fitted(value))
    except Unfit:
        return
    assert is_json(text)
    assert CallResult("ok", text=text).value == value == json.loads(text)


def test_the_largest_numbers_are_json() -> None:
    assert all(map(is_json, (encode(10**4299), encode(math.nextafter(0, 1)), encode(1.7976931348623157e308))))


def test_a_session_that_forges_its_text_fails_its_call() -> None:
    forge = tool(
        "forge", "import os\nW = os.write\ndef forge():\n    os.write = lambda fd, data: W(fd, data[:-3] + b'NaN') + 0\n    return 123\n"
    )

    async def outer() -> None:
        for walls, outcome in ((Walls(), "tool_error"), (Walls(encoder=False), "ok")):
            async with process_sandbox(LIMITS, prove=False, walls=walls) as engine:
                result = await engine.call(engine.create(await engine.put([forge]), 0), 0, "forge", {})
                assert (result.outcome, result.value) == (outcome, None)

    asyncio.run(outer())
