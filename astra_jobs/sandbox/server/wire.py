"""What goes over the wire, as JSON or MessagePack: the shapes of requests and answers, checked while they are decoded.

Values of arguments are data of JSON in both forms: what only MessagePack can say (bytes, times, keys that are no text) is
refused. A result's text is carried as it came from the session and is never parsed here.
"""

import math
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from astra_jobs.sandbox.server.exchange import Refused

NAME = r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"
"""Anchored by ``\\Z``: ``$`` would let a line break stand behind the name."""
CALLS = 4096
"""Most calls, sessions or names of sessions in one request."""
VALUES = 100_000
"""Most values in the arguments, logs or schemas of one request. Reading them keeps the event loop for some ten milliseconds; a text of
any length is one value."""
DEPTH = 200
"""Deepest nesting of arguments and schemas."""
Milliseconds = Annotated[int, Meta(ge=0, le=86_400_000)]
Text = Annotated[str, Meta(max_length=256)]
Name = Annotated[str, Meta(pattern=NAME)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Number = Annotated[int, Meta(ge=0, le=2**53)]


class Call(Struct, forbid_unknown_fields=True, gc=False):
    """One call; ``deadline_ms`` is what remains, and waiting for a turn counts."""

    session: Text
    seq: Number
    tool: Text
    arguments: dict[str, Any]
    deadline_ms: Milliseconds | None = None


class Calls(Struct, forbid_unknown_fields=True, gc=False):
    """Body of ``POST /v1/calls``."""

    calls: Annotated[list[Call], Meta(max_length=CALLS)]


class NewSession(Struct, forbid_unknown_fields=True):
    """A session to be started, in a variant. ``log`` holds [tool, arguments, outcome, text] of calls to be made again first."""

    environment: Text
    seed: Seed
    variant: int = 0
    session: Name | None = None
    lease_ms: Annotated[int, Meta(ge=1000, le=86_400_000)] | None = None
    log: list[tuple[str, dict[str, Any], str, str]] = []


class NewSessions(Struct, forbid_unknown_fields=True):
    """Body of ``POST /v1/sessions``."""

    sessions: Annotated[list[NewSession], Meta(max_length=CALLS)]


class Fork(Struct, forbid_unknown_fields=True):
    """Body of ``POST /v1/sessions/{id}/fork``: ``upto`` is the number of the last call that the new session has made."""

    session: Name | None = None
    upto: Number | None = None


class Heartbeat(Struct, forbid_unknown_fields=True):
    """Body of ``POST /v1/heartbeat``."""

    sessions: Annotated[list[Text], Meta(max_length=16 * CALLS)]


class Tool(Struct, forbid_unknown_fields=True):
    """A tool as the server is given it."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    parameters: dict[str, Any]
    code: str


class Tools(Struct, forbid_unknown_fields=True):
    """Body of ``PUT /v1/envs/{digest}``."""

    tools: list[Tool]


class Result(Struct, omit_defaults=True, gc=False):
    """What one call gave."""

    outcome: str
    text: str
    cpu_seconds: float
    state: str
    retry_after_ms: int | None = None


class Refusal(Struct, omit_defaults=True, gc=False):
    """Why one item of a request was refused."""

    error: str
    message: str
    retry_after_ms: int | None = None


class Started(Struct, gc=False):
    """A session that there is now."""

    session: str


class Results(Struct, gc=False):
    """Answer to ``POST /v1/calls``, in the order of the calls."""

    results: list[Result | Refusal]


class Sessions(Struct, gc=False):
    """Answer to ``POST /v1/sessions``, in the order of the request."""

    sessions: list[Started | Refusal]


BODIES = (Calls, NewSessions, Fork, Heartbeat, Tools)


class Form:
    """JSON or MessagePack."""

    def __init__(self, kind: bytes, encode: Callable[[Any], bytes], decoders: dict[Any, Callable[[bytes | bytearray], Any]]) -> None:
        self.kind = kind
        self.encode = encode
        self.decoders = decoders

    def decode(self, body: type[Any], data: bytes | bytearray) -> Any:
        """Return a body of one of ``BODIES``; raises Refused that names the field."""
        try:
            return self.decoders[body](data)
        except msgspec.ValidationError as error:
            raise Refused(400, "bad_request", _line(str(error))) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused(400, "bad_body", f"not {self.kind.decode()}: {_line(str(error))}") from None
        except RecursionError:
            raise Refused(400, "bad_request", "the body is nested too deeply") from None


def _line(message: str) -> str:
    return re.sub(r"[^\x20-\x7e]+", "?", message)[:300]


def check_plain(value: Any, depth: int = DEPTH, left: int = VALUES) -> int:
    """Return how many more values there may be; raises Refused for too many, too deep a nesting, and what JSON has no form for."""
    kind = type(value)
    if kind is list or kind is dict:
        if depth == 0:
            raise Refused(400, "bad_request", f"arguments are nested deeper than {DEPTH} levels")
        if len(value) >= left:
            raise Refused(413, "body_too_large", f"a request holds more than {VALUES} values")
        for item in value if kind is list else _values(value):
            left = check_plain(item, depth - 1, left)
    elif not (kind is str or kind is int or kind is bool or value is None or (kind is float and math.isfinite(value))):
        raise Refused(400, "bad_request", f"{value!r:.40} is not data of JSON")
    return left - 1


def _values(value: dict[Any, Any]) -> Iterable[Any]:
    for key in value:
        if type(key) is not str:
            raise Refused(400, "bad_request", f"a key is a {type(key).__name__}; keys are text")
    return value.values()


def _msgpack(body: type[Any]) -> Callable[[bytes | bytearray], Any]:
    decode = msgspec.msgpack.Decoder(body).decode
    return lambda data: _checked(decode(data))


def _json(body: type[Any]) -> Callable[[bytes | bytearray], Any]:
    """JSON can say nothing that is not plain; only a body with so many brackets or commas can be too deep, or hold too much."""
    decode = msgspec.json.Decoder(body).decode

    def decoded(data: bytes | bytearray) -> Any:
        brackets = data.count(b"[") + data.count(b"{")
        suspect = brackets > DEPTH or (len(data) > VALUES and brackets + data.count(b",") > VALUES)
        return _checked(decode(data)) if suspect else decode(data)

    return decoded


def _checked(request: Any) -> Any:
    left = VALUES
    for value in _free(request):
        left = check_plain(value, DEPTH, left)
    return request


def _free(request: Any) -> list[Any]:
    """Return the parts of a body whose shape is the caller's own."""
    if isinstance(request, Calls):
        return [call.arguments for call in request.calls]
    if isinstance(request, NewSessions):
        return [entry[1] for session in request.sessions for entry in session.log]
    if isinstance(request, Tools):
        return [tool.parameters for tool in request.tools]
    return []


JSON_FORM = Form(b"application/json", msgspec.json.Encoder().encode, {body: _json(body) for body in BODIES})
MSGPACK_FORM = Form(b"application/msgpack", msgspec.msgpack.Encoder().encode, {body: _msgpack(body) for body in BODIES})
_FORMS = {
    b"application/json": JSON_FORM,
    b"application/msgpack": MSGPACK_FORM,
    b"application/x-msgpack": MSGPACK_FORM,
    b"application/vnd.msgpack": MSGPACK_FORM,
}


def form_of(fields: dict[bytes, bytes]) -> Form:
    """Return the form of a request's body; JSON when it does not say. Raises Refused for what is not spoken here."""
    kind = fields.get(b"content-type", b"application/json")
    form = _FORMS.get(kind) or _FORMS.get(kind.partition(b";")[0].strip().lower())
    if form is None:
        raise Refused(415, "unknown_form", "content-type must be application/json or application/msgpack")
    encoding = fields.get(b"content-encoding", b"identity")
    if encoding.lower() != b"identity":
        raise Refused(415, "unknown_form", "the body must not be compressed")
    return form


def answer_form_of(fields: dict[bytes, bytes], given: Form) -> Form:
    """Return the form of the answer: what ``accept`` names first, else that of the request."""
    accepted = fields.get(b"accept")
    if accepted is None or accepted == b"*/*":
        return given
    for part in accepted.split(b","):
        form = _FORMS.get(part.partition(b";")[0].strip().lower())
        if form is not None:
            return form
    return given
