"""Files, functions and signatures stay small; there is no list of exceptions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CODE = sorted(path for folder in ("astra_jobs", "operator") for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FILE_LINES, TEST_LINES, FUNCTION_LINES, PARAMETERS = 400, 500, 60, 6


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


@pytest.mark.parametrize(("paths", "limit"), [(CODE, FILE_LINES), (TESTS, TEST_LINES)], ids=["code", "tests"])
def test_no_file_is_long(paths: list[Path], limit: int) -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    assert lengths, "no files found"
    assert {path: length for path, length in lengths.items() if length > limit} == {}


def test_no_function_is_long_or_wide() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}: {lines} lines, {parameters(function)} parameters"
        for path in CODE
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES or parameters(function) > PARAMETERS
    ]
    assert faults == []


def test_every_module_says_why_it_exists() -> None:
    assert [str(path) for path in CODE if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_operator_folder_never_shadows_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
