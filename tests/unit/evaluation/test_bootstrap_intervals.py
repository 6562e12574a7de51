"""Bootstrap intervals: seeded, paired, of the right width."""

import random

import pytest

from astra_jobs.evaluation.bootstrap import interval, paired


def test_a_constant_has_no_width_and_equal_data_equal_intervals() -> None:
    found = interval([0.5] * 20, 200)
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)
    values = [random.Random(index).random() for index in range(50)]
    assert interval(values, 300) == interval(values, 300)


def test_the_width_is_that_of_the_standard_error() -> None:
    stream = random.Random(1)
    values = [float(stream.random() < 0.4) for _ in range(400)]
    found = interval(values, 4000)
    share = sum(values) / 400
    error = (share * (1 - share) / 400) ** 0.5
    assert found.low == pytest.approx(share - 1.96 * error, abs=0.006)
    assert found.high == pytest.approx(share + 1.96 * error, abs=0.006)


def test_resamples_in_chunks_are_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astra_jobs.evaluation.bootstrap._CELLS", 70)
    found = interval([0.0, 1.0] * 5, 100)
    assert found.low < 0.5 < found.high


def test_pairing_sees_a_small_gain_that_the_spread_would_hide() -> None:
    stream = random.Random(2)
    before = [stream.random() for _ in range(200)]
    after = [value + 0.02 + 0.01 * stream.random() for value in before]
    found = paired(before, after, 1000)
    assert 0 < found.low < found.mean < found.high < 0.03
    apart = interval(after, 1000)
    assert apart.low < interval(before, 1000).high


def test_unpaired_or_empty_data_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired([1.0], [1.0, 2.0], 100)
    with pytest.raises(ValueError, match="no values"):
        interval([], 100)
