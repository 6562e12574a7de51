"""Typed comparison: what solves a target and what only looks like it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.episodes.match import contained, echoed, equals, leaf_at, solves
from astra_jobs.records.environment import Answer

TEXT = Answer(kind="text", value="m41")


def number(value: float, unit: str = "", tolerance: float = 0.0) -> Answer:
    return Answer(kind="number", value=value, unit=unit, tolerance=tolerance)


@pytest.mark.parametrize(
    ("answer", "leaf", "expected"),
    [
        (TEXT, "m41", True),
        (TEXT, "M41", True),
        (TEXT, " M41 ", True),
        (TEXT, "port M41, east", False),
        (TEXT, "m410", False),
        (TEXT, "xm41", False),
        (TEXT, 41, False),
        (TEXT, None, False),
        (Answer(kind="text", value="5"), "15", False),
        (Answer(kind="text", value="5"), "1.5", False),
        (Answer(kind="text", value="5"), "-5", False),
        (Answer(kind="text", value="5"), "5", True),
        (Answer(kind="text", value="red sea"), "Red \n Sea", True),
        (Answer(kind="text", value="red sea"), "the Red Sea coast", False),
        (Answer(kind="text", value="approved"), "not approved", False),
        (Answer(kind="text", value="C++"), "C#", False),
        (Answer(kind="text", value="O-"), "O+", False),
        (Answer(kind="text", value="€100"), "$100", False),
        (Answer(kind="text", value="50%"), "50", False),
        (Answer(kind="text", value="दिन"), "दीन", False),
        (Answer(kind="text", value="ok 👍"), "ok 👎", False),
        (Answer(kind="text", value="5"), "+5", False),
        (Answer(kind="text", value="résumé"), "RE\u0301SUME\u0301", True),
        (Answer(kind="text", value="Straße"), "STRASSE", True),
        (Answer(kind="text", value="ｗｉｄｅ"), "wide", True),
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
        (number(0.3, tolerance=0.1), 0.4, True),
        (number(1700000000), 1700000001, False),
        (number(1700000000), 1700000001.0, False),
        (number(9007199254740993), 9007199254740992, False),
        (number(9007199254740993), 9007199254740992.0, False),
        (number(9007199254740993), "9007199254740993.0", True),
        (number(1700000000, tolerance=1), 1700000001, True),
        (number(5), 5.0000000001, False),
        (number(0.3), 0.1 + 0.2, True),
        (number(1e300), 1.0000000001e300, True),
        (number(0.3), 0.3001, False),
        (number(5), 10**400, False),
        (number(10**400), 10**400, True),
        (number(10**400), 10**400 + 1, False),
        (number(5.5), 10**400, False),
        (number(5.5), float("inf"), False),
        (number(5), "9" * 6000, False),
        (number(5), "1e999999999", False),
        (number(5), "5" + " " * 50_000 + "x", False),
        (number(1000), "1e3", True),
        (number(5), "٥", True),
        (number(-5), "−5", True),
        (Answer(kind="boolean", value=True), True, True),
        (Answer(kind="boolean", value=True), False, False),
        (Answer(kind="boolean", value=True), 1, False),
        (Answer(kind="boolean", value=True), "true", False),
        (Answer(kind="boolean", value=False), None, False),
        (Answer(kind="text", value="true"), True, False),
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
        (Answer(kind="list", value=[0.3]), [0.1 + 0.2], True),
        (Answer(kind="list", value=[1]), [10**400], False),
        (Answer(kind="list", value=[1]), [True], False),
        (Answer(kind="list", value=[True, "a"]), [True, "A"], True),
        (Answer(kind="list", value=["C++"]), ["C#"], False),
        (Answer(kind="list", value=[]), [], True),
        (Answer(kind="list", value=[]), [None], False),
        (Answer(kind="set", value=["a", "b"]), ["b", "a", "b"], True),
        (Answer(kind="set", value=["a", "b"]), ["a"], False),
        (Answer(kind="set", value=[1, 2]), [2.0, 1], True),
        (Answer(kind="set", value=[1, 2]), [True, 2], False),
        (Answer(kind="set", value=["1"]), [1], False),
        (Answer(kind="set", value=[0.3, 7]), [7, 0.1 + 0.2], True),
        (Answer(kind="set", value=[0.3]), [0.3, 0.1 + 0.2], True),
        (Answer(kind="set", value=[1700000000]), [1700000001], False),
        (Answer(kind="set", value=[1, 2, 3], tolerance=1.0), [2], False),
        (Answer(kind="set", value=[1, 2, 3], tolerance=1.0), [4, 2, 3], True),
        (Answer(kind="set", value=[True, 1]), [1, True], True),
        (Answer(kind="set", value=[True]), [1], False),
        (Answer(kind="set", value=["C++", "C"]), ["c", "c++"], True),
        (Answer(kind="set", value=["C++", "C"]), ["c", "c#"], False),
        (Answer(kind="set", value=[1]), [1, None], False),
        (Answer(kind="set", value=[1]), [1, [1]], False),
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
def test_an_answer_passed_in_is_no_answer_of_a_tool_that_nobody_proved(arguments: dict[str, Any]) -> None:
    assert not solves(TEXT, {"port": "m41"}, "/port", arguments, imported=True)
    assert not solves(TEXT, {"port": "m41"}, None, arguments, imported=True)
    assert solves(TEXT, {"port": "m41"}, "/port", arguments)


def test_an_honest_argument_may_equal_the_answer_of_a_proven_tool() -> None:
    answer = Answer(kind="number", value=10)
    assert solves(answer, {"shown": 10}, "/shown", {"per_page": 10})
    assert echoed(answer, {"per_page": 10})
    assert not echoed(answer, {"per_page": 100})


def test_other_arguments_do_not_hinder() -> None:
    assert solves(TEXT, {"port": "m41"}, "/port", {"ship": "m410", "n": 41}, imported=True)


@pytest.mark.parametrize(
    ("expected", "value", "found"),
    [
        ("m41", {"a": [{"b": "port M41, east"}]}, True),
        ("approved", "not approved", True),
        ("5", "15", False),
        ("5", "1.5", False),
        ("5", "-5", False),
        ("5", [3, 5], True),
        ("C++", "C# or C", False),
        ("C", "C++", False),
        ("true", {"open": True}, True),
        ('["a","b"]', {"names": ["a", "b"]}, True),
        ("北京", "明天北京有雨", True),
        ("...", "...", False),
        ("", "", False),
        ("x", {"n": float("nan"), "i": 10**5000}, False),
    ],
)
def test_imported_rows_are_searched_on_token_boundaries(expected: str, value: Any, found: bool) -> None:
    assert contained(expected, value) is found


def test_a_huge_and_a_deep_value_are_searched() -> None:
    deep: Any = "needle"
    for _ in range(5000):
        deep = [deep]
    assert contained("needle", deep)
    assert not contained("needle", ["hay " * 300_000])
    assert not equals(TEXT, deep)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**5000, "\ud800"], ids=["nan", "inf", "long", "half"])
def test_an_answer_that_no_record_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="has no form in a record"):
        Answer(kind="text" if isinstance(value, str) else "number", value=value)


SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(codec="utf-8")))
ODD = st.one_of(
    st.none(),
    st.floats(),
    st.text(st.characters()),
    st.sampled_from([10**400, -(10**4200), "1e400", "\ud83d", "9" * 5000, "NaN", "-", "e5"]),
)
ANY = st.recursive(SCALARS | ODD, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3))


def answer_of(value: Any) -> Answer:
    kinds = {bool: "boolean", str: "text", list: "list"}
    return Answer(kind=kinds.get(type(value), "number"), value=value)  # type: ignore[arg-type]


ANSWERS = st.one_of(
    SCALARS.map(answer_of),
    st.lists(SCALARS, max_size=5).map(answer_of),
    st.lists(SCALARS, max_size=5).map(lambda items: Answer(kind="set", value=items)),
    st.dates().map(lambda day: Answer(kind="date", value=day.isoformat())),
    st.builds(lambda value, width: Answer(kind="number", value=value, tolerance=width), st.integers(), st.floats(0, 1e300)),
)


@settings(max_examples=400, deadline=None)
@given(ANSWERS, ANY)
def test_comparison_never_raises(answer: Answer, leaf: Any) -> None:
    assert equals(answer, leaf) in (True, False)
    assert echoed(answer, leaf) in (True, False)
    assert contained("a b", leaf) in (True, False)


@settings(max_examples=200, deadline=None)
@given(ANSWERS)
def test_every_answer_equals_itself(answer: Answer) -> None:
    assert equals(answer, answer.value)
    if answer.kind == "set":
        assert equals(answer, [*reversed(answer.items()), *answer.items()])


NEAR = st.one_of(
    st.sampled_from(
        [0.3, 0.1 + 0.2, 1700000000, 1700000001, 1700000000.0, 5, 5.0, 5.0000000001, True, 1, 1.0, "C++", "c++", "C#", "c", "", " "]
    ),
    SCALARS,
)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(st.tuples(NEAR, NEAR), st.tuples(st.lists(NEAR, max_size=4), st.lists(NEAR, max_size=4))), st.sampled_from(["list", "set"])
)
def test_comparison_is_symmetric_between_values_of_the_same_types(pair: tuple[Any, Any], kind: Any) -> None:
    """A number answer may be written as a text, which is one-sided; between values without such texts the order is free."""
    one, other = pair
    if isinstance(one, list):
        texts = [item for item in [*one, *other] if isinstance(item, str)]
        if any(char.isdecimal() for text in texts for char in text):
            return
        assert equals(Answer(kind=kind, value=one), other) == equals(Answer(kind=kind, value=other), one)
    elif isinstance(one, str) == isinstance(other, str):
        assert equals(answer_of(one), other) == equals(answer_of(other), one)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.integers(), st.text(), st.booleans(), st.sampled_from(["C++", "c++ ", "C#", 5, "5", True])), min_size=3, max_size=3
    )
)
def test_comparison_is_transitive_where_nothing_is_rounded(values: list[Any]) -> None:
    one, two, three = values
    if all(type(value) is type(one) for value in values) and equals(answer_of(one), two) and equals(answer_of(two), three):
        assert equals(answer_of(one), three)


@given(st.integers(), st.integers(1, 10**12))
def test_integers_that_differ_are_never_equal(value: int, more: int) -> None:
    assert not equals(number(value), value + more)
    assert not equals(Answer(kind="set", value=[value]), [value + more])


@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1))
def test_every_word_equals_itself(word: str) -> None:
    assert equals(Answer(kind="text", value=word), f" {word} ")
