"""What may be a result, how it is written, and that no code of a tool runs meanwhile."""

import collections
import enum
import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.sandbox.inside.encode import DEPTH, Unfit, encode, fitted


class Text(str):
    """A text whose methods lie, as far as Python lets them."""

    __slots__ = ()

    def __str__(self) -> str:
        raise AssertionError

    __repr__ = __iter__ = __len__ = __getitem__ = encode = __eq__ = __str__  # type: ignore[assignment]
    __hash__ = str.__hash__


class Number(int):
    """An integer whose methods lie."""

    def __repr__(self) -> str:
        raise AssertionError

    __str__ = __index__ = __int__ = __float__ = __format__ = __repr__  # type: ignore[assignment]


class Ratio(float):
    """A float whose methods lie."""

    def __repr__(self) -> str:
        raise AssertionError

    __str__ = __float__ = __int__ = hex = is_integer = __repr__  # type: ignore[assignment]


class Mapping(dict[Any, Any]):
    """A dict whose methods lie."""

    def items(self) -> Any:
        raise AssertionError

    keys = values = __iter__ = __len__ = __getitem__ = __contains__ = items


class Ordered(collections.OrderedDict[Any, Any]):
    """An ordered dict whose methods lie."""

    def items(self) -> Any:
        raise AssertionError

    keys = values = __len__ = __getitem__ = __contains__ = items


class Items(list[Any]):
    """A list whose methods lie."""

    def __iter__(self) -> Any:
        raise AssertionError

    __len__ = __getitem__ = __contains__ = __iter__


class Pair(tuple[Any, ...]):
    """A tuple whose methods lie."""

    __slots__ = ()

    def __iter__(self) -> Any:
        raise AssertionError

    __len__ = __getitem__ = __contains__ = __iter__


class Meta(type):
    """A class of classes that lies about names, bases and kinds."""

    def __getattribute__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AssertionError(name)
        return super().__getattribute__(name)

    def __instancecheck__(cls, other: object) -> bool:
        raise AssertionError

    __subclasscheck__ = __instancecheck__


class Level(enum.IntEnum):
    """Numbers with names."""

    LOW = 1


class Kind(enum.StrEnum):
    """Texts with names."""

    SHIP = "ship"


class Point(NamedTuple):
    """A tuple with names."""

    x: int
    y: Any


exact = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)
keys = (
    st.text(max_size=4) | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.just(Kind.SHIP)
)
loose = st.recursive(
    exact | st.sampled_from(Level) | st.sampled_from(Kind),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3).map(collections.OrderedDict)
        | st.dictionaries(keys, inner, max_size=3).map(lambda value: collections.defaultdict(list, value))
        | st.builds(Point, st.integers(), inner)
        | st.lists(st.text(max_size=2), max_size=3).map(collections.Counter)
    ),
    max_leaves=12,
)


def written(value: Any) -> str:
    return encode(fitted(value))


@given(exact)
def test_exact_data_is_written_as_json_does_and_not_copied(value: Any) -> None:
    assert fitted(value) is value
    assert written(value) == json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@given(loose)
def test_whatever_json_writes_has_the_value_that_json_gives_it(value: Any) -> None:
    assert json.loads(written(value)) == json.loads(json.dumps(value))


LYING: dict[str, tuple[Callable[[], Any], str]] = {
    "text": (lambda: Text("a"), '"a"'),
    "numbers": (lambda: [Number(7), Ratio(0.5), Level.LOW, Kind.SHIP], '[7,0.5,1,"ship"]'),
    "keys": (lambda: {Text("k"): 1, Number(2): 3, Ratio(1.5): 4, Level.LOW: 5, Kind.SHIP: 6}, '{"k":1,"2":3,"1.5":4,"1":5,"ship":6}'),
    "mapping": (lambda: Mapping(honest=Mapping(a=1)), '{"honest":{"a":1}}'),
    "ordered": (lambda: Ordered(honest=1), '{"honest":1}'),
    "list": (lambda: Items([Items([1]), Pair((2,))]), "[[1],[2]]"),
    "tuple": (lambda: Pair((Point(1, Text("y")),)), '[[1,"y"]]'),
}


@pytest.mark.parametrize("name", LYING)
def test_no_method_of_a_subclass_is_asked(name: str) -> None:
    make, text = LYING[name]
    assert written(make()) == text


def test_what_an_ordered_dict_was_reordered_to_is_kept() -> None:
    value = collections.OrderedDict(a=1, b=2)
    value.move_to_end("a")
    assert written({"x": value}) == '{"x":{"b":2,"a":1}}'


def test_a_class_that_lies_about_itself_is_taken_for_what_it_is() -> None:
    honest = Meta("Honest", (dict,), {"__class__": property(lambda _: 1 / 0)})
    value = dict.__new__(honest)
    dict.__setitem__(value, "x", 1)
    assert written([value]) == '[{"x":1}]'
    with pytest.raises(Unfit, match="Object of type Liar is not JSON serializable"):
        fitted(object.__new__(Meta("Liar", (), {"__class__": property(lambda _: dict)})))


@pytest.mark.parametrize(
    ("value", "place"),
    [([1, {"a": ({1},)}], "[1].a[0]"), ({"a": {2: [math.nan]}}, "a.2[0]"), ({"a": {"b": {(1,): 2}}}, "a.b"), ({"x": Ratio("inf")}, "x")],
)
def test_the_place_of_what_is_not_json_is_named(value: Any, place: str) -> None:
    with pytest.raises(Unfit) as caught:
        fitted(value)
    assert f"(at {place}); " in str(caught.value)


def test_depth_is_bounded_and_circles_end() -> None:
    deep: Any = []
    for _ in range(DEPTH - 1):
        deep = [deep]
    assert fitted(deep) is deep
    assert fitted((*deep,)) is not None
    with pytest.raises(Unfit):
        fitted([[deep]])
    circle: dict[Any, Any] = {}
    circle[1] = [circle]
    with pytest.raises(Unfit, match="Circular reference detected"):
        fitted(circle)
