"""The static gate, call statements, altered data, compatibility: what is checked of a tool before and around its runs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.envs import gate
from astra_jobs.envs.alter import alter_data, altered
from astra_jobs.envs.build import check_compatible
from astra_jobs.envs.funnel import Refused
from astra_jobs.envs.statement import read_call
from astra_jobs.envs.verify import structured_error, substring
from astra_jobs.records.environment import Answer
from astra_jobs.records.tool import Tool
from astra_jobs.sandbox.protocol import CallResult
from astra_jobs.worlds.world import make_world

TOOL = Tool(name="f", description="d", parameters={"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]})


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("f('a')", "NotKeywords"),
        ("f(**{'x': 1})", "NotKeywords"),
        ("g(x='a')", "UnknownName"),
        ("f(x=str(1))", "NotLiteral"),
        ("f(x='a') + f(x='b')", "NotOneCall"),
        ("f(x='a'); f(x='b')", "NotPython"),
        ("f(x='a'", "NotPython"),
        ("m.f(x='a')", "NotOneCall"),
        ("print(f(x='a'))", "UnknownName"),
        ("", "NotPython"),
    ],
)
def test_a_call_statement_is_one_call_with_literal_keywords(statement: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        read_call(statement, TOOL)
    assert (caught.value.filter, caught.value.reason) == ("callStatement", reason)


@settings(max_examples=50)
@given(st.text(max_size=20), st.integers(), st.lists(st.booleans(), max_size=3))
def test_literals_come_back(text: str, number: int, flags: list[bool]) -> None:
    assert read_call(f"f(x={text!r}, y={number!r}, z={flags!r})", TOOL) == {"x": text, "y": number, "z": flags}


GOOD = "import math\n\n\ndef f(x):\n    return {'a': math.floor(1.5)}\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import subprocess\n" + GOOD, "Import"),
        ("from os import listdir\n" + GOOD, "Import"),
        ("from urllib import request\n" + GOOD, "Import"),
        ("from urllib import request as parse\n" + GOOD, "Import"),
        ("import os\n" + GOOD.replace("math.floor(1.5)", "os.listdir()"), "ForbiddenName"),
        ("import os as o\n" + GOOD.replace("math.floor(1.5)", "o.path.getsize(x)"), "ForbiddenName"),
        ("import sys\n" + GOOD.replace("math.floor(1.5)", "sys._getframe()"), "ForbiddenName"),
        ("from threading import Thread\n" + GOOD, "Import"),
        ("from . import x\n" + GOOD, "Import"),
        ("import math.os\n" + GOOD, "Import"),
        (GOOD.replace("math.floor(1.5)", "eval('1')"), "ForbiddenName"),
        (GOOD.replace("math.floor(1.5)", "open('/etc/hosts').read()"), "ForbiddenName"),
        (GOOD.replace("math.floor(1.5)", "__builtins__"), "ForbiddenName"),
        (GOOD.replace("math.floor(1.5)", "x.__class__.__subclasses__()"), "DunderAttribute"),
        (GOOD.replace("math.floor(1.5)", "'{0.__globals__}'.format(x)"), "DunderText"),
        (GOOD.replace("math.floor(1.5)", "x.gi_frame.f_back"), "DunderAttribute"),
        (GOOD.replace("def f(x)", "def f(x, y)"), "Signature"),
        (GOOD.replace("def f(x)", "def f(x, /)"), "Signature"),
        (GOOD + GOOD, "NoFunction"),
        (GOOD.replace("def f(x)", "def g(x)"), "NoFunction"),
        (GOOD.replace("def f(x)", "def f(y)"), "Signature"),
        (GOOD.replace("def f(x)", "def f(x, **more)"), "Signature"),
        ("class A:\n    def __del__(self): pass\n" + GOOD, "DunderMethod"),
        ("def f(:", "NotPython"),
        ("#" * 50_000, "TooLong"),
    ],
)
def test_the_static_gate_refuses(code: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        gate.check(TOOL, code)
    assert (caught.value.filter, caught.value.reason) == ("staticGate", reason)


def test_the_static_gate_lets_clean_tools_through() -> None:
    gate.check(TOOL, GOOD)
    for seed in range(1, 60, 2):
        for tool in make_world(seed, ProceduralWorlds()).tools:
            gate.check(tool.document(), tool.source())


def test_altering_changes_data_but_not_keys_or_functions() -> None:
    code = "T = {'k1': 'oak', 'oak': 'fir'}\n\n\ndef f(x):\n    return {'a': T[x], 'b': 'oak'}\n"
    changed = alter_data(code, Answer(kind="text", value="oak"))
    assert "'k1': 'altered kao'" in changed
    assert "'oak': 'fir'" in changed
    assert "'b': 'oak'" in changed
    assert "[3, 5]" in alter_data("T = [2, 5]", Answer(kind="number", value=2))
    assert "True" in alter_data("T = [True]", Answer(kind="number", value=1))


@settings(max_examples=50)
@given(st.one_of(st.text(min_size=1, max_size=12), st.integers(-1000, 1000), st.dates().map(str)))
def test_an_altered_value_is_another_of_its_type(value: str | int) -> None:
    assert altered(value) != value
    assert type(altered(value)) is type(value)


def test_scaling_must_stay_compatible() -> None:
    def scaled(**properties: object) -> Tool:
        return TOOL.model_copy(update={"parameters": {"type": "object", "properties": properties, "required": ["x"]}})

    text = {"type": "string"}
    check_compatible(TOOL, scaled(x=text, y={"type": "integer"}))
    for worse in (scaled(y=text), scaled(x={"type": "integer"}), scaled(x={"type": "string", "enum": ["a"]})):
        with pytest.raises(Refused, match="NotBackwardCompatible"):
            check_compatible(TOOL, worse)
    required = TOOL.model_copy(update={"parameters": {**TOOL.parameters, "properties": {"x": text, "y": text}, "required": ["x", "y"]}})
    with pytest.raises(Refused, match="NotBackwardCompatible"):
        check_compatible(TOOL, required)


def test_errors_may_be_raised_or_returned() -> None:
    assert structured_error(CallResult(outcome="tool_error"))
    assert structured_error(CallResult(outcome="ok", value={"error": "no"}))
    assert not structured_error(CallResult(outcome="ok", value={"a": 1}))
    assert not structured_error(CallResult(outcome="limit_time"))


def test_the_papers_substring_rule_accepts_what_types_refuse() -> None:
    assert substring(Answer(kind="number", value=5), CallResult(outcome="ok", value={"a": 15}))
    assert not substring(Answer(kind="number", value=5), CallResult(outcome="ok", value={"a": 1}))
