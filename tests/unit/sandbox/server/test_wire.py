"""Both forms say the same, and neither can say what JSON cannot."""

import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.sandbox.server.exchange import Refused
from astra_jobs.sandbox.server.wire import DEPTH, JSON_FORM, MSGPACK_FORM, VALUES, Calls, Fork, NewSessions, Tools, answer_form_of, form_of

JSON_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def calls(arguments: Any) -> Any:
    return {"calls": [{"session": "s", "seq": 0, "tool": "t", "arguments": arguments}]}


@given(st.dictionaries(st.text(), JSON_DATA, max_size=4))
def test_both_forms_give_the_same_request(arguments: dict[str, Any]) -> None:
    one = JSON_FORM.decode(Calls, msgspec.json.encode(calls(arguments)))
    other = MSGPACK_FORM.decode(Calls, msgspec.msgpack.encode(calls(arguments)))
    assert msgspec.json.encode(one) == msgspec.json.encode(other)
    assert one.calls[0].arguments == arguments


@pytest.mark.parametrize(
    "value", [b"bytes", datetime.datetime.now(datetime.UTC), {1: 2}, {None: 1}, float("nan"), float("inf"), msgspec.msgpack.Ext(5, b"x")]
)
def test_what_json_cannot_say_is_refused_in_messagepack_too(value: Any) -> None:
    for wrapped in (value, [value], {"a": {"b": [value]}}):
        with pytest.raises(Refused) as refused:
            MSGPACK_FORM.decode(Calls, msgspec.msgpack.encode(calls({"x": wrapped})))
        assert refused.value.status == 400
        assert "\n" not in refused.value.message
    tools = {"tools": [{"name": "t", "parameters": {"x": value}, "code": ""}]}
    with pytest.raises(Refused):
        MSGPACK_FORM.decode(Tools, msgspec.msgpack.encode(tools))


@pytest.mark.parametrize("name", ["a\n", "a\r", "a\n\n", "\na", "a\nb", "a\u2028", "a\x00", "", ".a", "a" * 65, "ä"])
def test_a_session_is_never_called_by_more_than_a_name(name: str) -> None:
    for form in (JSON_FORM, MSGPACK_FORM):
        for kind, body in ((NewSessions, {"sessions": [{"environment": "e", "seed": 0, "session": name}]}), (Fork, {"session": name})):
            with pytest.raises(Refused):
                form.decode(kind, form.encode(body))
    assert JSON_FORM.decode(Fork, b'{"session":"a.B_c-1"}').session == "a.B_c-1"


@pytest.mark.parametrize("depth", [DEPTH - 2, DEPTH + 2, 3000])
def test_depth_is_bounded_alike(depth: int) -> None:
    lists = b'{"calls":[{"session":"s","seq":0,"tool":"t","arguments":{"x":' + b"[" * depth + b"]" * depth + b"}}]}"
    head = msgspec.msgpack.encode(calls({"x": 0}))
    for form, data in ((JSON_FORM, lists), (MSGPACK_FORM, head[:-1] + b"\x91" * depth + b"\x90")):
        if depth < DEPTH:
            assert form.decode(Calls, data).calls[0].tool == "t"
        else:
            with pytest.raises(Refused):
                form.decode(Calls, data)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{"calls":[{"session":"s","seq":-1,"tool":"t","arguments":{}}]}', "$.calls[0].seq"),
        (b'{"calls":[{"session":"s","seq":1.0,"tool":"t","arguments":{}}]}', "$.calls[0].seq"),
        (b'{"calls":[{"session":"s","seq":true,"tool":"t","arguments":{}}]}', "$.calls[0].seq"),
        (b'{"calls":[{"session":"s","seq":0,"tool":"t","arguments":[]}]}', "$.calls[0].arguments"),
        (b'{"calls":[{"session":"s","seq":0,"tool":"t","arguments":{},"deadline_ms":-1}]}', "$.calls[0].deadline_ms"),
        (b'{"calls":[{"session":"s","seq":0,"tool":"t","arguments":{},"sess":1}]}', "$.calls[0]"),
        (b'{"calls":[{"session":"s","seq":0,"tool":"t"}]}', "arguments"),
        (b'{"calls":null}', "$.calls"),
        (b"null", "null"),
    ],
)
def test_a_wrong_field_is_named(data: bytes, place: str) -> None:
    with pytest.raises(Refused) as refused:
        JSON_FORM.decode(Calls, data)
    assert refused.value.code == "bad_request"
    assert place in refused.value.message


@pytest.mark.parametrize("data", [b"", b"{", b'{"calls":[]}x', b"\xff", b'{"calls":[{"session":"\\ud800"}]}', b'{"calls":NaN}'])
def test_what_is_no_json_says_so(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        JSON_FORM.decode(Calls, data)
    assert refused.value.status == 400


def test_forms_are_chosen_by_headers() -> None:
    assert form_of({}) is JSON_FORM
    assert form_of({b"content-type": b"application/x-msgpack; v=1"}) is MSGPACK_FORM
    assert answer_form_of({b"accept": b"text/html, application/json;q=0.1"}, MSGPACK_FORM) is JSON_FORM
    assert answer_form_of({b"accept": b"text/html"}, MSGPACK_FORM) is MSGPACK_FORM
    with pytest.raises(Refused):
        form_of({b"content-type": b""})


def test_the_number_of_values_is_bounded_whatever_their_shape() -> None:
    half = VALUES // 2
    few = {"x": [0] * (half - 10), "y": {str(number): [] for number in range(half - 10)}}
    for form in (JSON_FORM, MSGPACK_FORM):
        assert form.decode(Calls, form.encode(calls(few))).calls[0].arguments == few
        assert form.decode(Calls, form.encode(calls({"x": "," * 4 * VALUES}))).calls[0].tool == "t"
        for many in (
            {"x": [0] * (VALUES + 1)},
            {"x": [[]] * VALUES},
            {str(number): None for number in range(VALUES + 1)},
            {"x": [0] * (half + 1), "y": [0] * (half + 1)},
        ):
            with pytest.raises(Refused) as refused:
                form.decode(Calls, form.encode(calls(many)))
            assert (refused.value.status, refused.value.code) == (413, "body_too_large")
        shared = {"calls": [{"session": "s", "seq": seq, "tool": "t", "arguments": {"x": [0] * 1000}} for seq in range(VALUES // 1000)]}
        with pytest.raises(Refused):
            form.decode(Calls, form.encode(shared))
