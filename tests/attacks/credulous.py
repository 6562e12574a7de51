"""A supervisor that believes everything: the control of attacks on the wire between session and supervisor.

Its child is a real session with every wall off. Never used for an attack that could harm more than itself.
"""

import asyncio
import itertools
import json
import socket
import subprocess
import sys
from typing import Any

from astra_jobs.sandbox.inside.frames import CODES, REPLY, REQUEST
from astra_jobs.sandbox.protocol import CallResult, ToolCode

_CHILD = """
import json, os, sys
from astra_jobs.sandbox.inside import seccomp, session
from astra_jobs.sandbox.inside.clock import Clock
from astra_jobs.sandbox.inside.modules import WARM
from astra_jobs.sandbox.inside.source import code_of, module_of
from astra_jobs.sandbox.pool.settings import Walls
for name in WARM:
    __import__(name)
walls = dict.fromkeys(Walls._fields, False)
number = int(sys.argv[1])
if number != session.SOCKET:
    os.dup2(number, session.SOCKET)
    os.close(number)
settings = {"walls": walls, "output": 1 << 20, "seconds": 60.0, "filter": seccomp.Filter(seccomp.program(walls, zygote=False))}
codes = {name: (code_of(name, source), module_of(name, source)) for name, source in json.loads(sys.argv[2]).items()}
session.quiet()
session.main(settings, codes, Clock(0.0))
"""
SILENCE = 1.0
FLOOD = 8 << 20


class Credulous:
    """``put``, ``open``, ``call`` and ``close`` of a sandbox."""

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.environments: dict[str, dict[str, str]] = {}
        self.sessions: dict[str, tuple[subprocess.Popen[bytes], socket.socket]] = {}

    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, (child, _) in self.sessions.items()}

    async def put(self, tools: list[ToolCode]) -> str:
        name = str(next(self.numbers))
        self.environments[name] = {tool.name: tool.code for tool in tools}
        return name

    async def open(self, environment: str, seed: int) -> str:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        command = [sys.executable, "-c", _CHILD, str(theirs.fileno()), json.dumps(self.environments[environment])]
        child = subprocess.Popen(command, pass_fds=(theirs.fileno(),))
        theirs.close()
        name = str(next(self.numbers))
        self.sessions[name] = (child, ours)
        return name

    async def call(self, session: str, seq: int, tool: str, arguments: dict[str, Any]) -> CallResult:
        _, connection = self.sessions[session]
        loop = asyncio.get_running_loop()
        body = json.dumps([tool, arguments]).encode()
        try:
            await loop.sock_sendall(connection, REQUEST.pack(len(body), seq) + body)
            length, _, code, cpu = REPLY.unpack(await self._read(connection, REPLY.size))
            text = (await self._read(connection, length)).decode("utf-8", "surrogateescape")
        except (TimeoutError, OSError, EOFError) as error:
            return CallResult("infra_error", text=f"{type(error).__name__}: {error}")
        outcome = CODES[code] if code < len(CODES) else "infra_error"
        return CallResult(outcome, text=text, cpu_seconds=cpu / 1e6)  # type: ignore[arg-type]

    async def _read(self, connection: socket.socket, count: int) -> bytes:
        loop, data = asyncio.get_running_loop(), b""
        while len(data) < count:
            patience = SILENCE if data or count < REPLY.size else 10
            part = await asyncio.wait_for(loop.sock_recv(connection, min(count - len(data), 1 << 20)), patience)
            if not part:
                raise EOFError
            data += part
            if len(data) > FLOOD:
                raise OSError("flooded")
        return data

    async def close(self, session: str) -> None:
        child, connection = self.sessions.pop(session)
        connection.close()
        child.kill()
        child.wait()

    async def stop(self) -> None:
        for session in list(self.sessions):
            await self.close(session)
