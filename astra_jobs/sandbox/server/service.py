"""One server's life: prove, listen, serve, drain, end.

After SIGTERM no new session is taken, those that are open are served until they are closed or the drain's time is over,
and no process is left. A second SIGTERM, or Ctrl-C, ends the drain.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence

from astra_jobs.sandbox.pool.engine import Engine
from astra_jobs.sandbox.server.api import Api
from astra_jobs.sandbox.server.capabilities import capabilities, require, walls_of_all
from astra_jobs.sandbox.server.engines import Engines
from astra_jobs.sandbox.server.evidence import look
from astra_jobs.sandbox.server.front import Front
from astra_jobs.sandbox.server.metrics import family
from astra_jobs.sandbox.server.settings import ServerSettings

POLL = 0.05
"""Seconds between looks at what a drain waits for."""
LAST_ANSWERS = 2.0
"""Seconds that clients have to read their last answers when the server ends."""
log = logging.getLogger(__name__)


class Service:
    """The parts of one server. ``port`` is the real one after ``start``; ``engines`` are those of its variants."""

    def __init__(self, settings: ServerSettings, engines: Sequence[Engine] = ()) -> None:
        self.settings = settings
        self.engine = Engines(engines or [Engine(settings.pool.variant(number)) for number in range(settings.variants)])
        self.told: dict[str, object] = {}
        self.api = Api(self.engine, settings.key, settings.http.body, lambda: self.told, self.metrics_page)
        self.front = Front(self.api, settings.http)
        self.port = 0
        self.terminated = asyncio.Event()
        self.hurried = asyncio.Event()

    async def start(self) -> None:
        """Prove what was promised, then listen; raises WallMissing or a JobError, and leaves nothing behind then."""
        try:
            pod = look()
            require(tuple(name for name in self.settings.require if name in pod), pod, {})
            await self.engine.start()
            require(self.settings.require, pod, walls_of_all(self.engine.all))
            self.told = capabilities(self.settings, self.engine.all, pod)
            self.port = await self.front.listen(self.settings.host, self.settings.port)
        except BaseException:
            await self.engine.stop()
            raise

    def terminate(self) -> None:
        """Begin to drain; the second time, end."""
        if self.terminated.is_set():
            self.hurried.set()
        self.api.draining = True
        self.terminated.set()

    def interrupt(self) -> None:
        """End without a drain."""
        self.hurried.set()
        self.terminate()

    async def serve(self) -> None:
        """Serve until told to end, drain, and end every process."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.terminate)
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        try:
            await self.terminated.wait()
            await self.drain(self.settings.drain_seconds)
        finally:
            await self.stop()

    async def drain(self, seconds: float) -> None:
        """Wait until no session is open and no request waits, at most so many seconds."""
        self.api.draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        log.info("draining: %d sessions, at most %g s", self.engine.counts().get("sessions", 0), seconds)
        while loop.time() < until and not self.hurried.is_set():
            if not self.engine.counts().get("sessions", 0) and not self.front.pending:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.hurried.wait(), min(POLL, max(0.0, until - loop.time())))

    async def stop(self) -> None:
        """End sessions, answer what waits, close connections."""
        self.api.draining = True
        self.front.stop_listening()
        await self.engine.stop()
        await self.front.close(LAST_ANSWERS)
        if self.api.tasks:
            await asyncio.wait(self.api.tasks, timeout=LAST_ANSWERS)

    def metrics_page(self) -> str:
        """Return everything that is counted, as Prometheus reads it."""
        front = self.front
        requests = [({"route": route, "status": status}, float(count)) for (route, status), count in sorted(front.requests.items())]
        parts = [
            family("http_requests_total", "counter", "Requests answered, by route and status.", requests),
            family("http_connections", "gauge", "Open connections.", [({}, len(front.connections))]),
            family("http_pending_requests", "gauge", "Requests that wait for their answers.", [({}, front.pending)]),
            family("http_body_bytes", "gauge", "Bytes of bodies being received.", [({}, front.bodies)]),
            family("http_connections_cut_total", "counter", "Connections cut because answers were left unread.", [({}, front.cut)]),
            family("draining", "gauge", "1 while no new sessions are taken.", [({}, self.api.draining)]),
            self.api.metrics.text(),
        ]
        parts += [family(f"pool_{name}", "untyped", "A figure of the pool.", [({}, value)]) for name, value in self.engine.counts().items()]
        return "".join(parts)
