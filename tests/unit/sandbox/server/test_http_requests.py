"""What a client may send: half, doubled, oversized, out of order, or no HTTP at all. Every answer is typed and nobody else suffers."""

import asyncio
import json

import pytest

from astra_jobs.sandbox.protocol import CallResult
from astra_jobs.sandbox.server.bounds import HttpBounds
from tests.unit.sandbox.server.kit import AUTH, Raw, call, opened, run, serving, slow
from tests.unit.sandbox.waiting import until

GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"


async def refused(client: Raw, status: int, code: str) -> None:
    """The request is refused in JSON with one line, and the connection ends."""
    answer = await client.answer()
    assert (answer.status, answer.json["error"]) == (status, code), answer
    assert "\n" not in answer.json["message"]
    assert answer.headers["connection"] == "close"
    assert await client.ended() == b""


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 501, "unknown_method"),
        (b"BREW /coffee HTTP/1.1\r\n\r\n", 501, "unknown_method"),
        (b"GET  HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/1.1\nhost: x\n\n", 400, "bad_request"),
        (b"GET /healthz HTTP/1.1\r\nhost : x\r\n\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/1.1\r\nhost: \x00\r\n\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/1.1\r\n folded: x\r\n\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/2.0\r\n\r\n", 505, "bad_version"),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 400, "bad_request"),
        (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 405, "no_upgrade"),
        (GET + b"connection: Upgrade\r\nupgrade: h2c\r\n\r\n", 400, "no_upgrade"),
        (b"POST /v1/calls HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400, "bad_request"),
        (b"POST /v1/calls HTTP/1.1\r\ncontent-length: 1e3\r\n\r\n", 400, "bad_request"),
        (b"POST /v1/calls HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n", 400, "bad_request"),
        (b"POST /v1/calls HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400, "bad_request"),
        (b"POST /v1/calls HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400, "bad_request"),
        (b"POST /v1/calls HTTP/1.1\r\n" + AUTH + b"transfer-encoding: gzip\r\n\r\nabc", 400, "bad_request"),
        (b"POST /v1/calls HTTP/1.1\r\n" + AUTH + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n", 400, "bad_request"),
        (b"POST /v1/calls HTTP/1.1\r\n" + AUTH + AUTH + b"\r\n", 400, "bad_request"),
        (b"POST /v1/calls HTTP/1.1\r\n" + AUTH + b"expect: coffee\r\ncontent-length: 3\r\n\r\n", 417, "bad_expectation"),
        (b"POST /v1/calls HTTP/1.1\r\n" + AUTH + b"content-length: 99999999\r\n\r\n", 413, "body_too_large"),
        (b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 100 + b"\r\n", 431, "head_too_large"),
        (b"GET /healthz HTTP/1.1\r\na: " + b"b" * 20_000 + b"\r\n\r\n", 431, "head_too_large"),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", 414, "target_too_long"),
    ],
)
def test_what_is_no_request_is_refused_and_a_neighbour_is_served(data: bytes, status: int, code: str) -> None:
    async def body() -> None:
        async with serving() as server:
            neighbour, client = await server.client(), await server.client()
            client.send(data)
            await refused(client, status, code)
            assert (await neighbour.asked("GET", "/healthz")).status == 200

    run(body())


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("POST", "/v1/calls", b"", 401, "unauthorized"),
        ("POST", "/v1/calls", b"authorization: Bearer \r\n", 401, "unauthorized"),
        ("POST", "/v1/calls", b"authorization: Bearer a-key-of-the-tests-012345678\r\n", 401, "unauthorized"),
        ("POST", "/v1/calls", b"authorization: Basic a-key-of-the-tests-0123456789\r\n", 401, "unauthorized"),
        ("POST", "/v1/calls", "authorization: Bearer schlüssel\r\n".encode(), 401, "unauthorized"),
        ("GET", "/v1/capabilities", b"", 401, "unauthorized"),
        ("GET", "/nothing", b"", 401, "unauthorized"),
        ("GET", "/nothing", AUTH, 404, "unknown_path"),
        ("GET", "/v1/envs/", AUTH, 404, "unknown_path"),
        ("GET", "/v1/envs/a/b/tools", AUTH, 404, "unknown_path"),
        ("GET", "/v1/envs/%ff/tools", AUTH, 404, "unknown_path"),
        ("GET", "/v1/../healthz", AUTH, 404, "unknown_path"),
        ("GET", "//healthz", AUTH, 404, "unknown_path"),
        ("GET", "/v1/calls", AUTH, 405, "unknown_method"),
        ("POST", "/healthz", b"", 405, "unknown_method"),
        ("PATCH", "/v1/sessions/a", AUTH, 405, "unknown_method"),
        ("OPTIONS", "/v1/calls", AUTH, 405, "unknown_method"),
    ],
)
def test_the_head_alone_decides_who_is_served(method: str, path: str, headers: bytes, status: int, code: str) -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            client.ask(method, path, None, headers)
            answer = await client.answer()
            assert (answer.status, answer.json["error"]) == (status, code), answer
            assert ("www-authenticate" in answer.headers) == (status == 401)
            assert ("allow" in answer.headers) == (status == 405)
            assert await client.ended() == b""

    run(body())


def test_head_is_answered_like_get_without_the_body() -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            for path, status in (("/healthz", 200), ("/metrics", 200), ("/v1/capabilities", 200), ("/nothing", 404)):
                answer = await client.asked("HEAD", path)
                assert answer.status == status
                assert int(answer.headers["content-length"]) > 0
            assert await client.ended() == b""

    run(body())


def test_requests_in_one_piece_and_byte_by_byte_are_answered_in_order() -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            await opened(client, "a")
            bodies = [json.dumps({"calls": [call("a", seq, arguments={"n": seq})]}).encode() for seq in range(40)]
            head = b"POST /v1/calls HTTP/1.1\r\nhost: x\r\n" + AUTH
            whole = b"".join(head + b"content-length: %d\r\n\r\n" % len(data) + data for data in bodies)
            client.send(whole)
            texts = [(await client.answer()).json["results"][0]["text"] for _ in bodies]
            assert texts == [f'{{"n": {seq}}}' for seq in range(40)]
            for position in range(600):
                client.send(whole[position : position + 1])
                await client.writer.drain()
                await asyncio.sleep(0)
            client.send(whole[600:])
            assert [(await client.answer()).json["results"][0]["text"] for _ in bodies] == texts
            assert len(server.engine.ran) == 40, "a repeated call ran again"

    run(body())


def test_an_early_answer_waits_for_the_late_one_before_it() -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            await opened(client, "a", "b")
            client.ask("POST", "/v1/calls", {"calls": [call("a", 0, "late")]})
            client.ask("POST", "/v1/calls", {"calls": [call("b", 0)]})
            client.ask("GET", "/healthz")
            client.send(b"NONSENSE\r\n\r\n")
            await until(
                lambda: server.engine.ran and server.engine.waiting and len(next(iter(server.service.front.connections)).pending) == 4
            )
            server.engine.release(CallResult("ok", text="7"))
            assert (await client.answer()).json["results"][0]["text"] == "7"
            assert (await client.answer()).json["results"][0]["text"] == "{}"
            assert (await client.answer()).body == b"ok\n"
            await refused(client, 501, "unknown_method")

    run(body())


@pytest.mark.parametrize("start", [b"GET /", b"GET /healthz HTTP/1.1\r\na: ", b"GET /healthz HTTP/1.1\r\na"])
def test_a_head_that_grows_piece_by_piece_is_refused_at_its_bound(start: bytes) -> None:
    async def body() -> None:
        async with serving(http=HttpBounds(head=4096)) as server:
            client = await server.client()
            client.send(start)
            for _ in range(60):
                client.send(b"a" * 100)
                await client.writer.drain()
                await asyncio.sleep(0.001)
            answer = await client.answer()
            assert answer.status in (414, 431)
            await client.cut()

    run(body())


def test_chunked_bodies_are_read_and_their_trailers_mean_nothing() -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            await opened(client, "a")
            data = json.dumps({"calls": [call("a", 0)]}).encode()
            head = b"POST /v1/calls HTTP/1.1\r\ntransfer-encoding: chunked\r\n"
            chunks = b"".join(b"1;why=not\r\n%c\r\n" % byte for byte in data) + b"0\r\n"
            client.send(head + AUTH + b"\r\n" + chunks + b"content-type: text/plain\r\n" + AUTH + b"\r\n")
            assert (await client.answer()).json["results"][0]["outcome"] == "ok"
            client.send(head + b"\r\n" + chunks + AUTH + b"\r\n")
            await refused(client, 401, "unauthorized")

    run(body())


def test_a_chunked_body_that_grows_past_its_bound_is_refused_while_it_comes() -> None:
    async def body() -> None:
        async with serving(http=HttpBounds(body=10_000)) as server:
            client = await server.client()
            client.send(b"POST /v1/calls HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + AUTH + b"\r\n")
            for _ in range(11):
                client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
            await refused(client, 413, "body_too_large")
            assert server.service.front.bodies == 0

    run(body())


def test_bodies_that_are_too_many_together_are_refused_and_their_room_comes_back() -> None:
    async def body() -> None:
        async with serving(http=HttpBounds(body=10_000, bodies=15_000)) as server:
            one, other = await server.client(), await server.client()
            half = b"POST /v1/calls HTTP/1.1\r\ncontent-length: 10000\r\n" + AUTH + b"\r\n" + b"x" * 9000
            one.send(half)
            await until(lambda: server.service.front.bodies == 9000)
            other.send(half)
            answer = await other.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            one.writer.close()
            await until(lambda: server.service.front.bodies == 0)
            third = await server.client()
            third.send(half)
            await until(lambda: server.service.front.bodies == 9000)

    run(body())


def test_a_client_that_asks_first_is_told_to_go_on_or_not_to() -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            await opened(client, "a")
            data = json.dumps({"calls": [call("a", 0)]}).encode()
            head = b"POST /v1/calls HTTP/1.1\r\nexpect: 100-Continue\r\ncontent-length: %d\r\n" % len(data)
            client.send(head + AUTH + b"\r\n")
            assert (await client.answer()).status == 100
            client.send(data)
            assert (await client.answer()).status == 200
            client.send(head + AUTH + b"\r\n" + data)
            assert (await client.answer()).status == 200, "it did not wait, so it is not told"
            client.send(head + b"\r\n")
            await refused(client, 401, "unauthorized")

    run(body())


def test_the_go_ahead_waits_for_the_answers_before_it() -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            await opened(client, "a")
            client.ask("POST", "/v1/calls", {"calls": [call("a", 0, "late")]})
            client.send(b"POST /v1/calls HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 12\r\n" + AUTH + b"\r\n")
            await until(lambda: next(iter(server.service.front.connections)).continuing)
            server.engine.release(CallResult("ok", text="7"))
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 100
            client.send(b'{"calls":[]}')
            assert (await client.answer()).json == {"results": []}

    run(body())


def test_connections_end_when_the_client_says_so() -> None:
    async def body() -> None:
        async with serving() as server:
            for data in (GET + b"connection: close\r\n\r\n" + GET + b"\r\n", b"GET /healthz HTTP/1.0\r\n\r\n"):
                client = await server.client()
                client.send(data)
                assert (await client.answer()).headers["connection"] == "close"
                assert await client.ended() == b""
            client = await server.client()
            client.send(b"GET /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" + GET + b"\r\n")
            assert (await client.answer()).headers["connection"] == "close"
            assert await client.ended() == b""

    run(body())


def test_a_half_closed_client_gets_its_answers() -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            await opened(client, "a")
            client.ask("POST", "/v1/calls", {"calls": [call("a", 0, "late")]})
            client.writer.write_eof()
            await until(lambda: server.engine.waiting and next(iter(server.service.front.connections)).half)
            server.engine.release(CallResult("ok", text="7"))
            assert (await client.answer()).json["results"][0]["text"] == "7"
            assert await client.ended() == b""

    run(body())


def test_half_a_request_and_a_client_that_goes_leave_nothing() -> None:
    async def body() -> None:
        async with serving() as server:
            stays = await server.client()
            await opened(stays, "a")
            for data in (
                b"",
                b"PO",
                b"POST /v1/calls HTTP/1.1\r\nconte",
                b"POST /v1/calls HTTP/1.1\r\ncontent-length: 9\r\n" + AUTH + b"\r\n{",
            ):
                client = await server.client()
                client.send(data)
                await client.writer.drain()
                client.writer.close()
            gone = await server.client()
            gone.ask("POST", "/v1/calls", {"calls": [call("a", 0, "late")]})
            await until(lambda: server.engine.waiting)
            gone.writer.transport.abort()
            await until(lambda: any(connection.half for connection in server.service.front.connections))
            server.engine.release(CallResult("ok", text="7"))
            await until(lambda: len(server.service.front.connections) == 1)
            assert (await stays.asked("GET", "/healthz")).status == 200

    run(body())


def test_a_refused_upload_can_read_its_answer_although_it_goes_on_sending() -> None:
    async def body() -> None:
        async with serving(http=slow(linger_seconds=2.0)) as server:
            client = await server.client()
            client.send(b"POST /v1/calls HTTP/1.1\r\ncontent-length: 60000000\r\n" + AUTH + b"\r\n")
            for _ in range(100):
                client.send(b"x" * 65_536)
            await refused(client, 413, "body_too_large")

    run(body())


def test_too_many_connections_are_told_so() -> None:
    async def body() -> None:
        async with serving(http=HttpBounds(connections=2)) as server:
            kept = [await server.client() for _ in range(2)]
            assert [(await client.asked("GET", "/healthz")).status for client in kept] == [200, 200]
            third = await server.client()
            await refused(third, 503, "overloaded")
            kept[0].writer.close()
            await until(lambda: len(server.service.front.connections) == 1)
            assert (await (await server.client()).asked("GET", "/healthz")).status == 200

    run(body())


def test_a_mistake_in_the_engine_is_an_answer_and_the_next_call_works() -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            await opened(client, "a")
            answer = await client.asked("POST", "/v1/calls", {"calls": [call("a", 0, "crash")]})
            assert (answer.status, answer.json["error"]) == (500, "internal_error")
            assert (await client.asked("POST", "/v1/calls", {"calls": [call("a", 1)]})).status == 200

    run(body())
