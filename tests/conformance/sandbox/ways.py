"""Ways to get a ``Sandbox``. A new implementation adds itself to ``WAYS`` and passes the whole suite.

A way takes limits and fields of ``PoolSettings`` and gives an async context manager of a sandbox.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from astra_jobs.sandbox.pool import process_sandbox
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits, ToolCode
from tests.conformance.sandbox.http_way import http_sandbox
from tests.patience import patience

Body = Callable[[Any], Awaitable[None]]
WAYS: dict[str, Callable[..., AbstractAsyncContextManager[Any]]] = {"process": process_sandbox, "http": http_sandbox}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
TEXT = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
LIMITS = SandboxLimits(seconds=0.2, memory_mib=128, output_chars=200)


@pytest.fixture(params=sorted(WAYS))
def way(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """One way to get a sandbox."""
    return WAYS[request.param]


@pytest.fixture
def run(way: Callable[..., AbstractAsyncContextManager[Any]]) -> Callable[..., None]:
    """Run an async test body in a fresh sandbox."""

    def runner(body: Body, limits: SandboxLimits = LIMITS, **settings: Any) -> None:
        async def outer() -> None:
            async with way(limits, **settings) as sandbox:
                await asyncio.wait_for(body(sandbox), patience())

        asyncio.run(outer())

    return runner


def tool(name: str, code: str, schema: dict[str, Any] = NOTHING) -> ToolCode:
    return ToolCode(name=name, parameters=schema, code=code)


async def once(sandbox: Any, code: str, arguments: dict[str, Any] | None = None, schema: dict[str, Any] = NOTHING) -> CallResult:
    """Call a tool named f once, in a session of its own."""
    session = await sandbox.open(await sandbox.put([tool("f", code, schema)]), 0)
    result: CallResult = await sandbox.call(session, 0, "f", arguments or {})
    await sandbox.close(session)
    return result


ECHO = tool("echo", "def echo(x):\n    return {'x': x}\n", TEXT)
COUNT = tool("count", "N = [0]\ndef count():\n    N[0] += 1\n    return N[0]\n")
SPIN = tool("spin", "def spin():\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n")
NAP = tool("nap", "import select\ndef nap():\n    select.select([], [], [])\n")
