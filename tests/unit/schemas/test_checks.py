"""Verdicts on composed schemas, unknown arguments, messages, and hypothesis against another validator."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from astra_jobs.schemas import SchemaRefused, arguments_check, listed, prepared, value_check

SEVEN = "http://json-schema.org/draft-07/schema#"
INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": INTEGER}},
        {"allOf": [{"properties": {"a": INTEGER}}, {"required": ["a"]}]},
        {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"a": INTEGER}}}},
        {"anyOf": [{"properties": {"a": INTEGER}}, {"type": "string"}]},
        {"oneOf": [{"properties": {"a": INTEGER}, "required": ["a"]}, {"properties": {"b": INTEGER}, "required": ["b"]}]},
        {"properties": {"b": {}}, "if": {"required": ["b"]}, "else": {"properties": {"a": INTEGER}}},
        {"properties": {"c": {}}, "dependentSchemas": {"a": {"properties": {"a": INTEGER}}}},
        {"$schema": SEVEN, "$ref": "#/definitions/A", "definitions": {"A": {"properties": {"a": INTEGER}}}},
        {"$schema": "http://json-schema.org/draft-04/schema#", "allOf": [{"properties": {"a": INTEGER}}]},
        {"$schema": "https://json-schema.org/draft/2019-09/schema", "allOf": [{"properties": {"a": INTEGER}}]},
        {"patternProperties": {"^[ab]$": INTEGER}},
        {"properties": {"a": {"type": "object", "properties": {}}, "child": {"$ref": "#"}}, "allOf": [{"properties": {"a": {}}}]},
    ],
    ids=range(12),
)  # fmt: skip
def test_composed_schemas_take_what_they_list_and_nothing_else(schema: dict[str, Any]) -> None:
    check = arguments_check(schema)
    good = {} if "object" in json.dumps(schema.get("properties", {})) else 5
    assert check.fault({"a": good}) is None
    assert check.fault({"a": "x"}) is not None
    assert check.fault({"a": good, "zz": 1}) == "unknown argument zz"


def test_a_branch_that_does_not_apply_still_lists_its_arguments() -> None:
    kinds = [{"properties": {"kind": {"const": name}, name: INTEGER}} for name in ("x", "y")]
    check = arguments_check({"anyOf": kinds})
    assert check.fault({"kind": "x", "x": 1}) is None
    assert check.fault({"kind": "x", "y": 1}) is None, "as JSON Schema says"
    assert check.fault({"kind": "x", "z": 1}) == "unknown argument z"


@pytest.mark.parametrize("open_", [{"additionalProperties": True}, {"additionalProperties": INTEGER}, {"unevaluatedProperties": True}])
def test_a_schema_may_say_that_it_takes_more(open_: dict[str, Any]) -> None:
    assert arguments_check({"properties": {"a": {}}, **open_}).fault({"z": 1}) is None
    assert arguments_check({"allOf": [{"properties": {"a": {}}, **open_}]}).fault({"z": 1}) is None


def test_a_root_that_refers_to_itself_refuses_unknown_names_only_at_the_top() -> None:
    check = arguments_check({"properties": {"child": {"$ref": "#"}, "n": INTEGER}})
    assert check.fault({"child": {"child": {"n": 1, "other": 1}}}) is None
    assert check.fault({"child": {"n": "x"}}) == 'argument child.n: "x" is not of type "integer"'
    assert check.fault({"child": {}, "other": 1}) == "unknown argument other"


def test_dynamic_references_lead_to_the_outermost_anchor() -> None:
    tree = {"$id": "tree", "$dynamicAnchor": "node", "type": "object", "properties": {"children": {"items": {"$dynamicRef": "#node"}}}}
    strict = {"$dynamicAnchor": "node", "$ref": "tree", "properties": {"n": INTEGER}, "$defs": {"tree": tree}}
    check = arguments_check(strict)
    assert check.fault({"children": [{"n": 1, "children": [{"n": 2}]}]}) is None
    assert check.fault({"children": [{"children": [{"n": "x"}]}]}) == 'argument children.0.children.0.n: "x" is not of type "integer"'


def test_messages_are_short_and_still_say_what_is_wrong() -> None:
    fault = arguments_check({"properties": {"a": INTEGER}}).fault({"a": "x" * 100_000})
    assert fault is not None
    assert len(fault) <= 200
    assert fault.startswith('argument a: "xxx')
    assert fault.endswith('is not of type "integer"')
    assert arguments_check({"properties": {"a": {"type": "number"}}}).fault({"a": float("nan")}) is not None
    assert "surrogate" in str(arguments_check({"properties": {"a": {"pattern": "x"}}}).fault({"a": "\ud800"}))


def test_results_of_any_type_are_judged_by_the_same_library() -> None:
    assert value_check({"type": "array", "items": INTEGER}).accepts([1, 2])
    assert not value_check({"type": "array", "items": INTEGER}).accepts([1, "x"])
    assert value_check({"properties": {"a": INTEGER}}).accepts({"other": 1}), "a result may hold more"


def test_listed_arguments_are_those_of_the_whole_composition() -> None:
    found = listed(
        {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/I"}}, "required": ["a"]}, "I": INTEGER}}
    )
    assert found.properties == {"a": INTEGER}
    assert found.required == ("a",)
    assert listed({"properties": {"a": True}}).properties == {"a": {}}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "ab", "b1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
DIALECTS = {
    None: jsonschema.Draft202012Validator,
    "https://json-schema.org/draft/2020-12/schema": jsonschema.Draft202012Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema.Draft201909Validator,
    "http://json-schema.org/draft-07/schema#": jsonschema.Draft7Validator,
    "http://json-schema.org/draft-06/schema#": jsonschema.Draft6Validator,
    "http://json-schema.org/draft-04/schema#": jsonschema.Draft4Validator,
}


def schemas(four: bool) -> st.SearchStrategy[Any]:
    leaves = st.sampled_from(
        [{}, INTEGER, {"type": ["string", "null"]}, {"enum": [1, "a", None]}, {"minimum": 0}, {"pattern": "^a"}, {"minLength": 2}]
        + [{"$ref": "#/definitions/x"}, {"$ref": "#/definitions/y"}, {"required": ["a"]}, {"maxItems": 1}, {"uniqueItems": True}]
        + ([] if four else [True, False, {"const": "ab"}])
    )  # fmt: skip

    def more(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, min_size=1, max_size=3)
        keys = {
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "[bc]"]), inner, max_size=2),
            **dict.fromkeys(("allOf", "anyOf", "oneOf"), several),
            **dict.fromkeys(("not", "additionalProperties", "items"), inner),
            **({} if four else dict.fromkeys(("contains", "propertyNames", "if", "then", "else"), inner)),
        }
        return st.fixed_dictionaries({}, optional=keys)

    return st.recursive(leaves, more, max_leaves=8)


def _only(error: SchemaRefused, reason: str) -> None:
    assert error.reason == reason


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.data(), st.sampled_from([*DIALECTS]))
def test_verdicts_are_those_of_another_validator(data: st.DataObject, dialect: str | None) -> None:
    schema = data.draw(schemas(four="04" in (dialect or "")))
    assume(isinstance(schema, dict))
    whole = {**schema, "definitions": {"x": {"properties": {"a": {"$ref": "#/definitions/x"}}}, "y": {"type": "object"}}}
    whole |= {} if dialect is None else {"$schema": dialect}
    other = DIALECTS[dialect](whole)
    for value in data.draw(st.lists(values, min_size=3, max_size=6)):
        assert value_check(whole).accepts(value) == other.is_valid(value), value
    try:
        prepared(whole)
    except SchemaRefused as error:
        _only(error, "SchemaNotAnObject")
        return
    names = listed(whole)
    for arguments in data.draw(st.lists(st.dictionaries(st.sampled_from("abcz"), values, max_size=3), min_size=3, max_size=6)):
        fault = arguments_check(whole).fault(arguments)
        assert fault is None or (0 < len(fault) <= 200)
        if not other.is_valid(arguments):
            assert fault is not None
        elif names.open or set(arguments) <= set(names.properties):
            assert fault is None, fault
