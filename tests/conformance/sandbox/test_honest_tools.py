"""Honest tools give in the sandbox what they give in plain Python, or are refused by policy, line and remedy (SPEC 3.5, 4)."""

import ast
import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from astra_jobs.envs import gate
from astra_jobs.records.tool import Tool
from astra_jobs.sandbox.pool import process_sandbox
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits
from tests.conformance.sandbox.honest import classes, language, library, results
from tests.conformance.sandbox.ways import NOTHING, tool
from tests.patience import patience

TOOLS = {**classes.TOOLS, **language.TOOLS, **library.TOOLS, **results.TOOLS}
CALLS = 3
LIMITS = SandboxLimits(seconds=20, memory_mib=512, output_chars=100_000)
PLAIN = """
import asyncio, inspect, json, os, sys, types
for name, code in json.load(sys.stdin).items():
    read, write = os.pipe()
    if os.fork() == 0:
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        module.__file__ = f"/tools/{name}.py"
        module.__loader__ = types.SimpleNamespace(get_source=lambda _: code)
        sys.stdout, out = open(os.devnull, "w"), sys.stdout
        try:
            exec(compile(code, module.__file__, "exec", dont_inherit=True), module.__dict__)
            values = []
            for _ in range(int(sys.argv[1])):
                value = getattr(module, name)()
                value = asyncio.run(value) if inspect.iscoroutine(value) else value
                values.append(["ok", json.dumps(value)])
        except BaseException as error:
            values = [["error", f"{type(error).__name__}: {error}"]]
        os.write(write, json.dumps(values).encode())
        os._exit(0)
    os.close(write)
    print(json.dumps([name, json.loads(open(read, "rb").read())]))
    os.wait()
"""


def plainly(codes: dict[str, str]) -> dict[str, Any]:
    """Run tools in plain Python, a process each; return what each call gave."""
    command = [sys.executable, "-W", "ignore", "-c", PLAIN, str(CALLS)]
    environment = {"PATH": os.defpath, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    said = subprocess.run(
        command, input=json.dumps(codes), capture_output=True, text=True, check=False, timeout=patience(300), env=environment
    )
    return dict(json.loads(line) for line in said.stdout.splitlines())


def sandboxed(codes: dict[str, str], calls: int = CALLS) -> dict[str, list[CallResult]]:
    """Run tools in a sandbox, a session each; return what each call gave."""

    async def body() -> dict[str, list[CallResult]]:
        found = {}
        async with process_sandbox(LIMITS, prove=False, environments=4) as engine:
            for name, code in codes.items():
                session = await engine.open(await engine.put([tool(name, code)]), 0)
                found[name] = [await engine.call(session, seq, name, {}) for seq in range(calls)]
                await engine.close(session)
        return found

    return asyncio.run(body())


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, Any], dict[str, list[CallResult]]]:
    return plainly(TOOLS), sandboxed(TOOLS)


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_gives_what_plain_python_gives(both: Any, name: str) -> None:
    plain, boxed = both[0][name], both[1][name]
    assert [outcome for outcome, _ in plain] == ["ok"] * CALLS, plain
    assert [result.outcome for result in boxed] == ["ok"] * CALLS, boxed[0].text
    for (_, text), result in zip(plain, boxed, strict=True):
        assert result.value == json.loads(text)


@pytest.mark.parametrize("name", TOOLS)
def test_the_gate_lets_the_same_tools_through(name: str) -> None:
    functions = {node.name: node for node in ast.parse(TOOLS[name]).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    names = [argument.arg for argument in functions[name].args.args]
    parameters = {"type": "object", "properties": {key: {} for key in names}}
    gate.check(Tool(name=name, description="d", parameters=parameters), TOOLS[name])


@pytest.fixture(scope="module")
def refused() -> dict[str, CallResult]:
    cases = {kind: expression for kind, (expression, _) in results.REFUSED.items()} | results.NOT_FINITE
    codes = {f"f{number}": f"{results.PREAMBLE}def f{number}(): return {one}\n" for number, one in enumerate(cases.values())}
    found = sandboxed(codes, 1)
    return {kind: found[f"f{number}"][0] for number, kind in enumerate(cases)}


@pytest.mark.parametrize("kind", results.REFUSED)
def test_what_json_refuses_is_refused_in_its_words_with_the_remedy(refused: Any, kind: str) -> None:
    names: dict[str, Any] = {}
    exec(results.PREAMBLE, names)
    with pytest.raises(TypeError) as caught:
        json.dumps(eval(results.REFUSED[kind][0], names))
    assert refused[kind].outcome == "tool_error"
    assert refused[kind].text.startswith(f"TypeError: {caught.value}")
    assert results.REFUSED[kind][1] in refused[kind].text.partition("; ")[2]


@pytest.mark.parametrize("kind", results.NOT_FINITE)
def test_numbers_that_no_record_holds_are_refused_by_their_place(refused: Any, kind: str) -> None:
    assert refused[kind].outcome == "tool_error"
    assert refused[kind].text.startswith("ValueError: Out of range float values are not JSON compliant: ")
    assert ("(at [0].ratio)" in refused[kind].text) == (kind == "nan")


MEETS: dict[str, tuple[str, str]] = {
    "import numpy as np\ndef f(): return 1\n": ("imports", "line 1"),
    "def f():\n    import sqlite3\n": ("determinism", "line 2"),
    "def f():\n    return open('/etc/hosts').read()\n": ("files", "line 2"),
    "import os\ndef f():\n    x = 1\n    return os.listdir('/')\n": ("files", "line 4"),
    "import pathlib\ndef f(): return pathlib.Path('x').read_text()\n": ("files", "line 2"),
    "import socket\n\ndef f():\n    return socket.create_connection(('127.0.0.1', 1))\n": ("network", "line 4"),
    "import urllib.request\ndef f():\n    return urllib.request.urlopen('http://x.org').read()\n": ("network", "line 1"),
    "import subprocess\ndef f():\n    return subprocess.run(['ls'])\n": ("processes", "line 3"),
    "import os\ndef f():\n    return os.fork()\n": ("processes", "line 3"),
    "import threading\ndef f():\n    threading.Thread(target=print).start()\n": ("threads", "line 3"),
    "import os\ndef f():\n    os.kill(os.getpid(), 9)\n": ("signals", "line 3"),
    "import pathlib\ndef f(): return pathlib.Path('/x').exists() or pathlib.Path('x').rglob('*')\n": ("files", "line 2"),
    "def f(): return input('?')\n": ("terminal", "line 1"),
    "import importlib\ndef f(): return importlib.import_module('csv')\n": ("dynamicCode", "line 2"),
}
"""Source → the policy that it meets, and the line."""


def test_policies_are_named_with_line_and_remedy_at_run_time_and_by_the_gate() -> None:
    found = sandboxed({f"f{number}": code.replace("def f(", f"def f{number}(") for number, code in enumerate(MEETS)}, 1)
    for number, (code, (policy, line)) in enumerate(MEETS.items()):
        result = found[f"f{number}"][0]
        assert result.outcome == "tool_error", code
        assert f"{line}: " in result.text, result
        assert f"refused by policy {policy}: " in result.text, result
        assert "; " in result.text.partition("policy")[2]
        with pytest.raises(gate.Refused) as caught:
            gate.check(Tool(name="f", description="d", parameters=NOTHING), code)
        assert "refused by policy" in caught.value.detail
        assert caught.value.detail.startswith("line ")


def test_errors_name_the_line_unless_the_tool_words_them_itself() -> None:
    codes = {
        "wrong": "TABLE = {}\n\ndef wrong():\n    return TABLE['x']\n",
        "own": "def own():\n    raise ValueError('no such ship')\n",
        "below": "import datetime\ndef below():\n    return datetime.date.fromisoformat('x')\n",
        "loading": "\n\n1 / 0\ndef loading(): pass\n",
        "syntax": "x = 1\ndef syntax(:\n    pass\n",
        "missing": "def other(): pass\n",
    }
    texts = {name: found[0].text for name, found in sandboxed(codes, 1).items()}
    assert texts == {
        "wrong": "KeyError: 'x' (line 4)",
        "own": "ValueError: no such ship",
        "below": "ValueError: Invalid isoformat string: 'x' (line 3)",
        "loading": "ZeroDivisionError: division by zero (line 3)",
        "syntax": "SyntaxError: invalid syntax (syntax.py, line 2)",
        "missing": "NameError: the code defines no function missing; it defines other",
    }
