"""A sandbox without any wall: tools in a plain Python process. The control of attacks that no switch of a pool lets pass.

Never used for an attack that could harm more than itself.
"""

import asyncio
import itertools
import json
import sys
from typing import Any

from astra_jobs.sandbox.protocol import CallResult, ToolCode

_CHILD = """
import json, sys
sources, spaces = json.loads(sys.stdin.readline()), {}
for line in sys.stdin:
    tool, arguments = json.loads(line)
    try:
        if tool not in spaces:
            spaces[tool] = {"__name__": tool}
            exec(sources[tool], spaces[tool])
        reply = ["ok", json.dumps(spaces[tool][tool](**arguments))]
    except BaseException as error:
        reply = ["tool_error", repr(error)]
    print(json.dumps(reply), flush=True)
"""


class Plain:
    """``put``, ``open``, ``call`` and ``close`` of a sandbox."""

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.environments: dict[str, dict[str, str]] = {}
        self.sessions: dict[str, asyncio.subprocess.Process] = {}

    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self.sessions.items()}

    async def put(self, tools: list[ToolCode]) -> str:
        name = str(next(self.numbers))
        self.environments[name] = {tool.name: tool.code for tool in tools}
        return name

    async def open(self, environment: str, seed: int) -> str:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", _CHILD, stdin=pipe, stdout=pipe)
        name = str(next(self.numbers))
        self.sessions[name] = child
        await self._write(child, self.environments[environment])
        return name

    async def call(self, session: str, seq: int, tool: str, arguments: dict[str, Any]) -> CallResult:
        child = self.sessions[session]
        await self._write(child, [tool, arguments])
        assert child.stdout is not None
        outcome, text = json.loads(await child.stdout.readline())
        return CallResult(outcome=outcome, text=text, value=json.loads(text) if outcome == "ok" else None)

    async def close(self, session: str) -> None:
        child = self.sessions.pop(session)
        child.kill()
        await child.communicate()

    async def stop(self) -> None:
        for session in list(self.sessions):
            await self.close(session)

    async def _write(self, child: asyncio.subprocess.Process, value: Any) -> None:
        assert child.stdin is not None
        child.stdin.write(json.dumps(value).encode() + b"\n")
        await child.stdin.drain()
