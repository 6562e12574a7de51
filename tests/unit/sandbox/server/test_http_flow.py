"""Clients that are slow, silent, greedy or gone: what they hold is bounded, and comes back."""

import asyncio
import json
from dataclasses import replace

import pytest

from astra_jobs.sandbox.protocol import CallResult
from astra_jobs.sandbox.server.bounds import HttpBounds
from tests.patience import patience
from tests.unit.sandbox.server.kit import AUTH, QUICK, call, opened, run, serving, slow
from tests.unit.sandbox.waiting import until


@pytest.mark.parametrize(
    ("sent", "drip"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (b"GET /healthz HTTP/1.1\r\n", b"a: b\r\n"),
        (b"GET /", b"a"),
        (b"POST /v1/calls HTTP/1.1\r\ncontent-length: 100000\r\n" + AUTH + b"\r\n", b"x"),
        (b"POST /v1/calls HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + AUTH + b"\r\n", b"1\r\nx\r\n"),
    ],
)
def test_a_request_that_drips_is_ended_however_regularly_it_drips(sent: bytes, drip: bytes) -> None:
    async def body() -> None:
        async with serving(http=replace(QUICK, headers=1000)) as server:
            client = await server.client()
            began = asyncio.get_running_loop().time()
            client.send(sent)

            async def dripping() -> None:
                while True:
                    client.send(drip)
                    await asyncio.sleep(0.02)

            drops = asyncio.create_task(dripping())
            answer = await client.answer()
            drops.cancel()
            assert (answer.status, answer.json["error"]) == (408, "too_slow")
            assert asyncio.get_running_loop().time() - began < patience()
            await until(lambda: not server.service.front.connections)
            assert server.service.front.bodies == 0

    run(body())


def test_an_idle_connection_is_closed_without_a_word_and_one_that_waits_is_not() -> None:
    async def body() -> None:
        async with serving(http=QUICK) as server:
            idle, waits = await server.client(), await server.client()
            await opened(waits, "a")
            waits.ask("POST", "/v1/calls", {"calls": [call("a", 0, "late")]})
            assert (await idle.asked("GET", "/healthz")).status == 200
            assert await idle.ended() == b""
            await asyncio.sleep(2 * QUICK.idle_seconds)  # what is shown is that nothing happens in this time
            server.engine.release(CallResult("ok", text="7"))
            assert (await waits.answer()).json["results"][0]["text"] == "7"

    run(body())


def test_a_client_that_never_closes_after_its_last_answer_is_cut() -> None:
    async def body() -> None:
        async with serving(http=QUICK) as server:
            client = await server.client()
            client.send(b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n")
            assert (await client.answer()).status == 200
            await until(lambda: not server.service.front.connections)

    run(body())


def test_a_client_that_does_not_read_is_not_read_from_and_is_cut_in_the_end() -> None:
    async def body() -> None:
        async with serving(http=slow(write_seconds=0.6)) as server:
            other, greedy = await server.client(), await server.client()
            await opened(other, "a")
            greedy.writer.transport.pause_reading()
            for seq in range(400):
                greedy.ask("POST", "/v1/calls", {"calls": [call("a", seq, "huge", {"size": 100_000})]})
            front = server.service.front
            await until(lambda: any(connection.paused for connection in front.connections))
            held = max(connection.transport.get_write_buffer_size() for connection in front.connections)
            assert held < 64 << 20
            assert (await other.asked("GET", "/healthz")).status == 200
            await until(lambda: front.cut == 1)
            await until(lambda: len(front.connections) == 1)

    run(body())


def test_a_slow_reader_gets_every_answer_in_the_end() -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            await opened(client, "a")
            client.writer.transport.pause_reading()
            for seq in range(300):
                client.ask("POST", "/v1/calls", {"calls": [call("a", seq, "huge", {"size": 50_000})]})
            await until(lambda: any(connection.paused for connection in server.service.front.connections))
            client.writer.transport.resume_reading()
            for _ in range(300):
                assert len((await client.answer()).json["results"][0]["text"]) == 50_000
            assert (await client.asked("GET", "/healthz")).status == 200

    run(body())


def test_answers_that_wait_for_their_turn_are_bounded() -> None:
    async def body() -> None:
        async with serving(http=HttpBounds(answers=1_000_000)) as server:
            client = await server.client()
            await opened(client, "a", "b")
            client.ask("POST", "/v1/calls", {"calls": [call("a", 0, "late")]})
            for seq in range(20):
                client.ask("POST", "/v1/calls", {"calls": [call("b", seq, "huge", {"size": 100_000})]})
            await client.cut()
            front = server.service.front
            assert front.cut == 1
            server.engine.release(CallResult("ok", text="7"))
            again = await server.client()
            answer = await again.asked("POST", "/v1/calls", {"calls": [call("b", 0, "huge", {"size": 100_000})]})
            assert len(answer.json["results"][0]["text"]) == 100_000, "what was computed is still to be had"

    run(body())


def test_requests_in_flight_on_one_connection_are_bounded_and_all_answered() -> None:
    async def body() -> None:
        async with serving(http=HttpBounds(pipelined=8)) as server:
            client = await server.client()
            await opened(client, "a")
            for seq in range(100):
                client.ask("POST", "/v1/calls", {"calls": [call("a", seq, "late")]})
                await client.writer.drain()
                await asyncio.sleep(0.001)
            await until(lambda: any(connection.paused for connection in server.service.front.connections))
            assert len(server.engine.waiting) < 100
            assert not client.reader._buffer

            async def releasing() -> None:
                while True:
                    server.engine.release(CallResult("ok", text="7"))
                    await asyncio.sleep(0.001)

            release = asyncio.create_task(releasing())
            assert {(await client.answer()).status for _ in range(100)} == {200}
            release.cancel()

    run(body())


def test_a_result_that_comes_when_nobody_waits_is_dropped() -> None:
    async def body() -> None:
        async with serving() as server:
            client, other = await server.client(), await server.client()
            await opened(client, "a")
            client.ask("POST", "/v1/calls", {"calls": [call("a", seq, "late") for seq in range(3)]})
            await until(lambda: len(server.engine.waiting) == 3)
            waiting = list(server.engine.waiting)
            waiting[0](CallResult("ok", text="1"))
            client.writer.transport.abort()
            await until(lambda: any(connection.half for connection in server.service.front.connections))
            for done in waiting[1:]:
                done(CallResult("ok", text="1"))
            await until(lambda: len(server.service.front.connections) == 1)
            assert (await other.asked("GET", "/healthz")).status == 200

    run(body())


def test_a_server_that_stops_answers_what_waits_and_tells_that_it_closes() -> None:
    async def body() -> None:
        async with serving() as server:
            client, idle = await server.client(), await server.client()
            await opened(client, "a")
            assert (await idle.asked("GET", "/healthz")).status == 200
            client.ask("POST", "/v1/calls", {"calls": [call("a", 0, "late"), call("a", 1)]})
            await until(lambda: server.engine.waiting)
            await server.service.stop()
            answer = await client.answer()
            assert [result["outcome"] for result in answer.json["results"]] == ["session_lost", "ok"]
            assert await idle.ended() == b""
            with pytest.raises(ConnectionRefusedError):
                await server.client()

    run(body())


def test_small_answers_of_one_read_go_out_in_one_write() -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            await opened(client, "a")
            connection = next(iter(server.service.front.connections))
            writes: list[bytes] = []

            class Counting:
                def __init__(self, inner: object) -> None:
                    self.inner = inner

                def __getattr__(self, name: str) -> object:
                    return writes.append if name == "write" else getattr(self.inner, name)

            connection.transport = Counting(connection.transport)
            data = json.dumps({"calls": [call("a", 0)]}).encode()
            connection.data_received((b"POST /v1/calls HTTP/1.1\r\n" + AUTH + b"content-length: %d\r\n\r\n" % len(data) + data) * 50)
            assert len(writes) == 1
            assert writes[0].count(b"HTTP/1.1 200 OK") == 50

    run(body())
