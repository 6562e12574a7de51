"""The text that a model is shown for a call: one form for training data, reinforcement and evaluation.

A result is its JSON without spaces; a failure is ``{"error": "..."}``. Both are cut at a number of characters (SPEC 5).
"""

import json
from typing import Any


def result_text(value: Any, max_chars: int) -> str:
    """Return the text of a call's value (JSON)."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)[:max_chars]


def error_text(message: str, max_chars: int) -> str:
    """Return the text of a call that failed."""
    return result_text({"error": message}, max_chars)


def unknown_tool(name: str) -> str:
    """Return the message for a call of a tool that was not offered."""
    return f"unknown tool {name}"


def malformed(fault: str) -> str:
    """Return the message for a call that could not be read: the part that was at fault, so that it can be written again."""
    return f"malformed call: {fault}"
