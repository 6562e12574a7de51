"""Conversion to the function form: what is kept, what is lost and reported, what is refused with which code."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.toolcorpus.names import NAME
from astra_jobs.toolcorpus.normalise import CannotConvert, normalise
from astra_jobs.toolcorpus.raw import RawServer, RawTool

SERVER = RawServer(name="s", origin="Mcp", domain="d", tools=[], source="mcp:x", version="3", licence="MIT")
FULL = {
    "type": "object",
    "properties": {
        "mode": {"enum": ["a", "b"], "description": "how"},
        "place": {"$ref": "#/$defs/Place"},
        "when": {"type": "string", "format": "date-time"},
        "some": {"oneOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["mode"],
    "$defs": {"Place": {"type": "object", "properties": {"lat": {"type": "number", "minimum": -90}}}},
}


def tool(parameters: Any, name: str = "do_it", returns: Any = None) -> RawTool:
    return RawTool(name, " does it well \n", parameters, returns)


def test_a_full_schema_comes_through_whole() -> None:
    document, losses = normalise(SERVER, tool(FULL, returns=FULL))
    assert losses == []
    assert document.parameters == document.returns == FULL
    assert (document.name, document.description) == ("do_it", "does it well")
    assert (document.source, document.version, document.licence) == ("mcp:x", "3", "MIT")


def test_a_missing_type_beside_properties_is_filled_in() -> None:
    document, _ = normalise(SERVER, tool({"properties": {}}))
    assert document.parameters == {"type": "object", "properties": {}}


def test_anchors_and_older_dialects_are_read() -> None:
    anchored = {"type": "object", "properties": {"a": {"$ref": "#here"}}, "$defs": {"x": {"$anchor": "here", "type": "string"}}}
    older = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "definitions": {"x": {}}}
    for schema in (anchored, {**older, "properties": {"a": {"$ref": "#/definitions/x"}}}):
        assert normalise(SERVER, tool(schema))[0].parameters == schema


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (False, "SchemaNotAnObject"),
        ("object", "SchemaNotAnObject"),
        ([], "SchemaNotAnObject"),
        ({"type": "array"}, "SchemaNotAnObject"),
        ({"type": ["array", "null"]}, "SchemaNotAnObject"),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, "SchemaNotAnObject"),
        ({"type": "object", "properties": []}, "SchemaInvalid"),
        ({"type": "object", "properties": {"a": {"type": "str"}}}, "SchemaInvalid"),
        ({"type": "object", "required": "a"}, "SchemaInvalid"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}, "ReferenceUnresolved"),
        ({"type": "object", "properties": {"a": {"$ref": "#nowhere"}}}, "ReferenceUnresolved"),
        ({"type": "object", "properties": {"a": {"$ref": "other.json"}}}, "ReferenceOutside"),
    ],
)
def test_what_is_no_schema_of_arguments_is_refused(schema: Any, reason: str) -> None:
    with pytest.raises(CannotConvert) as refused:
        normalise(SERVER, tool(schema))
    assert refused.value.reason == reason


def test_a_bad_result_schema_is_a_reported_loss() -> None:
    document, losses = normalise(SERVER, tool(FULL, returns={"type": "array"}))
    assert document.returns is None
    assert len(losses) == 1
    assert "result schema left out" in losses[0]


@given(name=st.text(max_size=80))
def test_any_name_becomes_callable_and_the_original_is_kept(name: str) -> None:
    if not name:
        with pytest.raises(CannotConvert, match="no function name") as refused:
            normalise(SERVER, tool(FULL, name=name))
        assert refused.value.reason == "BadName"
        return
    document, losses = normalise(SERVER, tool(FULL, name=name))
    assert NAME.fullmatch(document.name)
    assert (document.name != name) == bool(losses) == (document.original_name is not None)
    assert document.called == name


def test_a_name_with_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(CannotConvert, match="no function name"):
        normalise(SERVER, tool(FULL, name="a\ud83d"))
