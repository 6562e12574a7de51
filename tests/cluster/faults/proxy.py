"""A proxy before the API server that injects faults, as a process of its own: `python -m tests.cluster.faults.proxy FOLDER UPSTREAM GATES`.

Each gate is a TLS port with faults of its own, switched through a plain control port (`gates.Gates` is the tests' side of that).
It speaks to the API server with one client certificate, whoever asks: it stands for one user. FOLDER holds server.crt, server.key,
client.crt, client.key and ca.crt. Single bytes are not its business: it forwards whole requests and whole watch events.
"""

import asyncio
import contextlib
import json
import random
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yarl
from aiohttp import web

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"}
WRITES = ("POST", "PUT", "PATCH", "DELETE")
DECK = 40
ANSWERS = {
    "conflict": (409, "Conflict", "the object has been modified; please apply your changes to the latest version and try again"),
    "busy": (429, "TooManyRequests", "too many requests, please try again later"),
    "broken": (500, "InternalError", "etcdserver: request timed out"),
}


@dataclass
class Faults:
    """What a gate injects. Shares are from 0 to 1; ``conflict`` strikes writes, ``busy`` and ``broken`` everything.

    ``dropped``: the connection is cut before the request is passed on; ``lost``: after it was, so that the answer is never seen;
    ``hung``: nothing is passed on and nothing is answered, for ``held`` seconds (0: for good), until the client gives up or the faults
    change.
    Of watches: ``cut`` ends them after so many seconds, open ones too, ``silent`` holds back what they bring, ``expired`` is the share
    that is answered with 410, ``doubled`` and ``shuffled`` those of events that come twice, or after the next one. ``slow`` are seconds
    that each list takes longer.
    """

    conflict: float = 0.0
    busy: float = 0.0
    broken: float = 0.0
    dropped: float = 0.0
    lost: float = 0.0
    hung: float = 0.0
    held: float = 0.0
    cut: float = 0.0
    silent: bool = False
    expired: float = 0.0
    doubled: float = 0.0
    shuffled: float = 0.0
    slow: float = 0.0


@dataclass
class Gate:
    """One port: its faults, what it injected, and every request that came through it."""

    number: int
    faults: Faults = field(default_factory=Faults)
    injected: Counter[str] = field(default_factory=Counter)
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.number)
        self._decks: dict[str, list[bool]] = {}
        self._limits: set[asyncio.Timeout] = set()

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._limits)

    def turn(self, faults: Faults) -> None:
        """Replace the faults, for open watches too."""
        self.faults, self._decks = faults, {}
        for limit in self._limits:
            limit.reschedule(self._end_of_watch())

    def _end_of_watch(self) -> float | None:
        return asyncio.get_running_loop().time() + self.faults.cut if self.faults.cut else None

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Bound the time of a watch by ``cut``, whatever that is meanwhile; raises ``TimeoutError``."""
        limit = asyncio.timeout_at(self._end_of_watch())
        try:
            async with limit:
                self._limits.add(limit)
                yield
        finally:
            self._limits.discard(limit)
            self.injected["cut"] += limit.expired()

    def strikes(self, fault: str) -> bool:
        """Draw whether a fault strikes now, from a shuffled deck: its share holds over few requests too. Counts it."""
        share = getattr(self.faults, fault)
        if not share:
            return False
        deck = self._decks.setdefault(fault, [])
        if not deck:
            hits = max(1, round(DECK * share))
            deck += self._chance.sample([True] * hits + [False] * (DECK - hits), DECK)
        struck = deck.pop()
        self.injected[fault] += struck
        return struck

    def note(self, request: web.Request, body: bytes) -> dict[str, Any]:
        """Remember a request by the object that it is about; ``name`` is empty when it is about a collection."""
        parts = request.path.strip("/").split("/")
        start = parts.index("namespaces") + 1 if "namespaces" in parts else len(parts)
        namespace, resource, name, sub = [*parts[start:], "", "", "", ""][:4]
        if request.method == "POST" and not name:
            name = json.loads(body)["metadata"].get("name", "")
        entry = {"time": time.time(), "method": request.method, "namespace": namespace, "resource": resource, "name": name, "sub": sub}
        entry |= {"path": request.path, "watch": "watch" in request.query, "code": 0}
        self.requests.append(entry)
        return entry


class Proxy:
    """The gates and their way up."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._session = session

    async def serve(self, gate: Gate, request: web.Request) -> web.StreamResponse:
        """Answer one request, or not."""
        body = await request.read()
        entry = gate.note(request, body)
        entry["code"], answer = await self._answer(gate, request, body, entry)
        return answer

    async def _answer(self, gate: Gate, request: web.Request, body: bytes, entry: dict[str, Any]) -> tuple[int, web.StreamResponse]:
        if gate.strikes("dropped"):
            return 0, _cut(request)
        if gate.strikes("hung"):
            await self._hang(gate, request)
            return 0, _cut(request)
        for fault in ("conflict", "busy", "broken"):
            if (fault != "conflict" or request.method in WRITES) and gate.strikes(fault):
                return _refusal(*ANSWERS[fault])
        if entry["watch"] and gate.strikes("expired"):
            return _expired(as_event=gate.injected["expired"] % 2 == 0)
        if request.method == "GET" and not entry["name"] and not entry["watch"] and gate.faults.slow:
            gate.injected["slow"] += 1
            await asyncio.sleep(gate.faults.slow)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP | {"authorization", "accept-encoding"}}
        url = yarl.URL(self._upstream + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, data=body or None, headers=headers) as up:
            if entry["watch"] and up.status == 200:
                return 200, await self._watch(gate, request, up)
            data = await up.read()
            if gate.strikes("lost"):
                return up.status, _cut(request)
            return up.status, web.Response(status=up.status, body=data, headers=_kept(up))

    async def _hang(self, gate: Gate, request: web.Request) -> None:
        faults = gate.faults
        until = time.monotonic() + (faults.held or 1e9)
        while gate.faults is faults and time.monotonic() < until and request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.1)

    async def _watch(self, gate: Gate, request: web.Request, up: aiohttp.ClientResponse) -> web.StreamResponse:
        down = web.StreamResponse(headers=_kept(up))
        with contextlib.suppress(ConnectionError, TimeoutError):
            await down.prepare(request)
            async with gate.watching():
                async for line in _events(gate, up):
                    await down.write(line)
            return down
        _cut(request)
        return down


async def _events(gate: Gate, up: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the lines of a watch with its faults: late, twice, in another order."""
    held = b""
    async for line in up.content:
        while gate.faults.silent:
            gate.injected["silent"] += 1
            await asyncio.sleep(0.1)
        if not held and gate.strikes("shuffled"):
            held = line
            continue
        yield line
        if gate.strikes("doubled"):
            yield line
        if held:
            yield held
            held = b""
    if held:
        yield held


def _cut(request: web.Request) -> web.Response:
    """Cut the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


def _refusal(code: int, reason: str, message: str) -> tuple[int, web.Response]:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code}
    return code, web.json_response(status, status=code, headers={"Retry-After": "1"} if code == 429 else None)


def _expired(as_event: bool) -> tuple[int, web.Response]:
    """Answer a watch as the API server does when what it asks for is compacted: by the status, or by a first event."""
    code, answer = _refusal(410, "Expired", "too old resource version")
    if not as_event:
        return code, answer
    event = {"type": "ERROR", "object": json.loads(answer.text or "{}")}
    return 200, web.Response(body=json.dumps(event).encode() + b"\n", content_type="application/json")


def _kept(up: aiohttp.ClientResponse) -> dict[str, str]:
    return {key: value for key, value in up.headers.items() if key.lower() not in HOP}


def control(gates: list[Gate]) -> web.Application:
    """The control port: set a gate's faults, read what it saw."""

    async def switch(request: web.Request) -> web.Response:
        gates[int(request.match_info["gate"])].turn(Faults(**await request.json()))
        return web.json_response({})

    async def seen(request: web.Request) -> web.Response:
        gate = gates[int(request.match_info["gate"])]
        return web.json_response({"injected": gate.injected, "requests": gate.requests, "watches": gate.watches})

    app = web.Application()
    app.router.add_post("/{gate}", switch)
    app.router.add_get("/{gate}", seen)
    return app


async def listen(app: web.Application | web.Server, tls: ssl.SSLContext | None) -> int:
    """Serve on a free port and return it."""
    runner = web.AppRunner(app, access_log=None) if isinstance(app, web.Application) else web.ServerRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    return int(runner.addresses[0][1])


async def main(folder: Path, upstream: str, count: int) -> None:
    """Serve until killed; prints the control port and the gates' ports as one line of JSON."""
    here, there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(folder / "ca.crt"))
    here.load_cert_chain(folder / "server.crt", folder / "server.key")
    there.load_cert_chain(folder / "client.crt", folder / "client.key")
    connector = aiohttp.TCPConnector(ssl=there, limit=0)
    options = {"connector": connector, "timeout": aiohttp.ClientTimeout(total=None), "auto_decompress": False, "read_bufsize": 2**24}
    async with aiohttp.ClientSession(**options) as session:
        proxy, gates = Proxy(upstream, session), [Gate(number) for number in range(count)]
        ports = [await listen(control(gates), None)]
        for gate in gates:
            ports.append(await listen(web.Server(lambda request, gate=gate: proxy.serve(gate, request), access_log=None), here))
        print(json.dumps(ports), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
