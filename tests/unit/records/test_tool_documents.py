"""A tool's prompt form is one string of bytes, wherever the tool came from."""

import json

from astra_jobs.api.base import canonical
from astra_jobs.records.tool import Tool

SCHEMA = {"type": "object", "required": ["b", "a"], "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}}


def test_a_tool_from_memory_reads_as_the_same_tool_from_a_file() -> None:
    tool = Tool(name="t", description="does a thing", parameters=SCHEMA)
    stored = Tool.model_validate_json(canonical(tool.to_dict()))
    assert json.dumps(tool.parameters) != json.dumps(stored.parameters), "the two differ in the order of their keys"
    assert json.dumps(tool.function()) == json.dumps(stored.function())
    assert list(tool.function()["function"]) == ["name", "description", "parameters"]
