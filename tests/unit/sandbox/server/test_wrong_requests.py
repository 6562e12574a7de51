"""Bodies that are not what they should be, field by field: always a typed refusal, never a mistake of the server."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sandbox.server.kit import AUTH, ENVIRONMENT, TOOLS, call, opened, real, run, serving

VALID: dict[str, tuple[str, Any]] = {
    "/v1/calls": ("POST", {"calls": [call("a", 3, "echo", {"x": [1]}, deadline_ms=5000)]}),
    "/v1/sessions": (
        "POST",
        {"sessions": [{"session": "n", "environment": ENVIRONMENT, "seed": 1, "lease_ms": 5000, "log": [["echo", {}, "ok", "{}"]]}]},
    ),
    "/v1/sessions/a/fork": ("POST", {"session": "f", "upto": 3}),
    "/v1/heartbeat": ("POST", {"sessions": ["a"]}),
    f"/v1/envs/{ENVIRONMENT}": ("PUT", TOOLS),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every part of a value."""
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A request of which one part is replaced, removed or added."""
    path = draw(st.sampled_from(sorted(VALID)))
    method, body = VALID[path]
    body = copy.deepcopy(body)
    place = draw(st.sampled_from(places(body)))
    value = draw(VALUES)
    if not place:
        return method, path, value
    parent = body
    for key in place[:-1]:
        parent = parent[key]
    how = draw(st.sampled_from(("replace", "remove", "add")))
    if how == "remove":
        del parent[place[-1]]
    elif how == "add" and isinstance(parent, dict):
        parent[draw(st.text(max_size=8))] = value
    else:
        parent[place[-1]] = value
    return method, path, body


def check(status: int, told: Any) -> None:
    assert status in (200, 400, 404, 409, 413, 429), (status, told)
    if status != 200:
        assert set(told) >= {"error", "message"}
        assert "\n" not in told["message"]
        assert told["error"] != "internal_error"


@settings(max_examples=6, deadline=None)
@given(st.lists(mutations(), min_size=40, max_size=60))
def test_a_wrong_field_is_refused_alike_in_both_forms_and_a_session_beside_it_is_unharmed(requests: list[tuple[str, str, Any]]) -> None:
    async def body() -> None:
        async with serving(real()) as server:
            client = await server.client()
            await opened(client, "a", "b")
            for number, (method, path, wrong) in enumerate(requests):
                answer = await client.asked(method, path, json.dumps(wrong).encode())
                check(answer.status, answer.json)
                try:
                    packed = msgspec.msgpack.encode(wrong)
                except OverflowError:  # MessagePack has no such integers
                    packed = b""
                if packed and path != "/v1/sessions" and "fork" not in path:
                    again = await client.asked(
                        method, path, packed, kind="application/msgpack", headers=AUTH + b"accept: application/json\r\n"
                    )
                    assert (again.status, set(again.json)) == (answer.status, set(answer.json)), (wrong, answer, again)
                good = await client.asked("POST", "/v1/calls", {"calls": [call("b", number, arguments={"n": number})]})
                assert json.loads(good.json["results"][0]["text"]) == {"n": number}

    run(body())


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(sorted(VALID)), st.sampled_from(["application/json", "application/msgpack"]))
def test_a_body_of_any_bytes_is_refused_and_the_connection_lives(data: bytes, path: str, kind: str) -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            answer = await client.asked(VALID[path][0], path, data, kind=kind)
            if path.endswith("fork") and not data:
                assert answer.status == 404
            else:
                assert answer.status == 400 or path.endswith("fork")
            assert (await client.asked("GET", "/healthz")).status == 200

    run(body())


@pytest.mark.parametrize(
    ("kind", "extra", "status"),
    [
        ("text/plain", b"", 415),
        ("application/x-www-form-urlencoded", b"", 415),
        ("application/json", b"content-encoding: gzip\r\n", 415),
        ("application/json; charset=utf-8", b"", 200),
        ("Application/JSON", b"", 200),
        ("application/json", b"content-encoding: identity\r\n", 200),
    ],
)
def test_other_content_types_are_refused_before_the_body_is_read(kind: str, extra: bytes, status: int) -> None:
    async def body() -> None:
        async with serving() as server:
            client = await server.client()
            assert (await client.asked("POST", "/v1/calls", {"calls": []}, AUTH + extra, kind)).status == status

    run(body())


def nested(depth: int) -> bytes:
    return b'{"calls":[{"session":"a","seq":0,"tool":"echo","arguments":{"x":' + b"[" * depth + b"]" * depth + b"}}]}"


@pytest.mark.parametrize("depth", [30, 100, 190, 210, 500, 5_000, 500_000])
def test_deep_nesting_is_refused_or_answered_but_never_a_crash(depth: int) -> None:
    async def body() -> None:
        async with serving(real()) as server:
            client = await server.client()
            await opened(client, "a", "b")
            answer = await client.asked("POST", "/v1/calls", nested(depth))
            assert answer.status == (200 if depth <= 190 else 400), answer
            if depth <= 30:
                assert answer.json["results"][0]["outcome"] == "ok"
            good = await client.asked("POST", "/v1/calls", {"calls": [call("b", 0)]})
            assert good.json["results"][0]["outcome"] == "ok"

    run(body())
