"""A tool's prompt form is one string of bytes, wherever the tool came from: as its author declared it."""

import json
from pathlib import Path

from astra_jobs.records.lines import read_lines, write_lines
from astra_jobs.records.tool import Tool

SCHEMA = {"type": "object", "required": ["b", "a"], "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}}


def test_a_tool_from_memory_reads_as_the_same_tool_from_a_file(tmp_path: Path) -> None:
    tool = Tool(name="t", description="does a thing", parameters=SCHEMA)
    write_lines(tmp_path / "tools.jsonl", [tool])
    (stored,) = read_lines(tmp_path / "tools.jsonl", Tool)
    assert json.dumps(tool.function()) == json.dumps(stored.function())
    assert json.dumps(SCHEMA) in json.dumps(stored.function()), "nothing is sorted"
    assert Tool(name="t", description="does a thing", parameters=dict(reversed(SCHEMA.items()))).digest() == tool.digest()
    assert list(tool.function()["function"]) == ["name", "description", "parameters"]
