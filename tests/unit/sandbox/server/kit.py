"""What the server's tests share: a server on loopback, raw clients, and an engine that can be made to answer late.

The scripted engine is for what a real one cannot be made to do on command: a result that comes late, or never, or a refusal.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

import uvloop

from astra_jobs.api.base import digest_of
from astra_jobs.sandbox.pool.engine import Engine
from astra_jobs.sandbox.pool.errors import Overloaded, SequenceConflict, SessionConflict, UnknownEnvironment
from astra_jobs.sandbox.pool.records import Bundle
from astra_jobs.sandbox.pool.settings import PoolSettings
from astra_jobs.sandbox.protocol import CallResult, SandboxLimits, ToolCode
from astra_jobs.sandbox.server.bounds import HttpBounds
from astra_jobs.sandbox.server.service import Service
from astra_jobs.sandbox.server.settings import ServerSettings
from tests.patience import patience

KEY = b"a-key-of-the-tests-0123456789"
QUICK = HttpBounds(head_seconds=0.3, body_seconds=0.3, idle_seconds=0.3, write_seconds=0.5, linger_seconds=0.2)
AUTH = b"authorization: Bearer " + KEY + b"\r\n"


class Scripted:
    """Looks like an engine. The tool says what happens: echo, late, overloaded, huge, crash."""

    def __init__(self) -> None:
        self.settings = PoolSettings()
        self.variant = "shared"
        self.proof: dict[str, str] = {}
        self.bundles: dict[str, Bundle] = {}
        self.sessions: dict[str, tuple[str, int]] = {}
        self.results: dict[tuple[str, int], tuple[str, CallResult]] = {}
        self.waiting: list[Callable[[CallResult], None]] = []
        self.ran: list[tuple[str, int, str]] = []
        self.deadlines: list[float | None] = []
        self.full = False
        self.ready = self.alive = True
        self.flushed = 0
        self.stopped = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped = True
        self.release(CallResult("session_lost", text="the pool ended"))

    async def put(self, tools: list[ToolCode]) -> str:
        await asyncio.sleep(0)
        digest = digest_of([tool.to_dict() for tool in tools])
        self.bundles[digest] = Bundle(digest, tools, {})
        return digest

    def environment(self, digest: str) -> Bundle | None:
        return self.bundles.get(digest)

    def create(
        self, environment: str, seed: int, *, session: str | None = None, lease: float | None = None, log: Sequence[Any] = ()
    ) -> str:
        if self.full:
            raise Overloaded("no room for more sessions", 2.5)
        if environment not in self.bundles:
            raise UnknownEnvironment(f"unknown environment {environment}")
        name = session or f"s{len(self.sessions)}"
        if self.sessions.setdefault(name, (environment, seed)) != (environment, seed):
            raise SessionConflict(f"session {name} is another one")
        return name

    def submit(self, session: str, seq: int, tool: str, arguments: Any, deadline: float | None, done: Any) -> None:
        self.deadlines.append(deadline)
        if session not in self.sessions:
            return done(CallResult("session_lost", text="unknown session"))
        payload = json.dumps([tool, arguments])
        before = self.results.get((session, seq))
        if before is not None:
            if before[0] != payload:
                raise SequenceConflict(f"session {session}: call {seq} was made before with another tool or other arguments")
            return done(before[1])
        if tool == "crash":
            raise RuntimeError("a mistake of the engine")
        if tool == "late":
            return self.waiting.append(done)
        if tool == "overloaded":
            return done(CallResult("overloaded", text="queue full", retry_after=0.25))
        self.ran.append((session, seq, tool))
        text = "x" * arguments["size"] if tool == "huge" else json.dumps(arguments, ensure_ascii=False)
        result = CallResult("ok", text=text, cpu_seconds=0.001, state="00" * 16)
        self.results[session, seq] = payload, result
        return done(result)

    def release(self, result: CallResult) -> None:
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(result)

    def flush(self) -> None:
        self.flushed += 1

    def fork(self, session: str, new: str | None, upto: int | None) -> str:
        environment, seed = self.sessions[session]
        return self.create(environment, seed, session=new)

    def renew(self, sessions: Sequence[str]) -> list[str]:
        return [name for name in sessions if name not in self.sessions]

    async def close(self, session: str) -> None:
        self.sessions.pop(session, None)
        self.release(CallResult("session_lost", text="closed"))

    def counts(self) -> dict[str, float]:
        return {"sessions": len(self.sessions), "live": 0}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Raw:
    """A client that sends bytes as they are, and reads answers as a strict one would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def ask(self, method: str, path: str, body: Any = None, headers: bytes = AUTH, kind: str = "application/json") -> None:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n".encode()
        self.send(head + headers + b"\r\n" + data)

    async def answer(self, *, head_only: bool = False) -> Answer:
        async with asyncio.timeout(patience()):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            version, status, _ = lines[0].split(" ", 2)
            assert version == "HTTP/1.1"
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            length = 0 if head_only or status in ("204", "100") else int(headers["content-length"])
            return Answer(int(status), headers, await self.reader.readexactly(length))

    async def asked(self, *args: Any, **options: Any) -> Answer:
        self.ask(*args, **options)
        return await self.answer(head_only=args[0] == "HEAD")

    async def ended(self) -> bytes:
        """Read until the server closes, in order: a reset could have taken an answer along."""
        async with asyncio.timeout(patience()):
            return await self.reader.read(-1)

    async def cut(self) -> None:
        """Wait until the server ends the connection, in whatever way."""
        with contextlib.suppress(ConnectionResetError):
            await self.ended()


@dataclass
class Serving:
    """A running server and what it stands on."""

    service: Service
    engine: Any
    clients: list[Raw]

    async def client(self) -> Raw:
        client = Raw(*await asyncio.open_connection("127.0.0.1", self.service.port, limit=1 << 26))
        self.clients.append(client)
        return client


@contextlib.asynccontextmanager
async def serving(engine: Any = None, http: HttpBounds = HttpBounds(), **settings: Any) -> AsyncIterator[Serving]:  # noqa: B008 - frozen
    """Give a server; with a scripted engine where none is named. A list holds the engines of variants."""
    engine = Scripted() if engine is None else engine
    engines = engine if isinstance(engine, list) else [engine]
    service = Service(ServerSettings(key=KEY, port=0, http=http, pool=engines[0].settings, **settings), engines)
    await service.start()
    found = Serving(service, engine, [])
    try:
        yield found
    finally:
        for client in found.clients:
            client.writer.close()
        await service.stop()
        assert not service.front.connections
        assert service.front.bodies == 0


def run(body: Coroutine[Any, Any, None]) -> None:
    """Run a test on the loop that the server runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(body, patience()))


ECHO = ToolCode(name="echo", parameters={"type": "object", "additionalProperties": True}, code="def echo(**a):\n    return a\n")
ENVIRONMENT = digest_of([ECHO.to_dict()])
TOOLS = {"tools": [ECHO.to_dict()]}


async def opened(client: Raw, *names: str) -> list[str]:
    """Put the environment and open sessions of these names."""
    assert (await client.asked("PUT", f"/v1/envs/{ENVIRONMENT}", TOOLS)).status == 200
    wanted = [{"session": name, "environment": ENVIRONMENT, "seed": 1} for name in names]
    answer = await client.asked("POST", "/v1/sessions", {"sessions": wanted})
    assert answer.status == 200, answer
    return [item["session"] for item in answer.json["sessions"]]


def call(session: str, seq: int, tool: str = "echo", arguments: Any = None, **more: Any) -> dict[str, Any]:
    return {"session": session, "seq": seq, "tool": tool, "arguments": {} if arguments is None else arguments, **more}


def slow(**seconds: float) -> HttpBounds:
    """Bounds of which only some are short."""
    return replace(HttpBounds(linger_seconds=0.2), **seconds)


def real(limits: SandboxLimits = SandboxLimits(seconds=1.0), **settings: Any) -> Engine:  # noqa: B008 - frozen
    """Return an engine as servers have it; walls are proven in its own tests."""
    return Engine(PoolSettings(limits=limits, **{"prove": False, "live": 16, **settings}))
