"""Typed comparison: what solves a target and what only looks like it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.episodes.match import equals, leaf_at, solves
from astra_jobs.records.environment import Answer

TEXT = Answer(kind="text", value="m41")


def number(value: float, unit: str = "", tolerance: float = 0.0) -> Answer:
    return Answer(kind="number", value=value, unit=unit, tolerance=tolerance)


@pytest.mark.parametrize(
    ("answer", "leaf", "expected"),
    [
        (TEXT, "m41", True),
        (TEXT, "M41", True),
        (TEXT, "port M41, east", True),
        (TEXT, "m410", False),
        (TEXT, "xm41", False),
        (TEXT, 41, False),
        (TEXT, None, False),
        (Answer(kind="text", value="5"), "15", False),
        (Answer(kind="text", value="5"), "1.5", False),
        (Answer(kind="text", value="5"), "-5", False),
        (Answer(kind="text", value="5"), "5", True),
        (Answer(kind="text", value="red sea"), "the Red  Sea coast", True),
        (Answer(kind="text", value="red sea"), "red and sea", False),
        (Answer(kind="text", value="→"), "→", True),
        (Answer(kind="text", value="→"), "a → b", False),
        (number(5), 5, True),
        (number(5), 5.0, True),
        (number(5), True, False),
        (number(1), True, False),
        (number(5), "5", True),
        (number(5), "15", False),
        (number(5), "5 km", False),
        (number(5, "km"), "5 km", True),
        (number(5, "km"), "5km", True),
        (number(5, "km"), "5 m", False),
        (number(5, "km"), 5, True),
        (number(1500), "1,500", True),
        (number(5, tolerance=0.1), 5.05, True),
        (number(5, tolerance=0.1), 5.2, False),
        (number(5), float("nan"), False),
        (number(5), "about 5", False),
        (Answer(kind="date", value="2024-03-01"), "2024-03-01", True),
        (Answer(kind="date", value="2024-03-01"), "2024-03-01T10:00:00", True),
        (Answer(kind="date", value="2024-03-01"), "2024-03-02", False),
        (Answer(kind="date", value="2024-03-01"), "March", False),
        (Answer(kind="list", value=["a", "b"]), ["A", "b"], True),
        (Answer(kind="list", value=["a", "b"]), ["b", "a"], False),
        (Answer(kind="list", value=["a", "b"]), ["a", "b", "c"], False),
        (Answer(kind="list", value=["a"]), "a", False),
        (Answer(kind="set", value=["a", "b"]), ["b", "a", "b"], True),
        (Answer(kind="set", value=["a", "b"]), ["a"], False),
        (Answer(kind="set", value=[1, 2]), [2.0, 1], True),
        (Answer(kind="set", value=[1, 2]), [True, 2], False),
        (Answer(kind="set", value=["1"]), [1], False),
    ],
)
def test_a_leaf_is_compared_by_type(answer: Answer, leaf: Any, expected: bool) -> None:
    assert equals(answer, leaf) is expected


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [("", {"a/b": [{"~": 7}]}), ("/a~1b/0/~0", 7), ("/a~1b/0", {"~": 7}), ("/a~1b/1", None), ("/a~1b/00", None), ("/x", None), ("a", None)],
)
def test_the_leaf_is_found_by_json_pointer(pointer: str, expected: Any) -> None:
    found = leaf_at({"a/b": [{"~": 7}]}, pointer)
    assert (found == expected) if expected is not None else not isinstance(found, int | dict | list)


def test_only_the_leaf_at_the_path_counts() -> None:
    assert solves(TEXT, {"port": "m41"}, "/port", {})
    assert not solves(TEXT, {"other": "m41"}, "/port", {})
    assert not solves(TEXT, {"port": {"id": "m41"}}, "/port", {})


@pytest.mark.parametrize("arguments", [{"port": "m41"}, {"port": "M41"}, {"a": [{"b": "is it m41?"}]}])
def test_an_answer_passed_in_by_the_arguments_is_not_solved(arguments: dict[str, Any]) -> None:
    assert not solves(TEXT, {"port": "m41"}, "/port", arguments)


def test_other_arguments_do_not_hinder() -> None:
    assert solves(TEXT, {"port": "m41"}, "/port", {"ship": "m410", "n": 41})


@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text())),
    st.sampled_from(["text", "number", "date"]),
)
def test_comparison_never_raises(leaf: Any, kind: Any) -> None:
    value: Any = {"text": "a", "number": 3, "date": "2024-01-01"}[kind]
    assert equals(Answer(kind=kind, value=value), leaf) in (True, False)


@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1))
def test_every_word_equals_itself(word: str) -> None:
    assert equals(Answer(kind="text", value=word), f" {word} ")
