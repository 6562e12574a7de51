"""A session's clock over its calls: forwards only, and the same after a replay, after a limit and in a fork."""

import asyncio
import datetime
import itertools
import os
import signal
from typing import Any

from astra_jobs.sandbox.pool import Engine, process_sandbox
from astra_jobs.sandbox.protocol import SandboxLimits
from tests.conformance.sandbox.ways import SPIN, tool
from tests.unit.sandbox.waiting import process_of, until

TIMES = tool(
    "times",
    """
import datetime
import time

LAST = [time.time()]


def times(nap):
    found = [LAST[0], time.time(), time.monotonic(), datetime.datetime.now().timestamp(), time.perf_counter(), time.time_ns() / 1e9]
    time.sleep(nap)
    LAST[0] = time.time()
    return [*found, LAST[0], str(datetime.datetime.now(datetime.UTC)), time.process_time()]
""",
    {"type": "object", "properties": {"nap": {"type": "number"}}, "required": ["nap"]},
)
NAPS = (0, 100, 0.5, 0, 3600, 0)


async def told(engine: Engine, environment: str, disturb: Any) -> list[list[Any]]:
    """Make all calls in a session that something happens to before each of them."""
    session = engine.create(environment, 1)
    found = []
    for number, nap in enumerate(NAPS):
        await disturb(session, 2 * number)
        result = await engine.call(session, 2 * number + 1, "times", {"nap": nap})
        assert result.outcome == "ok", result
        found.append(result.value)
    return found


def test_time_only_moves_forward_and_follows_from_the_history_alone() -> None:
    async def body() -> None:
        async with process_sandbox(SandboxLimits(seconds=0.2), prove=False) as engine:
            environment = await engine.put([TIMES, SPIN])

            async def nothing(session: str, seq: int) -> None:
                pass

            async def killed(session: str, seq: int) -> None:
                if seq:
                    pid = await process_of(engine, session)
                    os.kill(pid, signal.SIGKILL)
                    await until(lambda: engine.pids().get(session) != pid)

            async def limited(session: str, seq: int) -> None:
                assert (await engine.call(session, seq, "spin", {})).outcome == "limit_time"

            calm = await told(engine, environment, nothing)
            assert await told(engine, environment, killed) == calm
            assert await told(engine, environment, limited) == calm
            readings = list(itertools.chain.from_iterable(row[:7] for row in calm))
            assert readings == sorted(readings)
            assert all(len(set(row[1:7])) == 6 for row in calm), "each reading is another"
            moments = [datetime.datetime.fromisoformat(row[7]) for row in calm]
            assert [round((later - one).total_seconds()) for one, later in itertools.pairwise(moments)] == [101, 2, 1, 3601, 1]
            assert [row[8] for row in calm] == sorted(row[8] for row in calm)
            assert calm[-1][8] < 1, "time that is slept is not used"

    asyncio.run(body())
