"""Advantages within a group: unbiased deviation, floor, lost rollouts."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.rl.advantage import advantages, verdict

REWARDS = st.lists(st.floats(0, 1), min_size=2, max_size=16)


def test_the_deviation_is_the_unbiased_one() -> None:
    rewards = [0.0, 1.0, 1.0, 0.5]
    mean, std = statistics.mean(rewards), statistics.stdev(rewards)
    assert advantages(rewards, 0.02) == pytest.approx([(reward - mean) / std for reward in rewards])


def test_the_floor_keeps_tiny_differences_small() -> None:
    assert advantages([0.5, 0.5002], 0.02) == pytest.approx([-0.005, 0.005])


def test_lost_rollouts_leave_the_group() -> None:
    assert advantages([0.0, None, 1.0], 0.02) == [pytest.approx(-math.sqrt(0.5)), None, pytest.approx(math.sqrt(0.5))]
    assert advantages([None, 1.0], 0.02) == [None, None]


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([0.0, 1.0], "Valid"),
        ([0.5, 0.5], "NoVariance"),
        ([0.5, 0.5001], "NoVariance"),
        ([1.0, None], "TooFewRollouts"),
        ([None], "TooFewRollouts"),
        ([0.0, None, 1.0], "Valid"),
    ],
)
def test_verdicts(rewards: list[float | None], expected: str) -> None:
    assert verdict(rewards, 1e-4) == expected


@settings(max_examples=50, deadline=None)
@given(REWARDS)
def test_advantages_sum_to_nothing_and_keep_the_order(rewards: list[float]) -> None:
    found = advantages(rewards, 0.02)
    assert math.isclose(math.fsum(value for value in found if value is not None), 0, abs_tol=1e-6)
    for reward, other, one, two in zip(rewards, rewards[1:], found, found[1:], strict=False):
        assert one is not None
        assert two is not None
        assert (reward > other) <= (one >= two)
