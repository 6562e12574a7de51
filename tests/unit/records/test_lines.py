"""Records as lines: what cannot be written is named by file and line."""

from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.lines import read_lines, write_lines


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", ["a\ud83d", nested(5000)], ids=["half", "deep"])
def test_a_record_without_a_json_form_is_named(tmp_path: Path, value: Any) -> None:
    good = Message(role="user", content="hello")
    bad = Message(role="assistant", tool_calls=[ToolCall(name="f", arguments={"x": value})])
    with pytest.raises(BadInput) as refused:
        write_lines(tmp_path / "messages.jsonl", [good, bad])
    assert refused.value.where == "messages.jsonl:2"
    assert "a Message has no JSON form" in refused.value.message
    assert list(read_lines(tmp_path / "messages.jsonl", Message)) == [good]
