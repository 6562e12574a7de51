"""Whatever stands in place of a schema: it is kept by the corpus exactly when the sandbox takes it, and nothing raises otherwise."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.arguments import checks_of
from astra_jobs.sandbox.protocol import ToolCode
from astra_jobs.schemas.dialects import DEFAULT, DEFINITIONS
from astra_jobs.schemas.document import REFERENCES
from astra_jobs.toolcorpus.normalise import CannotConvert, normalise
from astra_jobs.toolcorpus.raw import RawServer, RawTool

SEVEN = "http://json-schema.org/draft-07/schema#"
SERVER = RawServer(name="s", origin="Mcp", domain="d", tools=[], source="x", version="1", licence="MIT")
KEYWORDS = sorted({*DEFAULT.keywords, *DEFINITIONS, *REFERENCES, "$schema", "$id", "$anchor", "$dynamicAnchor", "a", "format"})
TEXTS = ["object", "string", "integer", "#", "#/$defs/a", "#a", "a", "http://127.0.0.1:1/", "^a", "(", SEVEN, "\ud800", "%zz"]

scalars = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from([0.5, float("nan"), 10**400]) | st.sampled_from(TEXTS)
schema = st.recursive(
    st.just({}) | st.just({"type": "object"}) | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4),
    max_leaves=12,
)


def taken(parameters: Any) -> bool:
    try:
        check = asyncio.run(checks_of([ToolCode.model_construct(name="t", parameters=parameters, code="")]))["t"]
    except BadInput as error:
        return "\n" in str(error)
    for arguments in ({}, {"a": 1}, {"a": {"a": [1, "x"]}}):
        fault = check.fault(arguments)
        assert fault is None or 0 < len(fault) <= 200
    return True


def whole(document: Any) -> dict[str, Any]:
    return {"type": "object", "$defs": {"a": document if isinstance(document, dict) else {}}, "properties": {"a": document}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"dependencies": {}, "dependentSchemas": None},
        {"dependencies": {}, "dependentRequired": None},
        {"$ref": "#/$defs/a", "$dynamicRef": "#/$defs/a", "allOf": None, "$defs": {"a": {}}},
    ],
)
def test_a_keyword_of_the_wrong_type_beside_one_that_is_rewritten_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(CannotConvert, match="null"):
        normalise(SERVER, RawTool("t", "does it", {"type": "object", **wrong}))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schema, st.booleans())
def test_kept_is_taken_and_dropped_is_not(document: Any, below: bool) -> None:
    parameters = whole(document) if below else document
    try:
        tool, losses = normalise(SERVER, RawTool("t", "does it", parameters))
    except CannotConvert as error:
        refused = str(error)
        assert "\n" not in refused
        assert not taken(parameters)
        return
    assert taken(parameters)
    assert taken(tool.parameters)
    assert normalise(SERVER, RawTool("t", "does it", tool.parameters))[0].parameters == tool.parameters
    assert all("\n" not in loss for loss in losses)
