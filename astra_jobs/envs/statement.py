"""Reading a call statement: one call, of the tool, with literal keyword arguments (SPEC 3.4)."""

import ast
from typing import Any

from astra_jobs.envs.funnel import Refused
from astra_jobs.records.tool import Tool

LONGEST = 4000


def read_call(statement: str, tool: Tool) -> dict[str, Any]:
    """Return the arguments; Refused when the text is anything but one call of the tool with literal keywords."""
    try:
        tree = ast.parse(statement[:LONGEST].strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Refused("callStatement", "NotPython", statement[:80]) from None
    call = tree.body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise Refused("callStatement", "NotOneCall", statement[:80])
    if call.func.id != tool.name:
        raise Refused("callStatement", "UnknownName", f"{call.func.id}; the tool is {tool.name}")
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise Refused("callStatement", "NotKeywords", statement[:80])
    try:
        return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except ValueError:
        raise Refused("callStatement", "NotLiteral", statement[:80]) from None
