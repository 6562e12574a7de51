"""One client's connection: bytes to requests, answers to bytes, in order and within bounds.

No task and no future for a request: the parser calls, the application answers when it can, and what is ready is written
together. What a client sends is never trusted: head, body, time, requests in flight and unread answers are bounded, and
a request that breaks the protocol is answered, after those before it, and ends the connection.
"""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from astra_jobs.sandbox.server.exchange import CONTINUE, Answering, Application, Exchange, Refused

if TYPE_CHECKING:
    from astra_jobs.sandbox.server.front import Front

IDLE, HEAD, BODY = range(3)
READ_FIELDS = frozenset((b"authorization", b"content-type", b"content-encoding", b"content-length", b"accept", b"expect"))
"""Headers that mean something here; each may come once."""
log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """The protocol of one socket. ``began`` is when the present phase began, on the loop's clock."""

    def __init__(self, front: "Front", application: Application) -> None:
        self.front = front
        self.bounds = front.bounds
        self.application = application
        self.pending: deque[Exchange] = deque()
        self.held = 0  # bytes of answers that wait for their turn
        self.phase, self.began = HEAD, front.now()
        self.closing = self.ended = self.unread = self.paused = self.half = False
        self.unread_since = 0.0
        self.feeding = self.continuing = False
        self.completed = 0  # requests that ended in the bytes that came last
        self.method = self.path = b""
        self.fields: dict[bytes, bytes] = {}
        self.length = self.head_size = self.headers = 0
        self.fed = 0  # bytes of reads that held nothing but a part of this head
        self.exchange: Exchange | None = None
        self.latest: Exchange  # the last that was whole
        self.content: bytes | bytearray = b""
        self.received = 0

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or end at once when there are too many connections."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not say that they are
        self.parser = httptools.HttpRequestParser(self)
        if not self.front.joined(self):
            self.fail(Refused(503, "overloaded", "too many connections", b"retry-after: 1\r\n"))

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection; calls that run go on, and their answers find nobody."""
        self.ended = self.closing = True
        self.drop_body()
        self.pending.clear()
        self.front.left(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came; answers that are ready afterwards go out in one write."""
        if self.closing:
            return
        boundary = self.phase == IDLE and not self.continuing
        if boundary and (known := self.front.heads.find(data, self)) is not None:
            self.feeding = True
            self.serve(known)
            self.feeding = False
        else:
            self.parse(data, boundary)
        self.settle()

    def parse(self, data: bytes, boundary: bool) -> None:
        """Let the parser read; ``boundary`` says that a request begins with the first byte."""
        self.feeding, self.completed = True, 0
        try:
            self.parser.feed_data(data)
            if self.phase == HEAD and not self.completed:
                self.fed += len(data)
                self.check_head()
        except Refused as refused:
            self.fail(refused)
        except httptools.HttpParserCallbackError as error:
            self.fail(self.reason(error.__context__))
        except httptools.HttpParserInvalidMethodError:
            self.fail(Refused(501, "unknown_method", "this is no method of HTTP/1.1"))
        except httptools.HttpParserError as error:
            self.fail(Refused(400, "bad_request", f"not HTTP/1.1: {error}"))
        else:
            if boundary and self.completed == 1 and self.phase == IDLE and not self.closing and b"expect" not in self.fields:
                self.front.heads.learn(data, self.length, self.latest)
        finally:
            self.feeding = False

    def eof_received(self) -> bool:
        """Keep a half-closed connection open while it waits for answers."""
        self.closing = self.half = True
        if self.pending and not self.ended:
            self.pending[-1].last = True
            return True
        return False

    def pause_writing(self) -> None:
        """Read no more from a client that does not read its answers."""
        self.unread, self.unread_since = True, self.front.now()
        self.flow()

    def resume_writing(self) -> None:
        """Go on reading."""
        self.unread = False
        self.flow()

    # what the parser calls

    def on_message_begin(self) -> None:
        """Begin a request; there is none after one that said it was the last."""
        if self.closing:
            raise Refused(400, "bad_request", "a request after the last")
        self.phase, self.began = HEAD, self.front.now()
        self.method = self.path = b""
        self.fields = {}
        self.head_size = self.headers = self.fed = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers that mean something; those after a body only count."""
        self.headers += 1
        self.head_size += len(name) + len(value) + 4
        if self.headers > self.bounds.headers or self.head_size > self.bounds.head:
            self.check_head()
        if self.phase == HEAD:
            name = name.lower()
            if name in READ_FIELDS:
                if name in self.fields:
                    raise Refused(400, "bad_request", f"the header {name.decode()} came twice")
                self.fields[name] = value

    def on_headers_complete(self) -> None:
        """Decide by the head alone if the request is served, before its body comes."""
        self.check_head()
        parser = self.parser
        self.method = parser.get_method()
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise Refused(505, "bad_version", "the version must be HTTP/1.1")
        if parser.should_upgrade():
            raise Refused(405 if self.method == b"CONNECT" else 400, "no_upgrade", "this server speaks plain HTTP/1.1 only")
        self.length = int(self.fields.get(b"content-length", -1))
        self.exchange = self.application.admit(self)
        self.phase, self.began, self.received = BODY, self.front.now(), 0
        expected = self.fields.get(b"expect")
        if expected is not None and version == "1.1":
            if expected.lower() != b"100-continue":
                raise Refused(417, "bad_expectation", "the only expectation that is met is 100-continue")
            self.continuing = True

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body, within the route's bound and the bound of all bodies at once."""
        assert self.exchange is not None
        assert self.exchange.route is not None
        size = len(piece)
        self.continuing = False  # it did not wait to be told
        if self.received + size > self.exchange.route.body:
            raise Refused(413, "body_too_large", f"the body is longer than {self.exchange.route.body} bytes")
        if not self.front.reserve(size):
            raise Refused(503, "overloaded", "too many bodies at once", b"retry-after: 1\r\n")
        self.received += size
        if not self.content:
            self.content = piece
        else:
            if isinstance(self.content, bytes):
                self.content = bytearray(self.content)  # many pieces: appending to bytes would copy each time
            self.content += piece

    def on_message_complete(self) -> None:
        """Hand the request to the application."""
        exchange = self.exchange
        assert exchange is not None
        exchange.body = self.content
        exchange.last = not self.parser.should_keep_alive() or self.parser.get_http_version() == "1.0"
        self.drop_body()
        self.exchange, self.continuing = None, False
        self.completed += 1
        self.phase, self.began = IDLE, self.front.now()
        if exchange.last:
            self.closing = True
        self.latest = exchange
        self.serve(exchange)

    def serve(self, exchange: Exchange) -> None:
        """Hand a whole request to the application."""
        self.pending.append(exchange)
        with Answering(exchange):
            self.application.handle(exchange)

    # what the application and the front call

    def answered(self, exchange: Exchange) -> None:
        """Count an answer and send it when its turn has come; an answer for a client that has gone is dropped."""
        self.front.count(exchange)
        if self.ended:
            return
        assert exchange.data is not None
        self.held += len(exchange.data)
        if self.held + self.transport.get_write_buffer_size() > self.bounds.answers:
            self.front.cut += 1
            self.abort()
        elif not self.feeding:
            self.settle()

    def settle(self) -> None:
        """Write the answers whose turn it is; end the connection after the last."""
        if self.ended:
            return
        pending = self.pending
        ready = []
        last = False
        while pending and pending[0].data is not None:
            exchange = pending.popleft()
            assert exchange.data is not None
            ready.append(exchange.data)
            last = exchange.last
        if self.continuing and not pending:
            self.continuing = False
            ready.append(CONTINUE)
        if ready:
            data = ready[0] if len(ready) == 1 else b"".join(ready)
            self.held -= len(data) - (len(CONTINUE) if ready[-1] is CONTINUE else 0)
            if not pending:
                self.began = self.front.now()
            self.transport.write(data)
            if last:
                self.linger()
        if self.paused or len(pending) >= self.bounds.pipelined:
            self.flow()

    def fail(self, refused: Refused) -> None:
        """Answer a request that is not served, after those before it, and end the connection."""
        if self.closing:
            return
        exchange = self.exchange or Exchange(self, self.method)
        self.exchange, self.continuing = None, False
        exchange.last = self.closing = True
        self.drop_body()
        self.pending.append(exchange)
        exchange.refuse(refused)

    def linger(self) -> None:
        """Say that nothing more comes, and wait for the client to close: a reset could take the answer from it."""
        self.closing, self.began = True, self.front.now()
        if self.half:
            self.transport.close()
        else:
            self.transport.write_eof()

    def abort(self) -> None:
        """Cut the connection."""
        self.closing = self.ended = True
        self.pending.clear()
        self.transport.abort()

    def flow(self) -> None:
        """Pause or resume reading, as far as the client reads and answers go out."""
        paused = not self.closing and (self.unread or len(self.pending) >= self.bounds.pipelined)
        if paused == self.paused or self.ended:
            return
        self.paused = paused
        if paused:
            self.transport.pause_reading()
        else:
            self.began = self.front.now()  # time in which nothing was read is not the client's
            self.transport.resume_reading()

    def sweep(self, now: float) -> None:
        """Enforce the deadlines; the front calls it a few times a second."""
        bounds, waited = self.bounds, now - self.began
        if self.unread and now - self.unread_since > bounds.write_seconds:
            self.front.cut += 1
            self.abort()
        elif self.closing:
            flushed = not self.transport.get_write_buffer_size()
            if not self.pending and waited > (bounds.linger_seconds if flushed else bounds.write_seconds):
                self.abort()
        elif self.paused:
            return
        elif self.phase == IDLE:
            if not self.pending and waited > bounds.idle_seconds:
                self.closing = True
                self.transport.close()
        elif waited > (bounds.head_seconds if self.phase == HEAD else bounds.body_seconds):
            self.fail(Refused(408, "too_slow", "the request took too long to arrive"))

    def finish(self) -> None:
        """End the connection when what it waits for has been answered: the server stops."""
        if self.pending:
            self.pending[-1].last = self.closing = True
        elif not self.closing:
            self.closing = True
            self.transport.close()

    # helpers

    def check_head(self) -> None:
        """Raise when target and headers are too long."""
        if len(self.path) > self.bounds.head // 2:
            raise Refused(414, "target_too_long", f"the target is longer than {self.bounds.head // 2} bytes")
        if self.headers > self.bounds.headers or max(self.fed, self.head_size + len(self.path)) > self.bounds.head:
            raise Refused(431, "head_too_large", f"more than {self.bounds.headers} headers or {self.bounds.head} bytes of them")

    def drop_body(self) -> None:
        """Give back what the body held of the bound of all bodies."""
        if self.received:
            self.front.release(self.received)
        self.content, self.received = b"", 0

    def reason(self, error: BaseException | None) -> Refused:
        """Return what a callback of the parser refused."""
        if isinstance(error, Refused):
            return error
        log.error("reading a request failed", exc_info=error)
        return Refused(500, "internal_error", "the server made a mistake; its log says more")
