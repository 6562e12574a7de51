"""Numbers as people read them, axes that cover their data, markup that escapes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.report.figures import between, number, short, size, smoothed, ticks
from astra_jobs.report.markup import Markup, join, tag
from astra_jobs.report.parts import thinned

FINITE = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


@given(FINITE, FINITE, st.integers(2, 8), st.booleans())
def test_ticks_cover_the_data_with_equal_steps(one: float, other: float, about: int, whole: bool) -> None:
    low, high = min(one, other), max(one, other)
    marks = ticks(low, high, about, whole)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert 2 <= len(marks) <= 2 * about + 3
    assert marks == sorted(set(marks))
    if whole:
        assert all(mark == round(mark) for mark in marks)


@given(st.lists(FINITE, min_size=1, max_size=40), st.integers(1, 12))
def test_smoothing_stays_within_the_data_and_keeps_its_ends(values: list[float], window: int) -> None:
    found = smoothed(values, window)
    assert len(found) == len(values)
    assert math.isclose(found[0], values[0], abs_tol=1e-6)
    assert math.isclose(found[-1], values[-1], abs_tol=1e-6)
    assert all(min(values) - 1 <= value <= max(values) + 1 for value in found)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0"), (1234567.0, "1,234,567"), (-3.0, "−3"), (0.12345, "0.123"), (12345.6, "12,346"), (float("nan"), "–")],
)
def test_numbers(value: float, written: str) -> None:
    assert number(value) == written


def test_times_sizes_and_digests() -> None:
    assert between("2026-01-01T00:00:00Z", "2026-01-01T00:00:42Z") == "42 s"
    assert between("2026-01-01T00:00:00Z", "2026-01-01T02:03:42Z") == "2 h 03 min"
    assert between("2026-01-01T00:00:00Z", None) == "–"
    assert between("yesterday", "today") == "–"
    assert [size(count) for count in (0, 999, 2_800_000)] == ["0 B", "999 B", "2.8 MB"]
    assert short("sha256:" + "a" * 64) == "a" * 12


@given(st.text())
def test_text_never_becomes_markup(text: str) -> None:
    page = tag("p", text, title=text)
    assert page.count("<") == 2
    assert page.count(">") == 2
    assert page.count('"') == 2


def test_children_of_all_kinds() -> None:
    assert join(["a<", None, Markup("<b>"), [1, ("x", 2.5)]]) == "a&lt;<b>1x2.5"


@given(st.integers(0, 500))
def test_thinned_keeps_both_ends(count: int) -> None:
    rows = [[index] for index in range(count)]
    kept, words = thinned(rows)
    assert len(kept) <= 60
    assert (kept[:1], kept[-1:]) == (rows[:1], rows[-1:])
    assert bool(words) == (count > 60)
