"""Tools of the procedural author: a column of the world as Python, or one with a planted defect.

Sub-questions of one instance that share a column get tools that each lack the other's row, so that merging them has
something to do.
"""

import ast
import dataclasses
from typing import Any

from astra_jobs.authors.env_requests import NodeContext
from astra_jobs.authors.procedural_envs.plan import Plan, known_node, known_question, tool_of
from astra_jobs.records.tool import Tool
from astra_jobs.worlds.world import WorldTool


def rows_for(context: NodeContext) -> dict[str, Any]:
    """Return the rows of a node's tool: the column without the rows of other nodes that ask the same column."""
    tool, key = tool_of(context.origin, context.node)
    others = {
        str(value)
        for call in known_question(context.origin).oracle
        if call.tool == tool.name
        for value in call.arguments.values()
        if value != key
    }
    rows = {row: value for row, value in tool.data.items() if row not in others}
    return rows if len(rows) > 2 else dict(tool.data)


def afflicted(context: NodeContext, plan: Plan) -> bool:
    """Tell whether the plan's defect goes into this node's tool."""
    return known_node(context.origin, context.node).id == plan.node


def document(context: NodeContext, taken: list[str], plan: Plan) -> Tool:
    """Return the document of a node's tool under a name that is free."""
    tool, _ = tool_of(context.origin, context.node)
    names = [tool.name, *(f"{tool.name}_{number}" for number in range(2, len(taken) + 3))]
    written = tool.document().model_copy(update={"name": next(name for name in names if name not in taken)})
    if not (afflicted(context, plan) and echo_kind(plan) == "argument"):
        return written
    properties = {**written.parameters["properties"], "expected": {}}
    return written.model_copy(update={"parameters": {**written.parameters, "properties": properties}})


def echo_kind(plan: Plan) -> str:
    """Return how a tool echoes the answer; empty for other defects."""
    return plan.rng().choice(("argument", "constant", "fallback")) if plan.defect == "echoingTool" else ""


def call_statement(context: NodeContext, tool: Tool, plan: Plan) -> tuple[str, bool]:
    """Return the call that answers a node, and whether a defect was planted in it."""
    world_tool, key = tool_of(context.origin, context.node)
    call = f"{tool.name}({world_tool.argument}={key!r})"
    if not afflicted(context, plan):
        return call, False
    if plan.defect == "badCall":
        spoilt = (
            f"{tool.name}({key!r})",
            f"{tool.name}({world_tool.argument}=str({key!r}))",
            f"{call} or {call}",
            f"{tool.name}_all({world_tool.argument}={key!r})",
            f"{tool.name}({world_tool.argument}={key!r}",
            f"print({call})",
        )
        return plan.rng().choice(spoilt), True
    if echo_kind(plan) == "argument":
        return f"{tool.name}({world_tool.argument}={key!r}, expected={context.node.answer.value!r})", True
    return call, False


@dataclasses.dataclass(frozen=True)
class Code:
    """Python of a tool with the rows it answers for."""

    text: str
    rows: list[str]
    planted: bool = False


def implement(context: NodeContext, name: str, plan: Plan) -> Code:
    """Return the Python of a node's tool."""
    tool, key = tool_of(context.origin, context.node)
    rows = rows_for(context)
    if not afflicted(context, plan):
        return Code(source(tool, name, rows), list(rows))
    if plan.defect in ("wrongAnswer", "ambiguousData"):
        return _spoilt_data(tool, name, key, rows, plan)
    spoil = {"echoingTool": _echo, "unstableTool": _unstable, "forbiddenCode": _forbidden, "runawayTool": _runaway}.get(plan.defect)
    clean = source(tool, name, rows)
    return Code(clean if spoil is None else spoil(clean, tool, key, plan), list(rows), spoil is not None)


def source(tool: WorldTool, name: str, rows: dict[str, Any]) -> str:
    """Return a column's Python under a name and with given rows."""
    return dataclasses.replace(tool, name=name, data=rows).source()


def _spoilt_data(tool: WorldTool, name: str, key: str, rows: dict[str, Any], plan: Plan) -> Code:
    """Swap the answer with another row's value, or repeat it in another row."""
    others = [row for row in rows if row != key]
    other = plan.rng().choice(others)
    if plan.defect == "wrongAnswer":
        spoilt = {**rows, key: rows[other], other: rows[key]}
    elif len(others) > 1:
        spoilt = {**rows, other: rows[key]}
    else:
        return Code(source(tool, name, rows), list(rows))
    return Code(source(tool, name, spoilt), list(spoilt), planted=True)


def _body(clean: str, *, before: str = "", result: str = "") -> str:
    """Put lines before the return of a tool, and wrap what it returns."""
    head, _, tail = clean.rpartition("    return ")
    value = tail.rstrip("\n")
    return f"{head}{before}    return {result.replace('RESULT', value) if result else value}\n"


def _echo(clean: str, tool: WorldTool, key: str, plan: Plan) -> str:
    name, argument = tool.name.upper(), tool.argument
    kind = echo_kind(plan)
    if kind == "argument":
        return _body(clean.replace(f"({argument}):", f"({argument}, expected=None):", 1))
    value = tool.result(tool.data[key])
    if kind == "constant":
        return clean[: clean.index("    if ")] + f"    return {value!r}\n"
    assert name in clean
    return clean.replace(f'        raise ValueError("unknown {argument}")', f"        {argument} = {key!r}")


def _unstable(clean: str, tool: WorldTool, key: str, plan: Plan) -> str:
    words = "{'oak', 'elm', 'fir', 'ash', 'yew', 'bay', 'fig', 'ivy', 'red', 'jade'}"
    head, extra = plan.rng().choice(
        (
            ("", f"hash({tool.argument})"),
            ("", f"list({words})"),
            ("import random\n", "random.random()"),
            ("import datetime\n", "str(datetime.datetime.now())"),
        )
    )
    return head + _body(clean, result=f'{{**RESULT, "note": {extra}}}')


def _forbidden(clean: str, tool: WorldTool, key: str, plan: Plan) -> str:
    return plan.rng().choice(
        (
            "import subprocess\n" + clean,
            "from urllib import request\n" + clean,
            _body(clean, before="    eval('1')\n"),
            _body(clean, before="    open('/etc/hostname')\n"),
            _body(clean, before="    ().__class__.__base__.__subclasses__()\n"),
            _body(clean, before="    print('{0.__globals__}'.format(print))\n"),
        )
    )


def _runaway(clean: str, tool: WorldTool, key: str, plan: Plan) -> str:
    return plan.rng().choice(
        (
            _body(clean, before="    while True:\n        pass\n"),
            _body(clean, before="    bytes(1 << 34)\n"),
            _body(clean, result='{**RESULT, "note": "x" * 2_000_000}'),
        )
    )


def merged(context: NodeContext, name: str, code: str) -> Code:
    """Return a tool's Python with the row of one more sub-question, rows in the world's order."""
    tool, key = tool_of(context.origin, context.node)
    first = ast.parse(code).body[0]
    held = ast.literal_eval(first.value) if isinstance(first, ast.Assign) else {}
    rows = {row: value for row, value in tool.data.items() if row in held or row == key}
    return Code(source(tool, name, rows), list(rows))
