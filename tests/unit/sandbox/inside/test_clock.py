"""Virtual time: it never runs backwards, moves with every reading, and follows from what the session's calls did alone."""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.sandbox.inside.clock import QUANTUM, SECOND, STEP, Clock

deeds = st.lists(st.sampled_from(["read", "used", "call", "start"]) | st.floats(0, 1e6) | st.integers(0, 1000), max_size=40)


def done(clock: Clock, deed: Any) -> int | None:
    if deed == "read":
        return clock.read()
    if deed == "used":
        return clock.read_used()
    if deed == "call":
        clock.between_calls()
    elif deed == "start":
        clock.start()
    else:
        clock.sleep(deed)
    return None


@given(deeds)
def test_time_repeats_itself_and_only_grows(todo: list[Any]) -> None:
    one, other = Clock(1e9), Clock(1e9)
    before = one.now
    for deed in todo:
        assert done(one, deed) == done(other, deed)
        assert one.now >= before or deed == "start"
        before = one.now


def test_readings_differ_as_integers_as_floats_and_over_sleeps_and_calls() -> None:
    clock = Clock(1.9e9)
    found = [clock.read_seconds() for _ in range(1000)]
    clock.sleep(2.5)
    clock.between_calls()
    found.append(clock.read_seconds())
    assert found == sorted(set(found))
    assert found[0] == 1.9e9
    assert clock.now == 1_900_000_000 * SECOND + 1001 * QUANTUM + 2_500_000_000 + STEP


def test_used_time_leaves_out_sleeps_and_what_lies_between_calls() -> None:
    clock = Clock(1e9)
    assert clock.read_used() == 0
    clock.sleep(5)
    clock.between_calls()
    assert clock.read_used() == QUANTUM


@pytest.mark.parametrize(
    ("seconds", "error", "message"),
    [
        (-1, ValueError, "sleep length must be non-negative"),
        (-1e-9, ValueError, "sleep length must be non-negative"),
        (math.nan, ValueError, "Invalid value NaN"),
        (math.inf, OverflowError, "timestamp too large"),
        (10**30, OverflowError, "timestamp too large"),
        ("1", TypeError, "'str' object cannot be interpreted as an integer"),
        (Decimal(1), TypeError, "object cannot be interpreted as an integer"),
        (None, TypeError, "object cannot be interpreted as an integer"),
    ],
)
def test_sleep_refuses_what_the_real_one_refuses(seconds: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Clock(0).sleep(seconds)


def test_sleep_is_rounded_up_as_the_real_one_is() -> None:
    clock = Clock(0)
    clock.sleep(1e-10)
    clock.sleep(True)
    assert clock.now == 1 + SECOND
