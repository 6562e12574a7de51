"""Clients that mean a server harm, as data: what each does, the bound that stops it, and the bounds of its control.

A client answers True when it did its harm: to the server or to who else wants to be served. Requests that are malformed, oversized
or dripping, one by one, are in ``tests/unit/sandbox/server`` (``test_http_requests``, ``test_http_flow``) with every refusal's text;
here is what many of them together do to others, and that without the bound they would.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from astra_jobs.sandbox.server.bounds import HttpBounds
from tests.unit.sandbox.server.kit import AUTH, Raw, Serving, call
from tests.unit.sandbox.waiting import until

NEVER = 3600.0
PATIENCE = 4.0
"""Seconds that the harmed wait before it counts as harm."""
Deed = Callable[[Serving], Awaitable[bool]]


@dataclass(frozen=True)
class Client:
    """One hostile client. ``bounds`` stop it, with ``off`` instead it succeeds."""

    deed: Deed
    bounds: HttpBounds
    off: dict[str, Any]

    def http(self, walls: bool) -> HttpBounds:
        return self.bounds if walls else replace(self.bounds, **self.off)


CLIENTS: dict[str, Client] = {}


def client(off: dict[str, Any], **bounds: Any) -> Callable[[Deed], Deed]:
    """Put a deed among the clients; ``off`` are the bounds that its control goes without."""

    def add(deed: Deed) -> Deed:
        CLIENTS[deed.__name__] = Client(deed, HttpBounds(linger_seconds=0.2, **bounds), off)
        return deed

    return add


async def newcomer_waits(server: Serving) -> bool:
    """Tell if somebody new is still not served after a while."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while True:
                asker = await server.client()
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    if (await asker.asked("GET", "/healthz")).status == 200:
                        return False
                asker.writer.close()
                await asyncio.sleep(0.05)
    return True


async def dripping(drops: list[Raw]) -> None:
    while True:
        for one in drops:
            if not one.writer.is_closing():
                one.send(b"a: b\r\n")
        await asyncio.sleep(0.05)


@client({"head_seconds": NEVER}, connections=12, head_seconds=0.4, headers=10_000, head=1 << 20)
async def slow_crowd(server: Serving) -> bool:
    """Take every connection there is and never finish a request."""
    crowd = [await server.client() for _ in range(12)]
    for one in crowd:
        one.send(b"GET /healthz HTTP/1.1\r\n")
    await until(lambda: len(server.service.front.connections) >= 12)
    drops = asyncio.create_task(dripping(crowd))
    try:
        return await newcomer_waits(server)
    finally:
        drops.cancel()
        for one in crowd:
            one.writer.close()


@client({"idle_seconds": NEVER, "head_seconds": NEVER}, connections=12, idle_seconds=0.4, head_seconds=0.4)
async def silent_crowd(server: Serving) -> bool:
    """Take every connection there is, ask once and say nothing more."""
    crowd = [await server.client() for _ in range(12)]
    for one in crowd:
        one.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    await until(lambda: len(server.service.front.connections) >= 12)
    try:
        return await newcomer_waits(server)
    finally:
        for one in crowd:
            one.writer.close()


@client({"head": 1 << 30, "headers": 1 << 30})
async def endless_head(server: Serving) -> bool:
    """Have a megabyte of headers kept."""
    one = await server.client()
    one.send(b"GET /healthz HTTP/1.1\r\n" + b"".join(b"a%d: %s\r\n" % (number, b"b" * 1000) for number in range(1000)) + b"\r\n")
    return (await one.answer()).status == 200


@client({"bodies": 1 << 40}, body=200_000, bodies=250_000)
async def half_bodies(server: Serving) -> bool:
    """Have many bodies kept that never become whole."""
    front, crowd = server.service.front, [await server.client() for _ in range(6)]
    for one in crowd:
        one.send(b"POST /v1/calls HTTP/1.1\r\ncontent-length: 100000\r\n" + AUTH + b"\r\n" + b"x" * 90_000)
    refused = [asyncio.create_task(one.answer()) for one in crowd]
    await until(lambda: front.bodies >= 6 * 90_000 or any(task.done() for task in refused))
    harm = front.bodies > 250_000
    for task, one in zip(refused, crowd, strict=True):
        task.cancel()
        one.writer.close()
    await until(lambda: front.bodies == 0)
    return harm


@client({"pipelined": 1 << 30}, pipelined=8)
async def flood(server: Serving) -> bool:
    """Ask thousands of slow things at once on one connection, so that all of them wait in memory."""
    one, front = await server.client(), server.service.front
    names = [f"flood{number}" for number in range(8)]
    environment = next(iter(server.engine._bundles))
    wanted = [{"session": name, "environment": environment, "seed": 1} for name in names]
    assert (await one.asked("POST", "/v1/sessions", {"sessions": wanted})).status == 200
    for seq in range(500):
        for name in names:
            one.ask("POST", "/v1/calls", {"calls": [call(name, seq, "nap", {"pad": "x" * 1000})]})
    await until(lambda: any(connection.paused for connection in front.connections) or server.engine.calls.pending >= 4000)
    harm = server.engine.calls.pending >= 4000
    one.writer.close()
    for name in names:
        await server.engine.close(name)
    return harm


@client({"write_seconds": NEVER, "answers": 1 << 40}, write_seconds=0.4)
async def deaf(server: Serving) -> bool:
    """Ask for much and read nothing of it."""
    one, front = await server.client(), server.service.front
    before = len(front.connections)
    one.writer.transport.pause_reading()
    for _ in range(20_000):
        one.send(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
    await until(lambda: any(connection.unread for connection in front.connections) or front.cut)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):  # not with the patience of tests: an idle connection is closed in a minute anyway
            while len(front.connections) >= before:
                await asyncio.sleep(0.005)
    harm = len(front.connections) >= before
    one.writer.transport.abort()
    return harm


SECRET = json.dumps({"calls": [call("neighbour", 99, "count")]}).encode()
SMUGGLED = b"POST /v1/calls HTTP/1.1\r\nhost: x\r\n" + AUTH + b"content-length: %d\r\n\r\n" % len(SECRET) + SECRET
"""A call in a neighbour's session, hidden in what somebody in between takes for one request's body."""


def hidden(framing: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a request whose end is somewhere else for who reads its framing otherwise."""
    return b"POST /v1/heartbeat HTTP/1.1\r\nhost: x\r\n" + AUTH + framing + b"\r\n" + before + SMUGGLED + after


CHUNKED, CHUNK = b"transfer-encoding: chunked\r\n", b"%x\r\n" % len(SMUGGLED)
PAST = b"content-length: %d\r\n" % len(CHUNK)
"""A length that ends where the hidden request begins."""
SMUGGLERS = {
    "length before chunks": hidden(PAST + CHUNKED, CHUNK, b"\r\n0\r\n\r\n"),
    "chunks before length": hidden(CHUNKED + PAST, CHUNK, b"\r\n0\r\n\r\n"),
    "two lengths": hidden(b"content-length: 0\r\ncontent-length: %d\r\n" % len(SMUGGLED)),
    "two lengths in one": hidden(b"content-length: 0, %d\r\n" % len(SMUGGLED)),
    "a length with a sign": hidden(b"content-length: +0\r\n"),
    "chunks by another name": hidden(b"transfer-encoding: xchunked\r\n" + PAST, CHUNK, b"\r\n0\r\n\r\n"),
    "chunks twice": hidden(b"transfer-encoding: chunked, chunked\r\n" + PAST, CHUNK, b"\r\n0\r\n\r\n"),
    "chunks that are not last": hidden(b"transfer-encoding: chunked, identity\r\n" + PAST, CHUNK, b"\r\n0\r\n\r\n"),
    "a space before the colon": hidden(b"content-length : %d\r\ncontent-length: 0\r\n" % len(SMUGGLED)),
    "a folded line": hidden(b"a: b\r\n content-length: %d\r\ncontent-length: 0\r\nx: y\r\n z\r\n" % len(SMUGGLED)),
    "a chunk's size that overflows": hidden(CHUNKED, b"10000000000000000\r\n", b"\r\n0\r\n\r\n"),
    "a chunk's size below nothing": hidden(CHUNKED, b"-1\r\n", b"\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": hidden(CHUNKED, b"1\r\nxx\r\n0\r\n\r\n"),
}
"""Requests of two lengths. Whoever takes the one that hides a second request answers twice, and runs what was hidden."""
