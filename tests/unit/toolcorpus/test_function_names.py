"""Function names: any tool name maps to one that can be called, without collisions and in whatever order tools are listed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.toolcorpus.names import NAME, function_names


def test_names_that_look_alike_stay_apart_and_plain_ones_stay() -> None:
    given_names = [
        "a.b",
        "a_b",
        "a b",
        "a/b",
        "a:b",
        "A_b",
        "a-b",
        "获取天气",
        "查询股票",
        "发送邮件",
        "天気",
        "x" * 65,
        "x" * 64,
        "x" * 66,
    ]
    found = function_names(given_names)
    assert len(set(found.values())) == len(given_names)
    assert all(NAME.fullmatch(name) for name in found.values())
    for plain in ("a_b", "A_b", "a-b", "x" * 64):
        assert found[plain] == plain


@pytest.mark.parametrize(
    ("name", "readable"), [("a.b", "a_b_"), ("Café menü!", "Cafe_menu_"), ("获取天气", "tool_"), ("get 天气", "get_"), ("..", "tool_")]
)
def test_what_can_be_read_of_a_name_is_kept(name: str, readable: str) -> None:
    mapped = function_names([name])[name]
    assert mapped.startswith(readable)
    assert len(mapped) == len(readable) + 8


def test_a_name_that_is_another_ones_mapping_changes_neither() -> None:
    mapped = function_names(["a.b"])["a.b"]
    found = function_names(["a.b", mapped])
    assert found[mapped] == mapped
    assert found["a.b"] != mapped
    assert NAME.fullmatch(found["a.b"])


def test_a_server_that_takes_every_mapping_loses_that_tool_only() -> None:
    names = {"a.b"}
    while "a.b" in (found := function_names(names)):
        names.add(found["a.b"])
    assert set(found) == names - {"a.b"}


def test_what_is_no_text_has_no_name() -> None:
    assert function_names(["", "a\ud83d", "b"]) == {"b": "b"}


@given(st.lists(st.one_of(st.text(max_size=80), st.text("a_. ", max_size=4), st.text("天气预报", max_size=3)), max_size=12), st.randoms())
def test_the_mapping_is_one_to_one_and_no_order_changes_it(names: list[str], shuffle: random.Random) -> None:
    found = function_names(names)
    assert set(found) == {name for name in names if name}
    assert len(set(found.values())) == len(found)
    assert all(NAME.fullmatch(name) for name in found.values())
    shuffle.shuffle(names)
    assert function_names(names) == found
