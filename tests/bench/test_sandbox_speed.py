"""How fast the sandbox server is on one core, beside one Python process a call and beside ``exec`` in the caller's process.

Everything in one run: the servers, with all their children, on the first core, the load on the last. Every answer is
looked at, and only a wrong or missing one fails the bench. A session's whole start is measured, not only its acceptance.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from tests.bench.sandbox_baselines import floor
from tests.bench.sandbox_figures import load, measure_kills, measure_memory, record
from tests.bench.sandbox_load import Figures, listening, measure_calls, measure_cold, measure_creation, measure_front, pinned_server

SECONDS = 4.0
BASELINE_SECONDS = 3.0
CREATIONS, LIVE, SPINS, NAPS, COLD = 500, 200, 10, 8, (256, 8)
LIMIT = 0.5
SHAPES = [(batch, connections) for batch in (1, 32) for connections in (1, 8, 64)]
GOALS = {
    "unbatchedCallsPerSecond": 8_000,
    "batchedCallsPerSecond": 25_000,
    "createP50Ms": 3.0,
    "callP50Ms": 0.15,
    "coldSeconds": 10,
    "killMs": 100,
}
BASELINE = [sys.executable, "-m", "tests.bench.sandbox_baselines"]


@contextlib.contextmanager
def cores() -> Iterator[tuple[int, int]]:
    """Give the core of servers and the core of the load, to which this process keeps meanwhile."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield min(allowed), max(allowed)
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def awake(cores: tuple[int, int]) -> Iterator[None]:
    """Keep cores from idling, by a process of the lowest class that gives way to anything: how long an idle core takes to
    wake is the machine's affair, and most of a lone call's time on a virtual one.
    """
    with contextlib.ExitStack() as stack:
        for core in cores:
            spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(spinner.wait)
            stack.callback(spinner.kill)
            os.sched_setscheduler(spinner.pid, os.SCHED_IDLE, os.sched_param(0))
            os.sched_setaffinity(spinner.pid, {core})
        yield


def shape(batch: int, connections: int) -> str:
    """Name a way of calling."""
    return f"{'batches of ' + str(batch) if batch > 1 else 'single calls'} over {connections}"


async def all_shapes(port: int, pid: int, seconds: float) -> dict[str, Figures]:
    """Measure calls in every shape."""
    return {shape(*one): await measure_calls(port, pid, one[1], one[0], seconds) for one in SHAPES}


async def ours(port: int, pid: int, seconds: float, creations: int, live: int) -> Figures:
    """Measure what one server does, all but cold starts and kills."""
    return {
        "http": [await measure_front(port, connections, min(seconds, 1.0)) for connections in (1, 64)],
        "calls": await all_shapes(port, pid, seconds),
        "create": await measure_creation(port, creations),
        "memory": await measure_memory(port, pid, live),
    }


def speed(seconds: float, baseline_seconds: float, creations: int, cold: tuple[int, int]) -> Figures:
    """Measure everything."""
    environments, sessions = cold
    with cores() as (core, other):
        found: Figures = {"load": load(), "floorCallsPerSecond": floor(1.0)}
        with pinned_server(core, "--drain-seconds", "0") as (port, pid):
            found |= uvloop.run(ours(port, pid, seconds, creations, min(creations, LIVE)))
            with awake((core, other)):
                found["awake"] = uvloop.run(measure_calls(port, pid, 1, 1, seconds))
            found["cold"] = uvloop.run(measure_cold(port, pid, environments, sessions))
        room = ("--environments", str(environments), "--live", str(environments * sessions))
        with pinned_server(core, "--drain-seconds", "0", *room) as (port, pid):
            found["coldWithRoomForAll"] = uvloop.run(measure_cold(port, pid, environments, sessions))
        with pinned_server(core, "--drain-seconds", "0", "--seconds", str(LIMIT)) as (port, pid):
            found["kill"] = uvloop.run(measure_kills(port, pid, LIMIT, SPINS, NAPS))
        with listening(BASELINE, core) as (port, pid):
            found["processACall"] = uvloop.run(all_shapes(port, pid, baseline_seconds))
    return found | {"ratios": ratios(found)}


def ratios(found: Figures) -> dict[str, dict[str, float]]:
    """Return how many times as fast as a process a call, and how many times as slow as ``exec`` without walls."""
    best = found["floorCallsPerSecond"]["exec_each_call"]
    rates = {name: (calls["calls_per_second"], found["processACall"][name]["calls_per_second"]) for name, calls in found["calls"].items()}
    return {
        name: {"timesProcessACall": round(rate / max(1, slow), 1), "floorTimesOurs": round(best / rate, 2)}
        for name, (rate, slow) in rates.items()
    }


def check(found: Figures, cold: tuple[int, int]) -> None:
    """Fail when an answer was wrong or missing."""
    everybody: list[dict[str, Any]] = [found["awake"], *found["calls"].values(), *found["processACall"].values()]
    assert [one for one in everybody if one["errors"] or not one["calls"]] == []
    assert found["cold"]["answered"] == found["coldWithRoomForAll"]["answered"] == cold[0] * cold[1]


@pytest.mark.bench
def test_speed_beside_a_process_a_call_and_beside_no_sandbox() -> None:
    found = speed(SECONDS, BASELINE_SECONDS, CREATIONS, COLD)
    record("sandbox-speed", goals=GOALS, **found)
    check(found, COLD)


def test_the_measurement_answers_every_call_of_both_servers() -> None:
    """The load, the comparison and its checks work: a bench that only runs once in a while would rot."""

    async def briefly(port: int, pid: int) -> list[Figures]:
        return [await measure_calls(port, pid, connections, batch, 0.2) for batch, connections in ((1, 2), (4, 1))]

    for server in (pinned_server(None, "--drain-seconds", "0"), listening(BASELINE, None)):
        with server as (port, pid):
            for found in asyncio.run(briefly(port, pid)):
                assert found["errors"] == 0
                assert found["calls"] > 0
