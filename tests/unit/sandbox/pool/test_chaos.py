"""Killing what can be killed while calls run: no wrong answer, no lost call, no call counted twice."""

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path

from astra_jobs.sandbox.pool import Engine, process_sandbox
from astra_jobs.sandbox.pool.bases import DEATHS as BASES
from astra_jobs.sandbox.protocol import SandboxLimits
from tests.conformance.sandbox.ways import COUNT, tool

SESSIONS, CALLS = 24, 40


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def play(engine: Engine, environment: str, seed: int) -> tuple[list[int], list[str]]:
    """Call until every call has an answer of the tool; what infrastructure lost is asked for again under its number."""
    session, values, states = engine.create(environment, seed), [], []
    for seq in range(CALLS):
        for _ in range(20):
            result = await engine.call(session, seq, "count", {})
            if result.trusted:
                break
        assert result.outcome == "ok", result
        values.append(result.value)
        states.append(result.state)
        if seq % 3 == 0:
            await asyncio.sleep(0)
    return values, states


async def kill(engine: Engine, rng: random.Random, done: asyncio.Event) -> int:
    kills, bases = 0, 0
    while not done.is_set():
        await asyncio.sleep(0.01)
        pids = list(engine.pids().values())
        with suppress(OSError, IndexError):
            if pids and rng.random() < 0.8:
                os.kill(rng.choice(pids), signal.SIGKILL)
            elif pids and rng.random() < 0.8:
                zygote = parent_of(rng.choice(pids))
                if zygote not in (os.getpid(), 1, engine.calls.rooms.base.process.pid):
                    os.kill(zygote, signal.SIGKILL)
            elif bases < BASES - 2:
                engine.calls.rooms.base.process.kill()
                bases += 1
            kills += 1
    return kills


def test_kills_under_load_change_no_answer() -> None:
    async def body() -> tuple[list[tuple[list[int], list[str]]], int]:
        async with process_sandbox(SandboxLimits(), live=16, environments=3, parallel=8, prove=False) as engine:
            environments = [await engine.put([COUNT, tool(f"t{number}", "")]) for number in range(4)]
            done = asyncio.Event()
            killer = asyncio.ensure_future(kill(engine, random.Random(7), done))
            played = await asyncio.wait_for(
                asyncio.gather(*(play(engine, environments[seed % 4], seed // 4) for seed in range(SESSIONS))), 120
            )
            done.set()
            kills = await killer
            counts = engine.counts()
            assert (counts["calls_pending"], counts["busy"], counts["sessions_waiting"]) == (0, 0, 0)
            assert counts["processes"] <= 16
            return played, kills

    async def calm() -> list[tuple[list[int], list[str]]]:
        async with process_sandbox(SandboxLimits(), prove=False) as engine:
            environments = [await engine.put([COUNT, tool(f"t{number}", "")]) for number in range(4)]
            return [await play(engine, environments[seed % 4], seed // 4) for seed in range(SESSIONS)]

    before = len(os.listdir("/proc/self/fd"))
    played, kills = asyncio.run(body())
    assert kills > 10
    assert len(os.listdir("/proc/self/fd")) == before
    assert played == asyncio.run(calm())
    assert played[0][0] == list(range(1, CALLS + 1))
