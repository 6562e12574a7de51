"""The static gate: what a tool's Python may not contain, by its syntax tree (SPEC 3.5).

It stops accidents and lazy cheating before anything runs; it is no wall against hostile code, which is the sandbox's
job. An allow-list of imports, no dunder attributes, no names that reach the interpreter, the signature of the schema.
"""

import ast

from astra_jobs.envs.funnel import Refused
from astra_jobs.records.tool import Tool
from astra_jobs.sandbox.inside.modules import IMPORTABLE

LONGEST = 40_000
FORBIDDEN_NAMES = frozenset(
    {
        "__import__", "breakpoint", "compile", "delattr", "dir", "eval", "exec", "exit", "getattr", "globals", "help", "input",
        "locals", "memoryview", "open", "quit", "setattr", "vars",
    }
)  # fmt: skip
ALLOWED_METHODS = frozenset({"__init__", "__post_init__", "__eq__", "__lt__", "__hash__", "__repr__", "__str__"})


def check(tool: Tool, code: str) -> None:
    """Raise Refused with the first thing that the gate does not let through."""
    if len(code) > LONGEST:
        raise Refused("staticGate", "TooLong", f"{len(code)} characters")
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Refused("staticGate", "NotPython", tool.name) from None
    for node in ast.walk(tree):
        _check_import(node)
        _check_names(node)
    _check_signature(tool, tree)


def _check_import(node: ast.AST) -> None:
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = ["." * node.level + (node.module or "")]
    for name in names:
        if name not in IMPORTABLE:
            raise Refused("staticGate", "Import", name)


def _check_names(node: ast.AST) -> None:
    if isinstance(node, ast.Attribute) and node.attr.startswith("__"):
        raise Refused("staticGate", "DunderAttribute", node.attr)
    if isinstance(node, ast.Name) and (node.id in FORBIDDEN_NAMES or node.id.startswith("__")):
        raise Refused("staticGate", "ForbiddenName", node.id)
    if isinstance(node, ast.FunctionDef) and node.name.startswith("__") and node.name not in ALLOWED_METHODS:
        raise Refused("staticGate", "DunderMethod", node.name)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "__" in node.value:
        raise Refused("staticGate", "DunderText", node.value[:40])
    if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
        raise Refused("staticGate", "Async", type(node).__name__)


def _check_signature(tool: Tool, tree: ast.Module) -> None:
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == tool.name]
    if len(functions) != 1 or functions[0].decorator_list:
        raise Refused("staticGate", "NoFunction", f"one plain function {tool.name} is wanted")
    arguments = functions[0].args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        raise Refused("staticGate", "Signature", "arguments are taken by keyword")
    names = {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)}
    if names != set(tool.parameters.get("properties", {})):
        raise Refused("staticGate", "Signature", f"the function takes {sorted(names)}")
