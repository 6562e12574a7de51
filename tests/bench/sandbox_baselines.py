"""What the sandbox is compared with: one fresh Python process a call behind HTTP, and ``exec`` in the caller's own process.

The first is the method of the common code-execution services, made as quick as it gets: keep-alive, no framework, a
directly spawned interpreter that skips site, user paths and bytecode, code and arguments by its standard input, waited
for by pidfd, no time limit, no isolation and no uid of its own. It speaks so much of the sandbox's HTTP that the same
load runs against it. The second isolates nothing at all: it is what calls cost where nobody is protected from anything.

    python -m tests.bench.sandbox_baselines
"""

import asyncio
import json
import re
import sys
import time
from typing import Any

from tests.bench.sandbox_load import ECHO

AT_ONCE = 4
"""Processes at a time: enough that one core never waits, few enough that they do not share it out into slices."""
PROGRAM = (
    "import sys,json;d=json.loads(sys.stdin.buffer.read());n={};exec(d['code'],n);"
    "sys.stdout.write(json.dumps(n[d['tool']](**d['arguments']),separators=(',',':')))"
)
COMMAND = (getattr(sys, "_base_executable", sys.executable), "-I", "-S", "-B", "-c", PROGRAM)
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class Front(asyncio.Protocol):
    """One connection: whole requests in, answers out, one at a time."""

    gate: asyncio.Semaphore

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = LENGTH.search(self.buffer, 0, end)
        size = end + 4 + (int(found[1]) if found else 0)
        if len(self.buffer) < size:
            return
        head, body, self.buffer = self.buffer[:end], self.buffer[end + 4 : size], self.buffer[size:]
        if head.startswith(b"POST /v1/calls "):
            self.task = asyncio.ensure_future(self.calls(json.loads(body)["calls"]))
        else:
            self.answer({})

    def answer(self, body: Any) -> None:
        data = _ENCODER.encode(body).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data)

    async def calls(self, calls: list[dict[str, Any]]) -> None:
        try:
            self.answer({"results": await asyncio.gather(*map(self.call, calls))})
        except BaseException:
            self.transport.abort()  # a load that waits for ever would hide the failure
            raise

    async def call(self, call: dict[str, Any]) -> dict[str, Any]:
        told = json.dumps({"code": ECHO["code"], "tool": call["tool"], "arguments": call["arguments"]}).encode()
        async with self.gate:
            pipe, closed = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
            process = await asyncio.create_subprocess_exec(*COMMAND, stdin=pipe, stdout=pipe, stderr=closed, close_fds=False)
            text, _ = await process.communicate(told)
        return {"outcome": "ok" if process.returncode == 0 else "tool_error", "text": text.decode()}


async def serve() -> None:
    """Serve on a free port of loopback until ended."""
    watcher = asyncio.PidfdChildWatcher()
    watcher.attach_loop(asyncio.get_running_loop())
    asyncio.get_event_loop_policy().set_child_watcher(watcher)
    Front.gate = asyncio.Semaphore(AT_ONCE)
    server = await asyncio.get_running_loop().create_server(Front, "127.0.0.1", 0, backlog=256)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def floor(seconds: float) -> dict[str, float]:
    """Return calls a second in this process: source executed at every call, and a function that was loaded once."""
    arguments = '{"x": %d}'

    def fresh(number: int) -> str:
        space: dict[str, Any] = {}
        exec(ECHO["code"], space)
        return _ENCODER.encode(space["echo"](**json.loads(arguments % number)))

    space: dict[str, Any] = {}
    exec(ECHO["code"], space)

    def loaded(number: int) -> str:
        return _ENCODER.encode(space["echo"](**json.loads(arguments % number)))

    return {"exec_each_call": _rate(fresh, seconds), "loaded_once": _rate(loaded, seconds)}


def _rate(call: Any, seconds: float) -> float:
    number, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        for _ in range(100):
            number += 1
            assert call(number).startswith(f'{{"x":{number},')
    return round(number / took)


if __name__ == "__main__":
    asyncio.run(serve())
