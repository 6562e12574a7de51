"""From a tool's source to its code and its module: what ``python tool.py`` makes of it, but for the part that is for people.

The module is ``__main__``, as in a program that is run, so that names, types and messages are those of plain Python. A
block ``if __name__ == "__main__":`` at the top is left out: it demonstrates the tool to whoever runs the file.
"""

import ast
import sys
from types import CodeType, ModuleType

from astra_jobs.sandbox.inside.encode import Unfit

MAIN = "__main__"
_MARK = "\ufeff"


def file_of(name: str) -> str:
    """Return the file name that a tool's code, tracebacks and ``__file__`` show; there is no such file."""
    return f"/tools/{name}.py"


def _without_demonstration(tree: ast.Module) -> ast.Module:
    """Replace each block at the top that runs only in a program by its ``else``."""
    body: list[ast.stmt] = []
    for statement in tree.body:
        body += statement.orelse if isinstance(statement, ast.If) and _asks_for_main(statement.test) else [statement]
    tree.body = body
    return tree


def _asks_for_main(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = (test.left, test.comparators[0])
    named = [side.id for side in sides if isinstance(side, ast.Name)]
    return named == ["__name__"] and any(isinstance(side, ast.Constant) and side.value == MAIN for side in sides)


def tree_of(name: str, source: str) -> ast.Module:
    """Return the syntax tree of what runs of a source; raises what the compiler raises."""
    return _without_demonstration(ast.parse(source.removeprefix(_MARK), file_of(name)))


def code_of(name: str, source: str) -> CodeType:
    """Compile a tool's source; raises what the compiler raises."""
    if MAIN not in source:
        return compile(source.removeprefix(_MARK), file_of(name), "exec", dont_inherit=True)
    return compile(tree_of(name, source), file_of(name), "exec", dont_inherit=True)


class Loader:
    """Gives a tool's source to ``inspect.getsource`` and to tracebacks, which find no file."""

    def __init__(self, source: str) -> None:
        self._source = source

    def get_source(self, _: str) -> str:
        """Return the source."""
        return self._source


def module_of(name: str, source: str) -> ModuleType:
    """Return a tool's module before its code has run."""
    made = ModuleType(MAIN)
    made.__dict__.update(__builtins__=sys.modules["builtins"], __file__=file_of(name), __loader__=Loader(source), __annotations__={})
    return made


def function_of(module: ModuleType, name: str) -> object:
    """Return the tool's function from its module, whose code has run; Unfit where there is none."""
    found = module.__dict__.get(name)
    if not callable(found):
        others = [one for one, value in module.__dict__.items() if callable(value) and getattr(value, "__module__", "") == MAIN]
        raise Unfit(f"NameError: the code defines no function {name}; it defines {', '.join(others) or 'none'}")
    return found
