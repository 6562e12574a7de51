"""One request and its answer, as the connection and the routes hand it to each other.

It knows nothing of sockets and nothing of tools. An exchange is answered once, at once or later; a second answer is ignored.
"""

import logging
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol

import msgspec

log = logging.getLogger(__name__)
JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
_encode = msgspec.json.Encoder().encode
_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_FINE = _LINES[200] + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Refused(Exception):
    """A request that is answered with an error: status, error code, one line for a person, more header lines."""

    def __init__(self, status: int, code: str, message: str, headers: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def body(self) -> bytes:
        """Return the error as JSON, whatever form the request had: it may be the form that was not understood."""
        return _encode({"error": self.code, "message": self.message})


class Waiter(Protocol):
    """Whoever sends answers off."""

    def answered(self, exchange: "Exchange") -> None:
        """Take note that an exchange has its answer now."""


class Head(Waiter, Protocol):
    """What is known of a request when its headers have been read; its answer goes back to it."""

    method: bytes
    path: bytes
    fields: dict[bytes, bytes]
    length: int
    """Announced bytes of the body; -1 when it comes in chunks."""


class Route(Protocol):
    """A path of the service."""

    @property
    def name(self) -> str:
        """Return how metrics call it."""

    @property
    def body(self) -> int:
        """Return how many bytes of a body it takes."""


class Exchange:
    """A whole request; ``data`` is None until it has been answered."""

    __slots__ = ("answer_form", "argument", "body", "data", "form", "head_only", "last", "method", "route", "status", "waiter")

    def __init__(self, waiter: Waiter, method: bytes, route: Route | None = None, argument: str = "") -> None:
        self.waiter = waiter
        self.method = method
        self.route = route
        self.argument = argument
        self.head_only = method == b"HEAD"
        self.last = False
        """The connection ends after this answer."""
        self.body: bytes | bytearray = b""
        self.form: Any = None
        self.answer_form: Any = None
        self.status = 0
        self.data: bytes | None = None

    def answer(self, status: int, body: bytes, kind: bytes = JSON, headers: bytes = b"") -> None:
        """Answer with a body of some content type; ``headers`` are whole lines."""
        if self.data is not None:
            return
        self.status = status
        if status == 200 and kind is JSON and not self.last and not headers:
            head = _FINE % len(body)
        else:
            closing = b"connection: close\r\n" if self.last else b""
            content = b"" if status == 204 else b"content-type: %s\r\ncontent-length: %d\r\n" % (kind, len(body))
            head = b"".join((_LINES[status], content, headers, closing, b"\r\n"))
        self.data = head if self.head_only else head + body
        self.waiter.answered(self)

    def refuse(self, refused: Refused) -> None:
        """Answer with an error."""
        self.answer(refused.status, refused.body(), JSON, refused.headers)


class Application(Protocol):
    """What the connections serve."""

    def admit(self, head: Head) -> Exchange:
        """Return an exchange for a request whose body may come; raises Refused before any of it is read."""

    def handle(self, exchange: Exchange) -> None:
        """See to it that an exchange with its whole body is answered, now or later."""


class Answering:
    """Answer an exchange with whatever goes wrong in here: the server's boundary, beside which nothing catches everything."""

    __slots__ = ("exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """Answer with the error, unless it is one that ends the process."""
        if error is None or not isinstance(error, Exception):
            return False
        exchange = self.exchange
        if isinstance(error, Refused):
            exchange.refuse(error)
        else:
            name = exchange.route.name if exchange.route else "?"
            log.error("%s %s failed", exchange.method.decode(), name, exc_info=error)
            exchange.refuse(Refused(500, "internal_error", "the server made a mistake; its log says more"))
        return True
