"""A tool's schema stands in prompts as its author declared it: in training, in files, and in what serves the model (SPEC 1, 5)."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.model import tokenizer as tokenizers_module
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.conversation import Conversation, Message, ToolCall
from astra_jobs.records.lines import read_lines, write_lines
from astra_jobs.toolcorpus.normalise import normalise
from astra_jobs.toolcorpus.raw import RawServer, RawTool
from astra_jobs.worlds import examples

UNSORTED: dict[str, Any] = {
    "type": "object",
    "required": ["zeta", "alpha"],
    "properties": {
        "zeta": {"type": "string", "description": 'größer <b>"1"</b> & 城市 \\ \u2028', "enum": ["<", ">", "&", "'"]},
        "alpha": {"$ref": "#/$defs/Zz"},
        "mid": {"anyOf": [{"type": "null"}, {"items": {"$ref": "#/$defs/Aa"}, "type": "array"}], "default": None},
    },
    "$defs": {"Zz": {"type": "number", "minimum": 0.5, "title": "z"}, "Aa": {"additionalProperties": {"b": 1, "a": 2}, "type": "object"}},
    "additionalProperties": False,
}
COMPOSED: dict[str, Any] = {
    "title": "t",
    "allOf": [{"required": ["b"], "properties": {"b": {}, "a": {}}}],
    "$schema": "http://json-schema.org/draft-07/schema#",
}
SERVER = RawServer(name="s", origin="Mcp", domain="d", tools=[], source="mcp:x", version="3", licence="MIT")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("model")
    tokenizers_module.train([examples.conversation(2 * seed, ProceduralWorlds()) for seed in range(20)], 640).save_pretrained(str(folder))
    return AutoTokenizer.from_pretrained(str(folder))  # type: ignore[no-untyped-call]


def as_json(message: Message) -> dict[str, Any]:
    calls = [{"type": "function", "function": {"name": entry.name, "arguments": entry.arguments}} for entry in message.tool_calls]
    return {"role": message.role, "content": message.content, "tool_calls": calls}


@pytest.mark.parametrize("declared", [UNSORTED, COMPOSED], ids=["nested", "composed"])
def test_training_serving_and_files_show_the_declared_order(declared: dict[str, Any], exported: Any, tmp_path: Path) -> None:
    tool, losses = normalise(SERVER, RawTool("t", "does <it> & well", declared))
    assert losses == []
    messages = [
        Message(role="user", content="go"),
        Message(role="assistant", tool_calls=[ToolCall(name="t", arguments={"zeta": "<", "alpha": {"y": 1, "b": "ä"}})]),
        Message(role="tool", content="{}"),
        Message(role="assistant", content="done"),
    ]
    made = examples.conversation(0, ProceduralWorlds()).model_copy(update={"tools": [tool], "messages": messages})
    write_lines(tmp_path / "one.jsonl", [made])
    (read,) = read_lines(tmp_path / "one.jsonl", Conversation)
    renderer = Renderer(exported)
    trained = renderer.text(renderer.conversation(read.tools, read.messages)[0])
    served_tools = [{"type": "function", "function": {"name": "t", "description": tool.description, "parameters": tool.parameters}}]
    served = exported.apply_chat_template([as_json(entry) for entry in messages], tools=served_tools, tokenize=False)
    assert trained + "\n" == served
    assert json.dumps({key: value for key, value in declared.items() if key != "type"}, ensure_ascii=False)[1:-1] in served
    assert '{"zeta": "<", "alpha": {"y": 1, "b": "ä"}}' in served
    prompt = exported.apply_chat_template(
        [as_json(entry) for entry in messages[:1]], tools=served_tools, add_generation_prompt=True, tokenize=False
    )
    assert renderer.text(renderer.prompt(read.tools, read.messages[:1])) == prompt
