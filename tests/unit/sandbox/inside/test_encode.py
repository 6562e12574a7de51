"""What may be a result, and how exceptions are told."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.sandbox.inside.encode import DEPTH, Unfit, check, describe, encode

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_a_value_that_passes_is_written_as_json_does(value: Any) -> None:
    check(value)
    assert encode(value) == json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Text(str):
    """A subclass, which could lie."""


class Number(int):
    """A subclass, which could lie."""


@pytest.mark.parametrize(
    "value", [Text("a"), Number(1), math.nan, -math.inf, {1: 2}, {Text("a"): 1}, {1}, b"x", object(), 1j, [[{"a": (Text("b"),)}]]]
)
def test_what_is_not_exactly_json_is_refused(value: Any) -> None:
    with pytest.raises(Unfit):
        check(value)


def test_depth_is_bounded_and_circles_end() -> None:
    deep: Any = []
    for _ in range(DEPTH - 1):
        deep = [deep]
    check(deep)
    with pytest.raises(Unfit):
        check([[deep]])
    circle: dict[str, Any] = {}
    circle["x"] = [circle]
    with pytest.raises(Unfit, match="contains itself"):
        check(circle)


def test_exceptions_are_told_whatever_they_do() -> None:
    class Meta(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise KeyboardInterrupt

    class Evil(Exception, metaclass=Meta):
        def __str__(self) -> str:
            raise SystemExit

    assert describe(Evil()) == b"Exception: (no message)"
    assert describe(ValueError("x" * 1000)).startswith(b"ValueError: xxx")
    assert len(describe(ValueError("x" * 1000))) == 300
    assert describe(ValueError("\ud800")) == b"ValueError: ?"
