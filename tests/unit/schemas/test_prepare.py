"""Which documents are kept, what they lose, what is refused with which reason and place; and that both halves agree."""

import asyncio
import json
from typing import Any

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.arguments import checks_of
from astra_jobs.sandbox.protocol import ToolCode
from astra_jobs.schemas import SchemaRefused, arguments_check, prepared


def of(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


FOUR = "http://json-schema.org/draft-04/schema#"
KEPT = [
    {"properties": {"a": {"$ref": "#/definitions/Bar%3Cstring%3E"}}, "definitions": {"Bar<string>": {"type": "string"}}},
    {"properties": {"a": {"$ref": "#/$defs/a~1b~0c"}}, "$defs": {"a/b~c": {"type": "string"}}},
    {"properties": {"a": {"type": "object", "examples": [{"$ref": "#/components/schemas/Pet"}], "default": {"$ref": "x"}}}},
    {"properties": {"$ref": {"type": "string"}, "properties": {"type": "string"}, "default": {"type": "string"}}},
    {"$id": "https://example.com/s.json", "properties": {"a": {"$ref": "s.json#/$defs/x"}}, "$defs": {"x": {"type": "string"}}},
    {"$id": "https://example.com/s", "properties": {"a": {"$ref": "https://example.com/s#/$defs/x"}}, "$defs": {"x": {"type": "string"}}},
    {"properties": {"a": {"$ref": "item"}}, "$defs": {"x": {"$id": "item", "type": "string"}}},
    {"properties": {"a": {"$ref": "#here"}}, "$defs": {"x": {"$anchor": "here", "type": "string"}}},
    {"$schema": "http://json-schema.org/draft-07/schema", "properties": {"a": {"$ref": "#x"}}, "definitions": {"x": {"$id": "#x"}}},
    {"$schema": FOUR, "id": "http://x/y", "allOf": [{"$ref": "y#/definitions/b"}], "definitions": {"b": {}}},
    {"properties": {"a": {"$ref": "#/components/x"}}, "components": {"x": {"type": "string"}}},
    {"properties": {"a": {"pattern": "^[\\p{L}\\p{N} ]+$"}, "b": {"pattern": "^(?=.*\\d)(?<y>x)\\k<y>[^]\\u{61}$"}}},
    {"properties": {"a": True, "b": False, "c": {}}},
    {"properties": {"a": {"items": [{"type": "integer"}], "additionalItems": False}, "b": {"exclusiveMinimum": True, "minimum": 1}}},
    {"allOf": [{"properties": {"a": {"type": "integer"}}}]},
    {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}},
    {"type": ["object", "null"], "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"$schema": "https://json-schema.org/draft/2019-09/schema#", "properties": {"a": {"$recursiveRef": "#"}}},
    {"$dynamicAnchor": "n", "properties": {"a": {"$dynamicRef": "#n"}}},
    {"title": None, "description": 5, "x-vendor": {"type": "str", "$ref": "y"}},
    {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"a": {}}}]},
    nested(49),
]  # fmt: skip

LOSSY = [
    (None, "no schema of arguments"),
    (True, "no schema of arguments"),
    ({}, "lists no arguments"),
    ({"$schema": "https://example.com/my-dialect"}, "$schema https://example.com/my-dialect left out"),
    ({"properties": {"a": {"$schema": "http://json-schema.org/draft-04/schema#"}}}, "#/properties/a: $schema"),
    ({"properties": {"coin": {}, "required": ["coin"]}}, "required stood inside properties"),
    ({"properties": {"a": {"pattern": "(unclosed"}}}, "#/properties/a/pattern: the pattern (unclosed left out"),
]

REFUSED = [
    (False, "SchemaNotAnObject", "false"),
    ("object", "SchemaNotAnObject", "object"),
    ([], "SchemaNotAnObject", "[]"),
    ({"type": "array"}, "SchemaNotAnObject", "array"),
    ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}}, "SchemaNotAnObject", "no object"),
    ({"$schema": 7}, "SchemaInvalid", "#/$schema"),
    (of({"a": {"type": "str"}}), "SchemaInvalid", '#/properties/a/type: "str" is no type'),
    (of({"a": {"$ref": "#/$defs/X"}}, **{"$defs": {"X": {"minLength": -1}}}), "SchemaInvalid", "#/$defs/X/minLength"),
    (of({}, **{"$defs": {"unused": {"required": "a"}}}), "SchemaInvalid", "#/$defs/unused/required"),
    (of({"a": {}, "required": ["b"]}), "SchemaInvalid", "#/properties/required"),
    (of({"a": {"default": float("nan")}}), "SchemaInvalid", "#/properties/a/default"),
    (of({"a": {"maximum": float("inf")}}), "SchemaInvalid", "#/properties/a/maximum"),
    (of({"a": {"maximum": 10**400}}), "SchemaInvalid", "#/properties/a/maximum"),
    (of({"a": {"description": "\ud83d"}}), "SchemaInvalid", "#/properties/a/description"),
    (of({"\udc00": {}}), "SchemaInvalid", "#/properties"),
    (of({1: {}}), "SchemaInvalid", "#/properties"),  # type: ignore[dict-item]
    (nested(60), "SchemaInvalid", "nested deeper"),
    (nested(100_000), "SchemaTooCostly", "larger"),
    (of({"a": {"enum": [str(number) for number in range(100_000)]}}), "SchemaTooCostly", "larger"),
    (of({"a": {"$ref": "#/$defs/A"}}), "ReferenceUnresolved", "#/properties/a: #/$defs/A"),
    (of({"a": {"$ref": "#/$defs/%FF"}}), "ReferenceUnresolved", "#/properties/a"),
    (of({"a": {"$ref": "#nowhere"}}), "ReferenceUnresolved", "#/properties/a"),
    (of({"a": {"$ref": "other.json"}}), "ReferenceOutside", "other.json"),
    (of({"a": {"$ref": "http://127.0.0.1:1/x#/a"}}), "ReferenceOutside", "http://127.0.0.1:1/x"),
    (of({"a": {"$ref": "urn:example:x"}}), "ReferenceOutside", "urn:example:x"),
    (of({"a": {"$ref": "file:///etc/passwd"}}), "ReferenceOutside", "file:///etc/passwd"),
    (of({"a": {"$ref": "http://[bad"}}), "ReferenceOutside", "[bad"),
    (of({}, allOf=[{"$ref": "#"}]), "ReferenceEndless", "leads back to itself"),
    (of({"a": {"anyOf": [{"$ref": "#/properties/a"}]}}), "ReferenceEndless", "leads back to itself"),
    (of({"a": {"not": {"pattern": "(unclosed"}}}), "PatternUnsupported", "#/properties/a/not/pattern"),
    (of({}, patternProperties={"(unclosed": {}}), "PatternUnsupported", "#/patternProperties"),
]  # fmt: skip


def accepted(schema: Any) -> bool:
    """Tell whether the sandbox takes a tool of that schema."""
    try:
        asyncio.run(checks_of([ToolCode.model_construct(name="t", parameters=schema, code="")]))
    except BadInput as error:
        return not ("t.parameters" in str(error) and "\n" not in str(error))
    return True


@pytest.mark.parametrize("schema", KEPT, ids=range(len(KEPT)))
def test_sound_schemas_are_kept_whole_and_in_order(schema: dict[str, Any]) -> None:
    found = prepared(schema)
    assert found.losses == ()
    assert {key: value for key, value in found.document.items() if key != "type"} == {k: v for k, v in schema.items() if k != "type"}
    assert found.document["type"] == "object"
    assert [key for key in found.document if key != "type"] == [key for key in schema if key != "type"]
    assert accepted(schema)


@pytest.mark.parametrize(("schema", "loss"), LOSSY, ids=range(len(LOSSY)))
def test_what_is_repaired_is_reported_and_stays_repaired(schema: Any, loss: str) -> None:
    found = prepared(schema)
    assert len(found.losses) == 1
    assert loss in found.losses[0]
    again = prepared(found.document)
    assert again.document == found.document
    assert accepted(schema)
    assert accepted(found.document)


@pytest.mark.parametrize(("schema", "reason", "says"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_names_reason_and_place_in_one_line(schema: Any, reason: str, says: str) -> None:
    with pytest.raises(SchemaRefused) as refused:
        prepared(schema)
    assert refused.value.reason == reason
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600
    assert not accepted(schema)


def test_required_moves_and_a_pattern_that_goes_allows_more() -> None:
    moved = prepared({"properties": {"coin": {"type": "string"}, "required": ["coin"]}})
    assert moved.document == {"type": "object", "properties": {"coin": {"type": "string"}}, "required": ["coin"]}
    assert arguments_check(moved.document).fault({}) == "missing argument coin"
    assert arguments_check({"properties": {"a": {"type": "string", "pattern": "("}}}).fault({"a": "x"}) is None


@pytest.mark.parametrize(
    "name",
    ["http://json-schema.org/draft-{}/schema#", "http://json-schema.org/draft-{}/schema", "https://json-schema.org/draft-{}/schema#"],
)
@pytest.mark.parametrize("draft", ["04", "06", "07"])
def test_dialects_are_known_by_every_spelling(name: str, draft: str) -> None:
    schema = {"$schema": name.format(draft), "type": "object", "properties": {"a": {"items": [{"type": "integer"}]}}}
    found = prepared(schema)
    assert (found.dialect.name, found.losses, found.document) == (f"draft-{draft}", (), schema)
    assert arguments_check(schema).fault({"a": ["x"]}) == 'argument a.0: "x" is not of type "integer"'


def test_the_order_of_keys_survives_repairs() -> None:
    schema = {"required": ["b"], "properties": {"z": {"type": "string", "description": "ä"}, "b": {"$schema": "x", "type": "integer"}}}
    text = json.dumps(prepared(schema).document)
    assert text.index('"required"') < text.index('"z"') < text.index('"description"') < text.index('"b": {')
