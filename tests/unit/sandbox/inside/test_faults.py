"""How exceptions are told, whatever they do."""

from typing import Any

from astra_jobs.sandbox.inside.faults import MESSAGE, NOTE, describe
from astra_jobs.sandbox.inside.source import code_of, file_of, module_of


def told(source: str) -> str:
    """Run a source as a tool named f is, and tell what it raised."""
    module = module_of("f", source)
    try:
        exec(code_of("f", source), module.__dict__)
    except BaseException as error:  # noqa: BLE001 - a source may raise anything
        return describe(error, file_of("f")).decode()
    raise AssertionError("nothing was raised")


def test_exceptions_are_told_whatever_they_do() -> None:
    class Meta(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise KeyboardInterrupt

    class Evil(Exception, metaclass=Meta):
        def __str__(self) -> str:
            raise SystemExit

        def __getattribute__(self, name: str) -> Any:
            raise GeneratorExit

    assert describe(Evil(), "x") == b"Exception: (no message)"
    assert describe(ValueError("x" * 1000)).startswith(b"ValueError: xxx")
    assert len(describe(ValueError("x" * 1000))) == MESSAGE
    assert describe(ValueError("\ud800")) == b"ValueError: ?"


def test_the_line_is_that_of_the_tools_own_source_in_any_function() -> None:
    assert told("import json\n\njson.loads('{')").endswith("(line 3)")
    assert told("def g(x):\n    return 1 / x\n\n\ng(0)") == "ZeroDivisionError: division by zero (line 2)"
    assert told("x = [\n    1,\n    {}['a'],\n]") == "KeyError: 'a' (line 3)"
    assert told("def g():\n    raise ValueError('mine')\ng()") == "ValueError: mine"
    assert told("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('mine') from e") == "RuntimeError: mine"
    assert told("assert 1 == 2, 'unequal'") == "AssertionError: unequal"
    assert told("raise KeyError") == "KeyError: "


def test_additions_are_bounded_too() -> None:
    text = told(f"import {'x' * 1000}")
    assert len(text) <= MESSAGE + NOTE
    assert text.startswith("ModuleNotFoundError: No module named 'xxx")


def test_a_wide_function_finds_the_names_of_its_line() -> None:
    names = "\n".join(f"n{number} = 0" for number in range(600))
    text = told(f"{names}\nerror = PermissionError(1, 'no')\ndef fork(): raise error\nfork()\n")
    assert text == "PermissionError: [Errno 1] no", "raised by the tool's own words"
    text = told(f"{names}\nimport os\nos.getcwd = lambda: open('/no/such')\nos.getcwd()\n")
    assert "(line 602)" in text
