"""Argument checks: one line that names the argument, and schemas that cannot harm the checker."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.arguments import checks_of
from astra_jobs.sandbox.pool.records import payload_of
from astra_jobs.sandbox.protocol import ToolCode
from astra_jobs.schemas import Check


def check(schema: dict[str, Any]) -> Check:
    return asyncio.run(checks_of([ToolCode(name="f", parameters=schema, code="")]))["f"]


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "object", "properties": {"b": {"enum": ["x"]}}, "required": ["b"], "additionalProperties": False},
        "n": {"type": "integer"},
    },
    "required": ["a"],
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": {"b": "x"}}, None),
        ({}, "missing argument a"),
        ({"a": {}}, "missing argument a.b"),
        ({"a": {"b": "x", "c": 1}}, "unknown argument a.c"),
        ({"a": {"b": "x"}, "z": 1, "y": 2}, "unknown argument y"),
        ({"a": {"b": "q"}}, 'argument a.b: "q" is not one of "x"'),
        ({"a": {"b": "x"}, "n": "1"}, 'argument n: "1" is not of type "integer"'),
    ],
)
def test_faults_name_the_argument(arguments: dict[str, Any], message: str | None) -> None:
    assert check(SCHEMA).fault(arguments) == message


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:1/schema"}}},
        {"type": "object", "properties": {"x": {"$ref": "file:///etc/passwd"}}},
        {"type": "object", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "properties": {"x": {"$ref": "#/$defs/a"}}},
        {"type": "object", "allOf": [{"$ref": "#"}]},
        {"type": "object", "properties": {"x": {"anyOf": [{"$ref": "#/properties/x"}]}}},
    ],
)
def test_schemas_that_fetch_or_never_end_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="not a JSON schema"):
        check(schema)


def test_a_schema_may_describe_trees() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"}}}
    schema = {"type": "object", "$defs": {"tree": tree}, "properties": {"root": {"$ref": "#/$defs/tree"}}}
    assert check(schema).fault({"root": {"left": {"right": {}}}}) is None
    assert check(schema).fault({"root": {"left": {"right": 3}}}) == 'argument root.left.right: 3 is not of type "object"'


@pytest.mark.parametrize("depth", [900, 100_000])
def test_arguments_of_any_depth_are_judged_and_not_fatal(depth: int) -> None:
    deep: Any = {}
    for _ in range(depth):
        deep = {"x": deep}
    endless = {"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"]}
    assert payload_of("f", deep) is None or check(endless).fault(deep) is not None
    assert (payload_of("f", deep) is None) == (depth > 900)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["a", "n", "z"]), json_values))
def test_any_arguments_give_none_or_one_short_line(arguments: dict[str, Any]) -> None:
    fault = check(SCHEMA).fault(arguments)
    assert fault is None or (0 < len(fault) <= 200)
