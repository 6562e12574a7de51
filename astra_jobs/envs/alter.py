"""Altering a tool's data, so that a tool whose answer does not come from its data shows itself (SPEC 3.5)."""

import ast
from typing import Any

from astra_jobs.records.environment import Answer


def altered(value: Any) -> Any:
    """Return another value of the same type: a boolean its opposite, a number one greater, a date a year later, a text with a mark."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if len(value) == 10 and value[:4].isdigit() and value[4] == "-":
        return f"{int(value[:4]) + 1:04d}-01-01"
    return f"altered {value[::-1]}"


class _Alter(ast.NodeTransformer):
    """Replaces the constants that make up the answer, but not the keys of dicts, which are what arguments look up."""

    def __init__(self, wanted: list[bool | str | int | float]) -> None:
        self.wanted = wanted

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        plain = isinstance(node.value, str | int | float)
        if plain and any(type(node.value) is type(one) and node.value == one for one in self.wanted):
            return ast.copy_location(ast.Constant(altered(node.value)), node)
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.Dict:
        node.values = [self.visit(value) for value in node.values]
        return node


def alter_data(code: str, answer: Answer) -> str:
    """Return the code with every occurrence of the answer in module-level data replaced by another value.

    Functions stay as they are: a tool that has its answer written into its function still gives it, and is refused.
    """
    tree = ast.parse(code)
    transform = _Alter(answer.items())
    tree.body = [transform.visit(statement) if isinstance(statement, ast.Assign | ast.AnnAssign) else statement for statement in tree.body]
    return ast.unparse(tree)
