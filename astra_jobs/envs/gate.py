"""The static gate: what a tool's Python may not contain, by its syntax tree (SPEC 3.5).

It stops accidents and lazy cheating before anything runs; it is no restriction on hostile code, which is the sandbox's
job. An allow-list of imports and of the harmless part of some modules, no names that reach the interpreter, the
signature of the schema. What it lets through runs in a sandbox as in plain Python; a refusal names line, policy and remedy.
"""

import ast
from collections.abc import Iterator

from astra_jobs.envs.funnel import Refused
from astra_jobs.records.tool import Tool
from astra_jobs.sandbox.inside.modules import IMPORTABLE, PACKAGES, PARTLY
from astra_jobs.sandbox.inside.policy import import_refusal, of_attribute, refusal
from astra_jobs.sandbox.inside.source import tree_of

LONGEST = 40_000
FORBIDDEN_NAMES = {
    "__builtins__": "interpreter", "__import__": "dynamicCode", "__loader__": "interpreter", "__spec__": "interpreter",
    "__build_class__": "interpreter", "breakpoint": "terminal", "compile": "dynamicCode", "eval": "dynamicCode", "exec": "dynamicCode",
    "exit": "exit", "globals": "interpreter", "help": "terminal", "input": "terminal", "locals": "interpreter", "open": "files",
    "quit": "exit",
}  # fmt: skip
"""Name of a built-in → policy. A tool may give one of these names to something of its own, as a parameter ``open``."""
FORBIDDEN_ATTRIBUTES = frozenset(
    {
        "__base__", "__bases__", "__builtins__", "__closure__", "__code__", "__func__", "__getattribute__", "__globals__", "__import__",
        "__loader__", "__mro__", "__reduce__", "__reduce_ex__", "__self__", "__spec__", "__subclasses__", "ag_frame", "cr_frame", "f_back",
        "f_builtins", "f_globals", "f_locals", "gi_frame", "tb_frame",
    }
)  # fmt: skip
"""Ways from a value to the interpreter's own state, as attributes or in texts for ``getattr`` and ``format``."""
FILE_METHODS = frozenset(
    {"hardlink_to", "iterdir", "read_bytes", "read_text", "rglob", "samefile", "symlink_to", "touch", "write_bytes", "write_text"}
)
"""Methods of a path that nothing else has by these names."""
FORBIDDEN_METHODS = frozenset({"__del__", "__getattribute__", "__reduce__", "__reduce_ex__", "__import__"})


def check(tool: Tool, code: str) -> None:
    """Raise Refused with the first thing that the gate does not let through."""
    if len(code) > LONGEST:
        raise _refused("TooLong", code[:LONGEST].count("\n") + 1, refusal(f"a source of {len(code)} characters, over {LONGEST},", "size"))
    try:
        tree = tree_of(tool.name, code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise _refused("NotPython", getattr(error, "lineno", None) or 1, refusal(said, "syntax")) from None
    modules, bound = _imported(tree), _bound(tree)
    for node in ast.walk(tree):
        _check_import(node)
        _check_names(node, bound)
        _check_attribute(node, modules)
    _check_signature(tool, tree)


def _refused(reason: str, line: int, sentence: str) -> Refused:
    return Refused("staticGate", reason, f"line {line}: {sentence}")


def _imported(tree: ast.AST) -> dict[str, str]:
    """Return name → module for all import statements of modules that are let through in part."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name: module for name, module in found.items() if module in PARTLY}


def _bound(tree: ast.AST) -> set[str]:
    """Return the names that the source gives to something of its own."""
    return {name for node in ast.walk(tree) for name in _names(node)}


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name


def _check_import(node: ast.AST) -> None:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names if not _known(alias.name)]
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        names = [
            f"{module}.{alias.name}" if module in PARTLY or module in PACKAGES else module
            for alias in node.names
            if not (_known(f"{module}.{alias.name}") or module in IMPORTABLE or alias.name in PARTLY.get(module, ()))
        ]
    if names:
        module, _, last = names[0].rpartition(".")
        sentence = refusal(f"import of {names[0]!r}", of_attribute(module, last)) if module in PARTLY else import_refusal(names[0])
        raise _refused("Import", getattr(node, "lineno", 1), sentence)


def _known(name: str) -> bool:
    return name in IMPORTABLE or name in PARTLY or name in PACKAGES


def _check_names(node: ast.AST, bound: set[str]) -> None:
    if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES and (node.id not in bound or node.id.startswith("__")):
        raise _refused("ForbiddenName", node.lineno, refusal(f"{node.id!r}", FORBIDDEN_NAMES[node.id]))
    if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_ATTRIBUTES:
        raise _refused("DunderAttribute", node.lineno, refusal(f"attribute {node.attr!r}", "interpreter"))
    if isinstance(node, ast.Attribute) and node.attr in FILE_METHODS and node.attr not in bound:
        raise _refused("ForbiddenName", node.lineno, refusal(f"{node.attr!r}", "files"))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in FORBIDDEN_METHODS:
        raise _refused("DunderMethod", node.lineno, refusal(f"method {node.name!r}", "interpreter"))
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "__" in node.value:
        found = next((name for name in sorted(FORBIDDEN_ATTRIBUTES) if name.startswith("__") and name in node.value), None)
        if found is not None:
            raise _refused("DunderText", node.lineno, refusal(f"a text with {found!r}", "interpreter"))


def _check_attribute(node: ast.AST, modules: dict[str, str]) -> None:
    """Refuse the parts of a module that do more than compute."""
    if not isinstance(node, ast.Attribute):
        return
    module = _module_of(node.value, modules)
    if module in PARTLY and node.attr not in PARTLY[module] and not _known(f"{module}.{node.attr}"):
        raise _refused("ForbiddenName", node.lineno, refusal(f"'{module}.{node.attr}'", of_attribute(module, node.attr)))


def _module_of(node: ast.expr, modules: dict[str, str]) -> str:
    """Return the module that an expression such as ``os.path`` names, or nothing."""
    if isinstance(node, ast.Name):
        return modules.get(node.id, "")
    if isinstance(node, ast.Attribute):
        name = f"{_module_of(node.value, modules)}.{node.attr}"
        return name if name in PARTLY else ""
    return ""


def _check_signature(tool: Tool, tree: ast.Module) -> None:
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == tool.name]
    if len(functions) != 1:
        line = functions[1].lineno if functions else 1
        raise _refused("NoFunction", line, refusal(f"a source with {len(functions)} functions {tool.name} at the top", "function"))
    arguments, line = functions[0].args, functions[0].lineno
    starred = [f"*{one.arg}" for one in (arguments.vararg,) if one] + [f"**{one.arg}" for one in (arguments.kwarg,) if one]
    starred += [f"{one.arg}, /" for one in arguments.posonlyargs[-1:]]
    if starred:
        raise _refused("Signature", line, refusal(f"parameter {starred[0]!r}", "signature"))
    names = {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)}
    wanted = set(tool.parameters.get("properties", {}))
    optional = {one.arg for one in arguments.args[len(arguments.args) - len(arguments.defaults) :]}
    optional |= {one.arg for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is not None}
    if wanted - names or names - wanted - optional:
        raise _refused(
            "Signature", line, refusal(f"a function that takes {sorted(names)}, where the schema has {sorted(wanted)},", "signature")
        )
