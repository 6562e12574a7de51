"""How often the proof of the walls is tried: on a busy machine gVisor counts as the probe's CPU time what others had."""

import asyncio
import platform
from types import SimpleNamespace
from typing import Any

import pytest

from astra_jobs.api.errors import Transient
from astra_jobs.sandbox.pool import probes
from astra_jobs.sandbox.pool.settings import PoolSettings
from astra_jobs.sandbox.protocol import CallResult, failure

LATE = failure("limit_time", "the call used more than 0.2 s of CPU")
CRASH = failure("tool_error", "the tool ended its process")
HOLDS = CallResult("ok", [], "[]")


class Busy:
    """As much of an engine as the proof asks for; calls give what is listed, the last one for ever."""

    def __init__(self, *results: CallResult) -> None:
        self.settings, self.results, self.calls, self.variant = PoolSettings(), list(results), 0, "own"

    async def put(self, tools: Any) -> str:
        return "environment"

    def create(self, environment: str, seed: int) -> str:
        return "session"

    def user_of_next(self) -> int:
        return -1

    async def call(self, session: str, seq: int, tool: str, arguments: Any) -> CallResult:
        assert seq == self.calls
        self.calls += 1
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]

    async def forget(self, environment: str) -> None:
        self.results = []


def prove(engine: Any) -> dict[str, str]:
    return asyncio.run(probes.prove(engine, platform.machine()))


def test_a_probe_that_meets_the_limit_of_cpu_is_tried_until_it_does_not() -> None:
    engine = Busy(*[LATE] * 8, HOLDS)
    assert set(prove(engine)) == set(probes.PROVEN)
    assert engine.calls == 9


def test_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, *[1.0] * 5, probes.PATIENCE + 1])
    monkeypatch.setattr(probes, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    engine = Busy(LATE)
    with pytest.raises(Transient, match="could not be proven: limit_time"):
        prove(engine)
    assert engine.calls == probes.ATTEMPTS + 5


def test_one_that_fails_otherwise_is_tried_three_times() -> None:
    engine = Busy(CRASH)
    with pytest.raises(Transient, match="could not be proven: tool_error"):
        prove(engine)
    assert engine.calls == probes.ATTEMPTS
