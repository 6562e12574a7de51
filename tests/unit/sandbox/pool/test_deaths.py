"""A session whose process goes wrong again and again outside of calls: given up, and only for its own doing."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from astra_jobs.sandbox.pool import Engine, process_sandbox
from astra_jobs.sandbox.pool.deaths import DEATHS, FORGIVEN
from astra_jobs.sandbox.protocol import SandboxLimits
from tests.conformance.sandbox.ways import COUNT, NAP, SPIN, tool
from tests.patience import patience
from tests.unit.sandbox.waiting import process_of, until

LIMITS = SandboxLimits(seconds=0.1)
IDLE = """
import os, select, struct
N, READ = [0], os.read
def idle(descriptor, count):
    if not select.select([3], [], [], 0.03)[0]:
        {deed}
    return READ(descriptor, count)
def bad():
    N[0] += 1
    os.read = idle
    return N[0]
"""
DEEDS = {
    "burns": "while True: pass",
    "ends": "os._exit(0)",
    "crashes": "os.abort()",
    "closes its socket": "os.close(3); select.select([], [], [])",
    "talks": "os.write(3, b'\\1' * 64); select.select([], [], [])",
}
"""What it does when nobody asks anything of it; replayed calls and the one behind them come at once, so those are answered."""


def run(body: Callable[[Engine], Awaitable[None]], limits: SandboxLimits = LIMITS, **settings: Any) -> None:
    async def outer() -> None:
        async with process_sandbox(limits, prove=False, **settings) as engine:
            await asyncio.wait_for(body(engine), patience())

    asyncio.run(outer())


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS.keys())
def test_a_session_that_goes_wrong_between_its_calls_is_given_up_in_the_end(deed: str) -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([tool("bad", IDLE.format(deed=deed)), COUNT])
        one, neighbour = engine.create(environment, 0), engine.create(environment, 1)
        for seq in range(DEATHS):
            result = await engine.call(one, seq, "bad", {})
            assert (result.outcome, result.value) == ("ok", seq + 1)
            await until(lambda seq=seq: engine.counts().get("deaths_total", 0) == seq + 1)
        forks = engine.counts()["forks_total"]
        for seq in range(3):
            result = await engine.call(one, DEATHS + seq, "bad", {})
            assert (result.outcome, result.trusted) == ("session_lost", False)
            assert result.text == f"the session was given up: its process went wrong {DEATHS} times outside of calls"
        counts = engine.counts()
        assert (counts["forks_total"], counts["given_up_total"], counts["deaths_total"]) == (forks, 1, DEATHS)
        assert (await engine.call(neighbour, 0, "count", {})).value == 1
        await engine.close(one)
        assert (await engine.call(engine.create(environment, 0), 0, "bad", {})).value == 1

    run(body)


def test_a_session_that_burns_in_its_replay_is_given_up_in_the_end() -> None:
    code = (
        "import os\nW = os.write\ndef late(d, data):\n    W(d, data)\n    while True: pass\ndef f():\n    os.write = late\n    return 1\n"
    )

    async def body(engine: Engine) -> None:
        one = engine.create(await engine.put([tool("f", code)]), 0)
        outcomes = []
        for seq in range(3 * DEATHS):
            outcomes.append((await engine.call(one, seq, "f", {})).outcome)
            if outcomes[-1] == "session_lost":
                break
        assert outcomes[0] == "ok"
        assert set(outcomes[1:-1]) == {"limit_time"}
        assert engine.counts()["given_up_total"] == 1
        assert engine.counts()["forks_total"] <= DEATHS + 1

    run(body)


def test_a_session_whose_replay_crashes_is_given_up_in_the_end() -> None:
    code = "import os\ndef f():\n    return 1\n"

    async def body(engine: Engine) -> None:
        environment = await engine.put([tool("f", code), tool("g", "import os\ndef g():\n    os.abort()\n")])
        one = engine.create(environment, 0, log=[("g", {}, "ok", "1")])
        for seq in range(DEATHS):
            assert (await engine.call(one, seq, "f", {})).outcome == "session_lost"
        counts = engine.counts()
        assert (counts["given_up_total"], counts["forks_total"]) == (1, DEATHS)

    run(body)


def test_limits_that_a_call_met_are_its_outcome_however_often() -> None:
    async def body(engine: Engine) -> None:
        one = engine.create(await engine.put([SPIN, NAP, COUNT]), 0)
        assert (await engine.call(one, 0, "count", {})).value == 1
        for seq in range(DEATHS + 2):
            assert (await engine.call(one, 1 + seq, "spin", {})).outcome == "limit_time"
        assert (await engine.call(one, 20, "nap", {})).outcome == "limit_time"
        assert (await engine.call(one, 21, "count", {})).value == 2
        assert engine.counts().get("deaths_total", 0) == 0

    run(body, SandboxLimits(seconds=0.05))


def test_what_somebody_else_ends_is_nobodys_fault() -> None:
    async def body(engine: Engine) -> None:
        one = engine.create(await engine.put([COUNT]), 0)
        for seq in range(2 * DEATHS):
            assert (await engine.call(one, seq, "count", {})).value == seq + 1
            os.kill(await process_of(engine, one), signal.SIGKILL)
            await until(lambda: one not in engine.pids())
        assert engine.counts().get("deaths_total", 0) == 0

    run(body)


def test_an_end_that_is_told_before_the_hang_up_is_seen_counts_as_well() -> None:
    """Both come at once where the loop was busy, in either order."""

    async def body(engine: Engine) -> None:
        environment = await engine.put([tool("bad", IDLE.format(deed=DEEDS["ends"]))])
        one = engine.create(environment, 0)
        assert (await engine.call(one, 0, "bad", {})).value == 1
        process = engine._sessions[one].process
        assert process is not None
        asyncio.get_running_loop().remove_reader(process.socket.fileno())  # its end is heard of from its zygote first
        await until(lambda: engine.counts().get("deaths_total"))
        assert process.gone
        assert (await engine.call(one, 1, "bad", {})).value == 2

    run(body)


def test_deaths_that_many_good_calls_lie_between_are_forgiven() -> None:
    async def body(engine: Engine) -> None:
        environment = await engine.put([tool("bad", IDLE.format(deed=DEEDS["ends"])), COUNT])
        one, seq = engine.create(environment, 0), 0
        for turn in range(DEATHS + 2):
            calls = [("count", {})] * (FORGIVEN - 1) + [("bad", {})]
            results = await engine.call_many(one, seq, calls)
            assert [result.outcome for result in results] == ["ok"] * FORGIVEN
            seq += len(calls)
            await until(lambda turn=turn: engine.counts().get("deaths_total", 0) == turn + 1)
        assert "given_up_total" not in engine.counts()

    run(body)
