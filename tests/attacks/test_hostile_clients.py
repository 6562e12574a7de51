"""Hostile clients against a real server: without the bound the harm is done; with it, a neighbour's next call is right."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.sandbox.protocol import SandboxLimits, ToolCode
from tests.attacks.hostile import CLIENTS, SMUGGLERS, newcomer_waits
from tests.patience import patience
from tests.unit.sandbox.server.kit import KEY, Raw, Serving, call, real, run, serving

ANY = {"type": "object", "additionalProperties": True}
TOOLS = [
    ToolCode(name="count", parameters=ANY, code="N = []\ndef count(**a):\n    N.append(1)\n    return len(N)\n"),
    ToolCode(name="nap", parameters=ANY, code="import select\ndef nap(**a):\n    select.select([], [], [])\n"),
]
DIGEST = digest_of([tool.to_dict() for tool in TOOLS])


async def settle(server: Serving, session: str | None = "neighbour") -> tuple[Raw, str]:
    """Move a neighbour in, on a connection of its own; return it with its session's id."""
    neighbour = await server.client()
    assert (await neighbour.asked("PUT", f"/v1/envs/{DIGEST}", {"tools": [tool.to_dict() for tool in TOOLS]})).status == 200
    wanted = [{"environment": DIGEST, "seed": 1} | ({"session": session} if session else {})]
    name = (await neighbour.asked("POST", "/v1/sessions", {"sessions": wanted})).json["sessions"][0]["session"]
    assert await counted(neighbour, name, 0) == 1
    return neighbour, name


async def counted(client: Raw, session: str, seq: int) -> int:
    answer = await client.asked("POST", "/v1/calls", {"calls": [call(session, seq, "count")]})
    assert answer.status == 200, answer
    return int(json.loads(answer.json["results"][0]["text"]))


@pytest.mark.parametrize("walls", [True, False], ids=["bounded", "control"])
@pytest.mark.parametrize("name", CLIENTS)
def test_a_bound_stops_a_hostile_client_and_nothing_else_does(name: str, walls: bool) -> None:
    async def body() -> None:
        async with serving(real(SandboxLimits(seconds=4.0)), http=CLIENTS[name].http(walls)) as server:
            _, session = await settle(server)
            assert await CLIENTS[name].deed(server) is not walls
            assert not await newcomer_waits(server), "once the hostile client has gone, everybody is served"
            assert await counted(await server.client(), session, 1) == 2

    run(body())


class Believing(BaseHTTPRequestHandler):
    """A server that reads the first length it finds and nothing of chunks, as some do that stand behind a proxy."""

    protocol_version = "HTTP/1.1"
    ran: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        lengths = [part for part in self.headers.get_all("content-length") or ["0"] for part in part.split(",")]
        self.ran.append(self.rfile.read(int(lengths[0])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def believing() -> Iterator[int]:
    Believing.ran.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Believing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


BELIEVED = ("length before chunks", "chunks before length", "two lengths", "two lengths in one", "a length with a sign",
            "chunks by another name", "chunks twice", "chunks that are not last")  # fmt: skip
"""What the believing server takes; the others need other mistakes, of which it is shown only that they are refused."""


@pytest.mark.parametrize("name", BELIEVED)
def test_a_hidden_request_is_run_by_who_believes_one_length(name: str) -> None:
    with believing() as port, socket.create_connection(("127.0.0.1", port), timeout=patience()) as client:
        client.sendall(SMUGGLERS[name])
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    assert any(b'"neighbour"' in ran for ran in Believing.ran)


@pytest.mark.parametrize("name", SMUGGLERS)
def test_a_hidden_request_is_never_run_and_its_carrier_ends_the_connection(name: str) -> None:
    async def body() -> None:
        async with serving(real()) as server:
            neighbour, session = await settle(server)
            client = await server.client()
            client.send(SMUGGLERS[name])
            said = await client.ended()
            assert said.startswith(b"HTTP/1.1 400 ")
            assert said.count(b"HTTP/1.1 ") == 1, "one request, one answer"
            assert await counted(neighbour, session, 1) == 2

    run(body())


def test_a_key_is_not_guessed_piece_by_piece() -> None:
    """Every beginning of the key is answered like nonsense, to the byte; the time of the comparison is ``hmac``'s to keep."""

    async def body() -> None:
        async with serving(real()) as server:
            neighbour, session = await settle(server)
            guesses = [KEY[:length] for length in range(len(KEY))] + [KEY + b"0", KEY.upper(), KEY[::-1], b"x" * len(KEY), b"x" * 4000]
            answers = set()
            for guess in guesses:
                client = await server.client()
                client.send(b"GET /v1/capabilities HTTP/1.1\r\nauthorization: Bearer " + guess + b"\r\n\r\n")
                answers.add(await client.ended())
            (answer,) = answers
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert not any(KEY[at : at + 4] in answer for at in range(len(KEY) - 3))
            assert await counted(neighbour, session, 1) == 2

    run(body())


def test_a_session_is_not_found_by_a_name_that_is_nearly_its_own() -> None:
    async def body() -> None:
        async with serving(real()) as server:
            neighbour, session = await settle(server, None)
            assert len(bytes.fromhex(session)) == 16
            others = [(await settle(server, None))[1] for _ in range(3)]
            assert all(sum(one != other for one, other in zip(session, name, strict=True)) > 16 for name in others), "no counter"
            near = [session[:-1], session + "0", session.upper() + "x", f" {session}", f"{session}\0", session[::-1], "*", "%", ""]
            near += [session[:at] + ("0" if session[at] != "0" else "1") + session[at + 1 :] for at in range(0, 32, 4)]
            for name in near:
                answer = await neighbour.asked("POST", "/v1/calls", {"calls": [call(name, 0, "count")]})
                lost = answer.status == 400 or answer.json["results"][0]["outcome"] == "session_lost"
                assert lost, (name, answer)
                assert (await neighbour.asked("DELETE", f"/v1/sessions/{name.strip().rstrip(chr(0)) or 'none'}x")).status == 204
            replayed = await neighbour.asked("POST", "/v1/calls", {"calls": [call(session, 0, "count"), call(session, 0, "nap")]})
            again, other = replayed.json["results"]
            assert (json.loads(again["text"]), other["error"]) == (1, "sequence_conflict"), "a number is one call, and not run twice"
            assert await counted(neighbour, session, 1) == 2

    run(body())
