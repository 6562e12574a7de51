"""From a source to a module: what is left out, and what it says of itself."""

from typing import Any

import pytest

from astra_jobs.sandbox.inside.source import code_of, function_of, module_of


def made(source: str) -> dict[str, Any]:
    module = module_of("f", source)
    exec(code_of("f", source), module.__dict__)
    return module.__dict__


@pytest.mark.parametrize(
    "test", ['__name__ == "__main__"', "'__main__' == __name__", "(__name__ == '__main__')", "__name__ == \\\n '__main__'"]
)
def test_a_demonstration_is_left_out_and_its_else_is_not(test: str) -> None:
    found = made(f"x = 1\nif {test}:\n    x = 2\nelse:\n    y = 3\n")
    assert (found["x"], found["y"]) == (1, 3)


@pytest.mark.parametrize(
    "test", ['__name__ != "__main__"', '"__main__" in __name__', '__name__ == "__main__" == __name__', "x == '__main__'"]
)
def test_other_conditions_are_those_of_a_program_that_is_run(test: str) -> None:
    assert made(f"x = '__main__'\nif {test}:\n    y = 1\nelse:\n    y = 2\n")["y"] == (2 if "!=" in test else 1)


def test_a_condition_within_a_function_is_kept() -> None:
    assert made("def f():\n    if __name__ == '__main__':\n        return 1\n")["f"]() == 1


FIFTH = """\ufeff'''Doc.'''
from __future__ import annotations
if __name__ == "__main__":
    pass
1 / 0
"""


def test_lines_stay_where_they_are() -> None:
    module = module_of("f", FIFTH)
    with pytest.raises(ZeroDivisionError) as caught:
        exec(code_of("f", FIFTH), module.__dict__)
    assert caught.traceback[-1].lineno + 1 == 5
    assert module.__doc__ == "Doc."


def test_a_module_says_what_a_program_says() -> None:
    found = made("class C: pass\ndef f(): pass\n")
    assert (found["__name__"], found["__file__"], found["C"].__module__) == ("__main__", "/tools/f.py", "__main__")
    assert found["__loader__"].get_source("__main__").startswith("class C")


def test_a_missing_function_is_told_with_those_that_there_are() -> None:
    module = module_of("f", "")
    exec("import json\ndef g(): pass\nh = lambda: 1\nf = 3\n", module.__dict__)
    with pytest.raises(Exception, match="defines no function f; it defines g, h"):
        function_of(module, "f")
