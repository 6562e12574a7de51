"""What judging costs is bounded before it is done; what would cost more is refused by name, alike everywhere."""

import json
from typing import Any

import pytest

from astra_jobs.schemas import SchemaRefused, arguments_check, prepared
from astra_jobs.schemas.measure import STEPS, levels, steps


def doubling(levels_: int, keyword: str = "allOf") -> dict[str, Any]:
    definitions: dict[str, Any] = {f"a{n}": {keyword: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels_)}
    definitions[f"a{levels_}"] = {"type": "integer"}
    return {"type": "object", "properties": {"x": {"$ref": "#/$defs/a0"}}, "$defs": definitions}


def deep(depth: int, leaf: Any = 1) -> Any:
    for _ in range(depth):
        leaf = {"a": leaf}
    return leaf


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_references_that_double_are_refused_when_the_schema_is_read(keyword: str) -> None:
    assert arguments_check(doubling(8, keyword)) is not None, "a few are no harm"
    for number in (17, 30):
        with pytest.raises(SchemaRefused, match="evaluations of one value"):
            prepared(doubling(number, keyword))


def test_a_long_chain_and_many_large_patterns_are_refused() -> None:
    chain: dict[str, Any] = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(500)}
    with pytest.raises(SchemaRefused, match="follow each other"):
        prepared({"properties": {"x": {"$ref": "#/$defs/a0"}}, "$defs": {**chain, "a500": {}}})
    with pytest.raises(SchemaRefused, match="patterns of the schema are too large together"):
        prepared({"properties": {f"x{n}": {"pattern": f"^\\p{{L}}{{1,80}}{n}$"} for n in range(10)}})


def test_unevaluated_at_every_level_counts_double() -> None:
    schema: dict[str, Any] = {"properties": {"a": {}}}
    for _ in range(20):
        schema = {"unevaluatedProperties": False, "allOf": [schema]}
    with pytest.raises(SchemaRefused, match="evaluations of one value"):
        prepared({"properties": {"x": schema}})


def test_schemas_that_multiply_with_depth_bound_the_depth() -> None:
    node = {"allOf": [{"properties": {"a": {"$ref": "#/$defs/node"}}}, {"properties": {"a": {"$ref": "#/$defs/node"}}}]}
    check = arguments_check({"properties": {"x": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}})
    assert check.fault({"x": deep(5)}) is None
    assert "argument x: nested deeper than" in str(check.fault({"x": deep(40)}))


def test_trees_and_json_itself_may_be_as_deep_as_they_like() -> None:
    more = {"$ref": "#/$defs/j"}
    anything = {
        "anyOf": [{"type": ["string", "number"]}, {"type": "array", "items": more}, {"type": "object", "additionalProperties": more}]
    }
    check = arguments_check({"properties": {"x": {"$ref": "#/$defs/j"}}, "$defs": {"j": anything}})
    assert check.fault({"x": deep(90)}) is None
    assert check.fault({"x": deep(9, None)}) is not None


HOSTILE: list[tuple[dict[str, Any], Any]] = [
    ({"items": {"enum": [*range(5000), "s"]}}, [4999] * 2000),
    ({"items": {"pattern": r"^(a|aa)+\1?c(?!b)"}}, ["a" * 40 + "b"] * 3000),
    ({"pattern": r"(?:(?=.*b)a)*c"}, "a" * 100_000 + "b"),
    ({"patternProperties": {f"^k{n}$": True for n in range(100)}}, {f"z{n}": 1 for n in range(20_000)}),
]


@pytest.mark.parametrize(("schema", "value"), HOSTILE, ids=range(len(HOSTILE)))
def test_values_that_cost_too_much_are_refused_by_name(schema: dict[str, Any], value: Any) -> None:
    check = arguments_check({"properties": {"small": {}, "x": schema}})
    fault = check.fault({"small": 1, "x": value}, len(json.dumps(value)))
    assert fault is not None
    assert fault.startswith("argument x: too large to be checked")
    assert len(fault) <= 200


LARGE: list[tuple[dict[str, Any], Any, str]] = [
    ({"items": {"type": "integer"}}, ["a"] * 200_000, 'argument x.0: "a" is not of type "integer"'),
    ({"anyOf": [{"items": {"type": "integer"}}, {"type": "string"}]}, ["a"] * 200_000, "argument x: fits none of 2 alternatives (anyOf)"),
    ({"items": {"oneOf": [{"type": "integer"}, {"type": "boolean"}]}}, ["a"] * 50_000, "argument x.0: fits none or several of 2"),
    ({"uniqueItems": True}, [*range(100_000), 0], "argument x: "),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "fault"), LARGE, ids=range(len(LARGE)))
def test_of_many_faults_the_first_is_said(schema: dict[str, Any], value: Any, fault: str) -> None:
    found = arguments_check({"properties": {"x": schema}}).fault({"x": value})
    assert str(found).startswith(fault)


def test_what_is_judged_unmeasured_stays_within_the_bound() -> None:
    for schema in ({"type": "integer"}, {"items": {"pattern": "^(?=a)b"}}, {"uniqueItems": True, "items": {"enum": [*range(50)]}}):
        found = prepared({"properties": {"x": schema}})
        assert found.free > 0
        for value in ([0] * (found.free // 2), "a" * (found.free - 10), ["a"] * (found.free // 4)):
            assert len(json.dumps({"x": value}, separators=(",", ":"))) >= found.free // 2
            assert steps(found.cost, levels({"x": value})) <= STEPS
