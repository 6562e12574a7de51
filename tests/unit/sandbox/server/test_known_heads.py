"""Heads that were accepted before are not read again, and nobody can tell but by the time it takes."""

import asyncio
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from astra_jobs.sandbox.server.heads import LONGEST, MOST
from tests.unit.sandbox.server.kit import AUTH, Answer, Raw, call, opened, run, serving


def request(body: bytes, headers: bytes = AUTH, more: bytes = b"") -> bytes:
    return b"POST /v1/calls HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body) + headers + more + b"\r\n" + body


def numbered(seq: int, tool: str = "echo") -> bytes:
    return b'{"calls":[{"session":"a","seq":%d,"tool":"%s","arguments":{}}]}' % (seq, tool.encode())


LINES = request(numbered(12)).replace(b"\r\n", b"\n")
"""A request whose lines end in another way: the end of the first head is not the first empty line that is seen."""
GOOD = st.builds(lambda seq: request(numbered(seq)), st.integers(10, 30))
REQUESTS = st.one_of(
    GOOD,
    GOOD,
    st.sampled_from(
        [
            request(numbered(10)[:-1] + b"!"),  # the head of a good one, a body that is none
            request(numbered(11), AUTH.replace(b"key", b"kez")),
            request(numbered(12), AUTH.replace(b"Bearer", b"bearer")),
            request(numbered(13), more=b"x-more: 1\r\n"),
            request(numbered(14)).replace(b"\r\n", b"\n", 4),
            b"POST /v1/calls HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
            + AUTH
            + b"\r\n3f\r\n"
            + numbered(15)
            + b"\r\n0\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
            b"\r\n" + request(numbered(16)),
            request(numbered(17), more=b"expect: 100-continue\r\n"),
            request(b'{"calls":[]}') + request(numbered(18)),
            request(numbered(19, "overloaded")),
            request(numbered(20), more=b"connection: close\r\n"),
        ]
    ),
)


async def answers(data: list[bytes], known: bool) -> bytes:
    """Send pieces to a server that nobody has called yet, as ``said`` does: a call's answer depends on those before."""
    async with serving() as server:
        await opened(await server.client(), "a")
        return await said(server, data, known)


async def said(server: Any, data: list[bytes], known: bool) -> bytes:
    """Send pieces on one connection, each when the answers to those before have come; return all that came back."""
    if not known:
        server.service.front.heads.find = lambda *_: None
    client: Raw = await server.client()
    got = b""
    for piece in data:
        client.send(piece)
        for _ in range(40):
            await asyncio.sleep(0)
        try:
            got += await asyncio.wait_for(client.reader.read(1 << 16), 0.02)
        except TimeoutError:
            continue
    client.writer.write_eof()
    got += await client.ended()
    return got


@settings(max_examples=40, deadline=None)
@example([(request(numbered(seq)), share) for seq, share in ((10, 1.0), (11, 1.0), (12, 0.9), (13, 1.0))])
@example([(request(numbered(seq)), 1.0) for seq in (10, 11)] + [(request(numbered(12)) + request(numbered(13)), 1.0)])
@example([(request(numbered(19, "overloaded")), 1.0), (request(numbered(19)), 1.0)])
@example([(request(numbered(10)), 1.0), (LINES + request(numbered(13)), 1.0), (LINES + request(numbered(14)), 1.0)])
@given(st.lists(st.tuples(REQUESTS, st.one_of(st.just(1.0), st.floats(0, 1))), min_size=2, max_size=5))
def test_answers_are_the_same_with_and_without(pieces: list[tuple[bytes, float]]) -> None:
    data = []
    for whole, share in pieces:
        at = int(share * len(whole))
        data += [part for part in (whole[:at], whole[at:]) if part]

    async def body() -> None:
        assert await answers(data, known=True) == await answers(data, known=False)

    run(body())


def test_only_what_was_let_in_is_known_and_only_whole() -> None:
    async def body() -> None:
        async with serving() as server:
            client, heads = await server.client(), server.service.front.heads
            await opened(client, "a")
            kept = set(heads._known)
            wrong = await client.asked("POST", "/v1/calls", {"calls": [call("a", 0)]}, headers=AUTH.replace(b"key", b"kez"))
            assert wrong.status == 401
            assert set(heads._known) == kept
            client = await server.client()
            for seq in (1, 2):  # the first request of a connection is always read by the parser
                assert (await client.asked("POST", "/v1/calls", {"calls": [call("a", seq)]})).json["results"][0]["outcome"] == "ok"
            (head,) = set(heads._known) - kept
            assert head.endswith(b"\r\n\r\n")
            assert AUTH in head
            client.send(head[:-4])  # a known head that is not whole waits, and is served by the parser
            for _ in range(20):
                await asyncio.sleep(0)
            known = heads._known[head]
            client.send(b"\r\n\r\n" + b" " * known.length)
            answer: Answer = await client.answer()
            assert (answer.status, answer.json["error"]) == (400, "bad_body")

    run(body())


def test_heads_are_bounded() -> None:
    async def body() -> None:
        async with serving() as server:
            client, heads = await server.client(), server.service.front.heads
            await opened(client, "a")
            for number in range(MOST + 20):
                await client.asked("POST", "/v1/calls", {"calls": []}, headers=AUTH + b"x: %d\r\n" % number)
            assert 0 < len(heads._known) <= MOST
            before = len(heads._known)
            await client.asked("POST", "/v1/calls", {"calls": []}, headers=AUTH + b"x: " + b"y" * LONGEST + b"\r\n")
            assert len(heads._known) == before

    run(body())
