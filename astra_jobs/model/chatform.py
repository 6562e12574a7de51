"""The Qwen3 chat form with tools, as pieces of text and control tokens.

One place knows the form; the tokenizer is trained on these pieces and the renderer encodes them. Two departures from the
published template: an assistant turn without reasoning gets no empty ``<think>`` block (the published one adds it to
the last turn only, so that a conversation would not be an extension of its own beginning), and earlier reasoning stays
within one user turn. The line break after the last ``<|im_end|>`` belongs to what follows it and is left out at the end.
"""

import json
from collections.abc import Sequence
from typing import Any

from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.tool import Tool


class Control(str):
    """A control token by its text; text that merely looks like one stays text."""

    __slots__ = ()


START, END, PAD = Control("<|im_start|>"), Control("<|im_end|>"), Control("<|endoftext|>")
CALL, END_CALL = Control("<tool_call>"), Control("</tool_call>")
RESPONSE, END_RESPONSE = Control("<tool_response>"), Control("</tool_response>")
THINK, END_THINK = Control("<think>"), Control("</think>")
CONTROLS: tuple[Control, ...] = (PAD, START, END, CALL, END_CALL, RESPONSE, END_RESPONSE, THINK, END_THINK)

_TOOLS_BEFORE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_AFTER = "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
_CALL_EXAMPLE = '\n{"name": <function-name>, "arguments": <args-json-object>}\n'

Pieces = list[str]
"""Texts and ``Control`` tokens in order; neighbouring texts are one text."""


def dumps(value: Any) -> str:
    """Return JSON as the chat form writes it: as given in order, a space after comma and colon, no escapes beyond JSON's."""
    return json.dumps(value, ensure_ascii=False)


def opening(tools: Sequence[Tool], system: str = "") -> Pieces:
    """Return the system turn: the system message, if any, and the tools, if any."""
    if not tools and not system:
        return []
    if not tools:
        return [START, f"system\n{system}", END, "\n"]
    listed = "".join("\n" + dumps(tool.function()) for tool in tools)
    before = f"system\n{system}\n\n{_TOOLS_BEFORE}" if system else f"system\n{_TOOLS_BEFORE}"
    closing = [CALL, END_CALL, " XML tags:\n", CALL, _CALL_EXAMPLE, END_CALL, END, "\n"]
    return [START, before + listed + _TOOLS_AFTER, *closing]


def header() -> Pieces:
    """Return what stands before an assistant turn."""
    return [START, "assistant\n"]


def call_text(call: ToolCall) -> str:
    """Return the text between ``<tool_call>`` and ``</tool_call>``."""
    return f'\n{{"name": "{call.name}", "arguments": {dumps(call.arguments)}}}\n'


def turn(message: Message, reasoning: bool = True) -> Pieces:
    """Return what the assistant writes in one turn, up to and including ``<|im_end|>``."""
    pieces: Pieces = []
    if message.reasoning and reasoning:
        pieces += [THINK, "\n" + message.reasoning.strip("\n") + "\n", END_THINK, "\n\n"]
    content = message.content.lstrip("\n") if message.reasoning and reasoning else message.content
    if content:
        pieces.append(content)
    for index, call in enumerate(message.tool_calls):
        if index or content:
            pieces.append("\n")
        pieces += [CALL, call_text(call), END_CALL]
    return [*pieces, END]


def responses(texts: Sequence[str]) -> Pieces:
    """Return the turn that holds the answers of tools, in order of the calls."""
    pieces: Pieces = [START, "user"]
    for text in texts:
        pieces += ["\n", RESPONSE, f"\n{text}\n", END_RESPONSE]
    return [*pieces, END, "\n"]


def others(messages: Sequence[Message]) -> Pieces:
    """Return user, system and tool messages; neighbouring tool messages share one turn."""
    pieces: Pieces = []
    index = 0
    while index < len(messages):
        message = messages[index]
        if message.role == "tool":
            after = index
            while after < len(messages) and messages[after].role == "tool":
                after += 1
            pieces += responses([entry.content for entry in messages[index:after]])
            index = after
        else:
            pieces += [START, f"{message.role}\n{message.content}", END, "\n"]
            index += 1
    return pieces


def joined(pieces: Sequence[str]) -> Pieces:
    """Return the pieces with neighbouring texts made one, empty texts gone."""
    result: Pieces = []
    for piece in pieces:
        if isinstance(piece, Control):
            result.append(piece)
        elif piece and result and not isinstance(result[-1], Control):
            result[-1] += piece
        elif piece:
            result.append(piece)
    return result


# The same form for programs that render with Jinja (serving, other trainers); a test holds the two equal.
TEMPLATE = """\
{%- set system = messages[0].content if messages and messages[0].role == 'system' else '' -%}
{%- if tools -%}
{{ '<|im_start|>system\\n' + (system + '\\n\\n' if system else '') + BEFORE }}
{%- for tool in tools -%}{{ '\\n' + (tool | tojson) }}{%- endfor -%}
{{ AFTER + '<tool_call></tool_call> XML tags:\\n<tool_call>' + EXAMPLE + '</tool_call><|im_end|>\\n' }}
{%- elif system -%}{{ '<|im_start|>system\\n' + system + '<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
{%- set content = message.content if message.content is string else '' -%}
{%- if message.role == 'assistant' -%}
{{ '<|im_start|>assistant\\n' }}
{%- if message.reasoning_content -%}
{%- set content = content.lstrip('\\n') -%}
{{ '<think>\\n' + message.reasoning_content.strip('\\n') + '\\n</think>\\n\\n' }}
{%- endif -%}
{{ content }}
{%- for entry in message.tool_calls or [] -%}
{%- set call = entry.function or entry -%}
{{ '\\n' if content or not loop.first else '' }}
{{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
{{- call.arguments if call.arguments is string else (call.arguments | tojson) }}
{{- '}\\n</tool_call>' }}
{%- endfor -%}
{{ '<|im_end|>\\n' }}
{%- elif message.role == 'tool' -%}
{{ '<|im_start|>user' if loop.first or messages[loop.index0 - 1].role != 'tool' else '' }}
{{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
{{- '<|im_end|>\\n' if loop.last or messages[loop.index0 + 1].role != 'tool' else '' }}
{%- elif message.role != 'system' or not loop.first -%}
{{ '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
{%- endif -%}
{%- endfor -%}
{{ '<|im_start|>assistant\\n' if add_generation_prompt else '' }}"""
for _name, _text in (("BEFORE", _TOOLS_BEFORE), ("AFTER", _TOOLS_AFTER), ("EXAMPLE", _CALL_EXAMPLE)):
    TEMPLATE = TEMPLATE.replace(_name, json.dumps(_text))
