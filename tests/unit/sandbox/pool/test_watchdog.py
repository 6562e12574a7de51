"""Blocked, busy at the right moments, or starved: what the watchdog makes of looks at a process, on a clock of the test's own."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

import astra_jobs.sandbox.pool.watchdog as watchdog_module
from astra_jobs.sandbox.pool.settings import PoolSettings, Walls
from astra_jobs.sandbox.pool.watchdog import HANG_UP, START, Sight, Verdict, Watchdog
from astra_jobs.sandbox.protocol import SandboxLimits

WALL = 11.0
"""Seconds of the wall limit at a CPU limit of 2."""


def judged(monkeypatch: pytest.MonkeyPatch, see: Callable[[float], Sight | None], **process: float) -> tuple[Verdict | None, float]:
    """Let time pass in ticks until there is a verdict; return it and when it came."""
    watchdog = Watchdog(PoolSettings(limits=SandboxLimits(seconds=2.0), walls=Walls(cpu=False)))
    made = SimpleNamespace(**{"since": 1.0, "hung_up": 0.0, "pid": 7, "cpu_mark": None, "look": None} | process)
    now = 1.0
    while now < 150:
        now += 0.02
        monkeypatch.setattr(watchdog_module, "look", lambda _, now=now: see(now - 1.0))
        verdict = watchdog.judge(made, now)
        if verdict is not None:
            return verdict, now - 1.0
    return None, now


def spins_around_half_the_limit(delay: float | None) -> Callable[[float], Sight]:
    def see(now: float) -> Sight:
        near = abs((now + 0.5) % (WALL / 2) - 0.5) < 0.1
        return Sight(now / 50, delay, "R" if near else "S")

    return see


@pytest.mark.parametrize(
    ("see", "outcome"),
    [
        (lambda _: Sight(0.0, 0.0, "S"), "limit_time"),
        (lambda _: Sight(0.0, None, "S"), "limit_time"),
        (lambda _: Sight(0.0, 0.0, "R"), "infra_error"),
        (lambda now: Sight(0.0, now * 0.9, "S"), "infra_error"),
        (lambda now: Sight(now / 10, now * 0.9, "R"), "infra_error"),
        (lambda now: Sight(now / 10, None, "R"), "infra_error"),
        (lambda now: Sight(0.0, min(now, 9.0), "S"), "limit_time"),
        (lambda _: None, "infra_error"),
        (lambda _: Sight(0.0, 0.0, "T"), "infra_error"),
        (spins_around_half_the_limit(0.0), "limit_time"),
        (spins_around_half_the_limit(None), "limit_time"),
        (lambda now: Sight(now, 0.0, "R"), "limit_time"),
    ],
    ids=[
        "blocked", "blocked, no delays told", "never got a CPU", "waited for a CPU", "got a tenth of a CPU",
        "got a tenth of a CPU, no delays told", "waited and then blocked", "no evidence", "stopped from outside",
        "spins when looks are due", "spins when looks are due, no delays told", "busy all the time",
    ],
)  # fmt: skip
def test_a_starved_process_is_infrastructure_and_one_that_waits_by_itself_is_not(
    monkeypatch: pytest.MonkeyPatch, see: Callable[[float], Sight | None], outcome: str
) -> None:
    verdict, after = judged(monkeypatch, see)
    assert verdict is not None
    assert verdict.outcome == outcome
    if outcome == "limit_time" and see(1.0) == see(20.0):
        assert WALL <= after < WALL + 0.1


def test_a_closed_socket_is_the_tools_doing_unless_the_process_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, after = judged(monkeypatch, lambda _: Sight(0.0, 0.0, "S"), hung_up=1.0)
    assert (verdict and verdict.outcome, round(after, 1)) == ("tool_error", HANG_UP)
    verdict, after = judged(monkeypatch, lambda _: Sight(0.0, 0.0, "Z"), hung_up=1.0)
    assert (verdict and verdict.outcome, round(after)) == ("infra_error", START)


def test_a_process_that_is_never_forked_is_infrastructure(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, after = judged(monkeypatch, lambda _: None, pid=0)
    assert (verdict and verdict.outcome, round(after)) == ("infra_error", START)
