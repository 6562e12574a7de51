"""A sandbox server that runs no code and fails as it is told to. It keeps an account of every call that it applied.

Its tools: ``add`` folds ``x`` into the session's number, so that order and count show in every result; ``fail`` does the
same with a tool_error; ``limit`` meets a limit and ``crash`` ends its process, and both change nothing; ``odd`` gives another
result at each replay.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from astra_jobs.api.base import canonical
from astra_jobs.sandbox.remote import state

KEY = "key-of-the-run"
MODULUS = 1_000_003


def capabilities(gvisor: bool, words: str = "the kernel's messages were read", **more: Any) -> dict[str, Any]:
    """Return what a server tells of itself."""
    walls = {"network": {"holds": True, "evidence": "EPERM"}, "own_uid": {"holds": False, "evidence": "one user id for all"}}
    properties = {"gvisor": {"holds": gvisor, "evidence": words}}
    return {"protocol": 1, "sandbox": "gVisor" if gvisor else "none", "properties": properties, "walls": walls, **more}


Fault = Callable[[str], str | None]
"""What to do to the next request of a kind (calls, sessions, envs, capabilities, heartbeat, end): a word of ``Fake._answer``."""


@dataclass
class Copy:
    """A session as this server has it."""

    environment: str
    seed: int
    number: int = 1
    state: bytes = b""
    spoilt: bool = False
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    made: dict[int, tuple[str, Any]] = field(default_factory=dict)
    applied: list[tuple[str, str]] = field(default_factory=list)

    def run(self, tool: str, arguments: Any) -> tuple[str, str]:
        """Apply a call; return outcome and text."""
        if tool == "unknown":
            return "unknown_tool", "unknown tool unknown"
        if tool == "limit":
            return "limit_time", "the call used more than 2 s of CPU"
        if tool == "crash":
            return "tool_error", "the tool ended its process"
        text = canonical(arguments).decode()
        self.applied.append((tool, text))
        self.number = (self.number * 31 + sum(text.encode())) % MODULUS
        outcome = "tool_error" if tool == "fail" else "ok"
        given = json.dumps({"number": self.number, "given": arguments}) if tool != "odd" else str(id(self))
        self.state = state.after(self.state, tool, text.encode(), outcome, given)
        return outcome, given


class Fake:
    """One server. ``applications`` counts calls by (session, seq); it outlives restarts."""

    def __init__(self, fault: Fault = lambda kind: None, told: Any = None) -> None:
        self.fault = fault
        self.told = capabilities(False) if told is None else told
        self.copies: dict[str, Copy] = {}
        self.environments: dict[str, Any] = {}
        self.applications: Counter[tuple[str, int]] = Counter()
        self.asked: set[str] = set()
        """Every session that was ever asked for, by its name here; it outlives restarts as well."""
        self.seen: Counter[str] = Counter()
        self.batches: list[int] = []
        self.deadlines: list[int] = []
        self.contents: set[str] = set()
        self.ended: list[str] = []
        self.variants: list[int] = []
        """The variant of each session that was asked for."""
        self.most_sessions = 10**6
        self.poison: int | None = None
        """A request that holds a call with this ``x`` is refused as a whole."""
        self.hung = False
        self.draining = False
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._turn: Callable[[Copy, dict[str, Any]], str | None] = lambda copy, call: None

    def on_call(self, turn: Callable[[Copy, dict[str, Any]], str | None]) -> None:
        """Have single calls of a batch answered with an outcome of infrastructure, before they are applied."""
        self._turn = turn

    def restart(self) -> None:
        """Forget everything, as a new process does; what was asked of the old one, and not read yet, is never answered."""
        self.copies.clear()
        self.environments.clear()
        if self._runner is not None and self._runner.server is not None:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()

    async def start(self, port: int = 0) -> None:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.hung:
            await asyncio.Event().wait()
        if request.path == "/healthz":
            return web.Response()
        if request.path == "/readyz":
            return web.Response(status=503 if self.draining else 200)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"error": "unauthorized", "message": "the key is wrong"}, status=401)
        kind = "end" if request.method == "DELETE" else request.path.split("/")[2]
        self.seen[kind] += 1
        body = await request.read()
        self.contents.add(request.content_type if body else "")
        message = None
        if body:
            message = msgspec.json.decode(body) if request.content_type == "application/json" else msgspec.msgpack.decode(body)
        return await self._answer(request, kind, message, self.fault(kind))

    async def _answer(self, request: web.Request, kind: str, message: Any, fault: str | None) -> web.StreamResponse:
        if fault == "restart":
            self.restart()
        if fault in ("before", "restart"):
            return _cut(request)
        if fault in ("503", "429"):
            return web.json_response({"error": "overloaded", "message": "busy", "retry_after_ms": 3}, status=int(fault))
        if fault in ("500", "404", "400", "413"):
            return web.json_response({"error": "it_is_so", "message": "so"}, status=int(fault))
        status, answer = getattr(self, f"_{kind}")(request, message)
        if fault == "after":
            return _cut(request)
        if fault == "hang":
            await asyncio.Event().wait()
        packed = request.headers["Accept"] == "application/msgpack"
        data = msgspec.msgpack.encode(answer) if packed else msgspec.json.encode(answer)
        if fault == "garbage":
            data = b"\xc1" + data[:5]
        if fault == "fewer":
            data = msgspec.msgpack.encode({key: value[:-1] for key, value in answer.items()})
        content = "application/msgpack" if packed else "application/json"
        if fault in ("slow", "half"):
            return await _in_pieces(request, data, content, whole=fault == "slow")
        return web.Response(status=status, body=data, content_type=content)

    def _capabilities(self, request: web.Request, message: Any) -> tuple[int, Any]:
        return 200, self.told

    def _envs(self, request: web.Request, message: Any) -> tuple[int, Any]:
        self.environments[request.path.split("/")[3]] = message["tools"]
        return 200, {}

    def _sessions(self, request: web.Request, message: Any) -> tuple[int, Any]:
        if self.draining:
            return 200, {"sessions": [{"error": "overloaded", "message": "draining", "retry_after_ms": 3} for _ in message["sessions"]]}
        return 200, {"sessions": [self._open(entry) for entry in message["sessions"]]}

    def _open(self, entry: Any) -> dict[str, Any]:
        name = entry["session"]
        self.asked.add(name)
        self.variants.append(entry.get("variant", 0))
        if entry["environment"] not in self.environments:
            return {"error": "unknown_environment", "message": "put it first"}
        if name not in self.copies:
            if len(self.copies) >= self.most_sessions:
                return {"error": "overloaded", "message": "full", "retry_after_ms": 3}
            copy = Copy(entry["environment"], entry["seed"], number=1 + entry["seed"])
            copy.state = state.first(copy.environment, copy.seed)
            copy.spoilt = any(copy.run(tool, arguments) != (outcome, text) for tool, arguments, outcome, text in entry["log"])
            self.copies[name] = copy
        return {"session": name}

    def _calls(self, request: web.Request, message: Any) -> tuple[int, Any]:
        if self.poison is not None and any(call["arguments"].get("x") == self.poison for call in message["calls"]):
            return 400, {"error": "bad_request", "message": "poison"}
        self.batches.append(len(message["calls"]))
        self.deadlines += [call["deadline_ms"] for call in message["calls"]]
        return 200, {"results": [self._call(call) for call in message["calls"]]}

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        copy = self.copies.get(call["session"])
        if copy is None or copy.spoilt:
            return {"outcome": "session_lost", "text": "no such session", "cpu_seconds": 0.0, "state": ""}
        made = copy.made.setdefault(call["seq"], (call["tool"], call["arguments"]))
        if made != (call["tool"], call["arguments"]):
            return {"error": "sequence_conflict", "message": f"call {call['seq']} was another"}
        if call["seq"] in copy.results:
            return copy.results[call["seq"]]
        trouble = self._turn(copy, call)
        if trouble is not None:
            return {"outcome": trouble, "text": trouble, "cpu_seconds": 0.0, "state": copy.state.hex(), "retry_after_ms": 2}
        outcome, text = copy.run(call["tool"], call["arguments"])
        if outcome in ("ok", "tool_error"):
            self.applications[call["session"], call["seq"]] += 1
        copy.results[call["seq"]] = {"outcome": outcome, "text": text, "cpu_seconds": 0.001, "state": copy.state.hex()}
        return copy.results[call["seq"]]

    def _heartbeat(self, request: web.Request, message: Any) -> tuple[int, Any]:
        return 200, {"unknown": [name for name in message["sessions"] if name not in self.copies]}

    def _end(self, request: web.Request, message: Any) -> tuple[int, Any]:
        name = request.path.split("/")[3]
        self.ended.append(name)
        self.copies.pop(name, None)
        return 200, {}


def _cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _in_pieces(request: web.Request, data: bytes, content: str, *, whole: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": content})
    await response.prepare(request)
    half = max(1, len(data) // 2)
    await response.write(data[:half])
    await asyncio.sleep(0.002)
    if not whole:
        return _cut(request)
    await response.write(data[half:])
    return response


@asynccontextmanager
async def fakes(number: int, **settings: Any) -> AsyncIterator[list[Fake]]:
    """Give so many running servers."""
    servers = [Fake(**settings) for _ in range(number)]
    try:
        for server in servers:
            await server.start()
        yield servers
    finally:
        for server in servers:
            await server.stop()
