"""The routes of SPEC 4: who may ask for what, and which part of the engine answers.

Everything but health, readiness and metrics needs the run's key. Whatever can be refused by the head of a request is
refused before its body is read.
"""

import asyncio
import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.arguments import losses_of
from astra_jobs.sandbox.pool.errors import Overloaded, SessionConflict, UnknownEnvironment
from astra_jobs.sandbox.protocol import ToolCode
from astra_jobs.sandbox.server.calls import OVERLOADED, RETRY_MS, Batch, refuse_overloaded, retry_ms
from astra_jobs.sandbox.server.engines import Engines
from astra_jobs.sandbox.server.exchange import TEXT, Answering, Exchange, Head, Refused
from astra_jobs.sandbox.server.metrics import KIND, CallMetrics
from astra_jobs.sandbox.server.wire import (
    JSON_FORM,
    Calls,
    Fork,
    Heartbeat,
    NewSession,
    NewSessions,
    Refusal,
    Sessions,
    Started,
    Tools,
    answer_form_of,
    form_of,
)

SMALL = 4096
"""Largest body, bytes, where none is needed."""
LONGEST = 256
"""Longest id in a path, characters."""
DRAINING = "this server is draining and takes no new sessions"

UNREADY = "the process that sessions are forked from has died and is being started again"
DEAD = "the process that sessions are forked from died too often, or does not come back: start this server anew"


@dataclass(frozen=True, slots=True)
class Route:
    """A path: its methods, the largest body it takes in bytes, and if it is open to whoever reaches the port."""

    name: str
    methods: dict[bytes, Callable[[Exchange], None]]
    body: int = SMALL
    open: bool = False


class Api:
    """The service of a server's engines. ``capabilities`` and ``page`` give what their routes answer."""

    def __init__(self, engine: Engines, key: bytes, largest: int, capabilities: Callable[[], Any], page: Callable[[], str]) -> None:
        self.engine = engine
        self.key = key
        self.capabilities = capabilities
        self.page = page
        self.draining = False
        self.metrics = CallMetrics()
        self.tasks: set[asyncio.Task[None]] = set()
        self.now = asyncio.get_running_loop().time
        self.exact = {
            b"/v1/calls": Route("calls", {b"POST": self.call}, largest),
            b"/v1/sessions": Route("sessions", {b"POST": self.create}, largest),
            b"/v1/heartbeat": Route("heartbeat", {b"POST": self.heartbeat}, largest),
            b"/v1/capabilities": Route("capabilities", {b"GET": self.tell}),
            b"/healthz": Route("healthz", {b"GET": self.healthy}, open=True),
            b"/readyz": Route("readyz", {b"GET": self.ready}, open=True),
            b"/metrics": Route("metrics", {b"GET": self.measure}, open=True),
        }
        self.below = {
            (b"envs", b""): Route("environment", {b"PUT": self.put}, largest),
            (b"envs", b"tools"): Route("tools", {b"GET": self.tools}),
            (b"sessions", b""): Route("session", {b"DELETE": self.delete}),
            (b"sessions", b"fork"): Route("fork", {b"POST": self.fork}),
        }

    # what connections call

    def admit(self, head: Head) -> Exchange:
        """Find the route and check key, method, size and form; raises Refused."""
        path = head.path.partition(b"?")[0]
        route, argument = self.exact.get(path), ""
        if route is None:
            route, argument = self._parametrised(path)
        if route is None or not route.open:
            self._authorise(head.fields.get(b"authorization", b""))
        if route is None:
            raise Refused(404, "unknown_path", "there is nothing at this path")
        method = b"GET" if head.method == b"HEAD" else head.method
        if method not in route.methods:
            allowed = b", ".join([*route.methods, *([b"HEAD"] if b"GET" in route.methods else [])])
            raise Refused(405, "unknown_method", f"this path takes {allowed.decode()}", b"allow: %s\r\n" % allowed)
        if head.length > route.body:
            raise Refused(413, "body_too_large", f"the body is longer than {route.body} bytes")
        exchange = Exchange(head, head.method, route, argument)
        if method in (b"POST", b"PUT"):
            exchange.form = form_of(head.fields)
            exchange.answer_form = answer_form_of(head.fields, exchange.form)
        else:
            exchange.answer_form = answer_form_of(head.fields, JSON_FORM)
        return exchange

    def handle(self, exchange: Exchange) -> None:
        """Answer a whole request, or begin to."""
        route = exchange.route
        assert isinstance(route, Route)
        route.methods[b"GET" if exchange.head_only else exchange.method](exchange)

    def _parametrised(self, path: bytes) -> tuple[Route | None, str]:
        parts = path.split(b"/")
        if len(parts) not in (4, 5) or parts[1] != b"v1" or not parts[-1]:
            return None, ""
        argument = unquote_to_bytes(parts[3])  # some clients write the colon of a digest as %3A
        route = self.below.get((parts[2], parts[4] if len(parts) == 5 else b""))
        if route is None or not argument.isascii() or not 0 < len(argument) <= LONGEST:
            return None, ""
        return route, argument.decode("ascii")

    def _authorise(self, given: bytes) -> None:
        scheme, _, key = given.partition(b" ")
        if not hmac.compare_digest(key.strip(), self.key) or scheme.lower() != b"bearer":
            raise Refused(401, "unauthorized", "the header Authorization must be: Bearer KEY", b"www-authenticate: Bearer\r\n")

    # routes

    def call(self, exchange: Exchange) -> None:
        """POST /v1/calls."""
        calls = exchange.form.decode(Calls, exchange.body).calls
        exchange.body = b""
        Batch(exchange, len(calls), self.metrics, self.now).run(self.engine, calls)

    def create(self, exchange: Exchange) -> None:
        """POST /v1/sessions."""
        wanted = exchange.form.decode(NewSessions, exchange.body).sessions
        exchange.body = b""
        answers = [self._created(item) for item in wanted]
        waits = [answer.retry_after_ms or RETRY_MS for answer in answers if isinstance(answer, Refusal) and answer.error == OVERLOADED]
        if waits and len(waits) == len(answers):
            refuse_overloaded(exchange, max(waits), answers[0].message if isinstance(answers[0], Refusal) else "")
        else:
            self._reply(exchange, Sessions(answers))

    def _created(self, item: NewSession) -> Started | Refusal:
        if self.draining:
            return Refusal(OVERLOADED, DRAINING, RETRY_MS)
        if not self.engine.alive:
            return Refusal(OVERLOADED, DEAD, RETRY_MS)
        lease = None if item.lease_ms is None else item.lease_ms / 1000
        try:
            return Started(self.engine.create(item.environment, item.seed, item.variant, session=item.session, lease=lease, log=item.log))
        except UnknownEnvironment as error:
            return Refusal("unknown_environment", str(error))
        except SessionConflict as error:
            return Refusal("session_conflict", str(error))
        except BadInput as error:
            return Refusal("bad_request", str(error))
        except Overloaded as error:
            return Refusal(OVERLOADED, str(error), retry_ms(error.retry_after))

    def fork(self, exchange: Exchange) -> None:
        """POST /v1/sessions/{id}/fork."""
        wanted = exchange.form.decode(Fork, exchange.body or exchange.form.encode({}))
        if self.draining:
            return refuse_overloaded(exchange, RETRY_MS, DRAINING)
        if not self.engine.alive:
            return refuse_overloaded(exchange, RETRY_MS, DEAD)
        try:
            made = self.engine.fork(exchange.argument, wanted.session, wanted.upto)
        except (KeyError, UnknownEnvironment):
            raise Refused(404, "unknown_session", "there is no such session") from None
        except SessionConflict as error:
            raise Refused(409, "session_conflict", str(error)) from None
        except Overloaded as error:
            return refuse_overloaded(exchange, retry_ms(error.retry_after), str(error))
        return self._reply(exchange, Started(made))

    def heartbeat(self, exchange: Exchange) -> None:
        """POST /v1/heartbeat."""
        names = exchange.form.decode(Heartbeat, exchange.body).sessions
        self._reply(exchange, {"unknown": self.engine.renew(names)})

    def delete(self, exchange: Exchange) -> None:
        """DELETE /v1/sessions/{id}; unknown ones are gone already."""
        self._later(exchange, self._delete(exchange))

    async def _delete(self, exchange: Exchange) -> None:
        await self.engine.close(exchange.argument)
        exchange.answer(204, b"")

    def put(self, exchange: Exchange) -> None:
        """PUT /v1/envs/{digest}."""
        tools = exchange.form.decode(Tools, exchange.body).tools
        exchange.body = b""
        bundle = [ToolCode(name=tool.name, parameters=tool.parameters, code=tool.code) for tool in tools]
        try:
            digest = digest_of([tool.to_dict() for tool in bundle])
        except (ValueError, RecursionError) as error:
            raise Refused(400, "bad_request", f"the tools have no digest: {str(error)[:200]}") from None
        if digest != exchange.argument:
            raise Refused(400, "digest_mismatch", f"the tools have the digest {digest}")
        if self.engine.environment(digest) is not None:
            self._reply(exchange, {"environment": digest})
        else:
            self._later(exchange, self._put(exchange, bundle))

    async def _put(self, exchange: Exchange, bundle: list[ToolCode]) -> None:
        try:
            digest = await self.engine.put(bundle)
        except BadInput as error:
            raise Refused(400, "bad_environment", str(error)) from None
        except Overloaded as error:
            refuse_overloaded(exchange, retry_ms(error.retry_after), str(error))
        else:
            losses = losses_of(bundle)
            self._reply(exchange, {"environment": digest, "losses": losses} if losses else {"environment": digest})

    def tools(self, exchange: Exchange) -> None:
        """GET /v1/envs/{digest}/tools: names and schemas, without the code."""
        bundle = self.engine.environment(exchange.argument)
        if bundle is None:
            raise Refused(404, "unknown_environment", "there is no environment of this digest")
        listed = [{"name": tool.name, "parameters": tool.parameters} for tool in bundle.tools]
        self._reply(exchange, {"environment": exchange.argument, "tools": listed})

    def tell(self, exchange: Exchange) -> None:
        """GET /v1/capabilities."""
        self._reply(exchange, {**self.capabilities(), "draining": self.draining})

    def healthy(self, exchange: Exchange) -> None:
        """GET /healthz: this process answers, and can start sessions now or soon."""
        if not self.engine.alive:
            raise Refused(503, "no_base", DEAD)
        exchange.answer(200, b"ok\n", TEXT)

    def ready(self, exchange: Exchange) -> None:
        """GET /readyz: this process takes sessions."""
        if self.draining:
            raise Refused(503, "draining", DRAINING)
        if not self.engine.ready:
            raise Refused(503, "no_base", UNREADY)
        exchange.answer(200, b"ok\n", TEXT)

    def measure(self, exchange: Exchange) -> None:
        """GET /metrics."""
        exchange.answer(200, self.page().encode(), KIND)

    # helpers

    def _reply(self, exchange: Exchange, answer: Any) -> None:
        form = exchange.answer_form
        exchange.answer(200, form.encode(answer), form.kind)

    def _later(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
        """Let work that has to wait answer the exchange; not for calls."""
        task = asyncio.get_running_loop().create_task(self._answered(exchange, work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answered(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
        with Answering(exchange):
            await work
