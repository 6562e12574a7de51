"""All connections of one server: their number, their memory and their deadlines, watched by one timer.

What is served is the application's; this module knows bytes and time only.
"""

import asyncio
from collections import Counter

from astra_jobs.sandbox.server.bounds import HttpBounds
from astra_jobs.sandbox.server.connection import Connection
from astra_jobs.sandbox.server.exchange import Application, Exchange
from astra_jobs.sandbox.server.heads import Heads


class Front:
    """The listening side. ``requests`` counts answers by route and status, ``cut`` connections that left answers unread."""

    def __init__(self, application: Application, bounds: HttpBounds) -> None:
        self.application = application
        self.bounds = bounds
        self.connections: set[Connection] = set()
        self.heads = Heads()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.bodies = 0
        self.cut = 0
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self._empty = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Accept connections; return the port, which the system chooses for 0."""
        self._server = await self.loop.create_server(self._protocol, host, port, backlog=1024)
        self._sweep()
        return int(self._server.sockets[0].getsockname()[1])

    def _protocol(self) -> Connection:
        return Connection(self, self.application)

    def stop_listening(self) -> None:
        """Accept no more connections; those that are open go on."""
        if self._server is not None:
            self._server.close()

    async def close(self, seconds: float) -> None:
        """End every connection: idle ones now, others after their answers, what is left after so many seconds."""
        self.stop_listening()
        self._empty.clear()
        for connection in list(self.connections):
            connection.finish()
        try:
            if self.connections:
                await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            for connection in list(self.connections):
                connection.abort()
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    @property
    def pending(self) -> int:
        """Return how many requests wait for their answers."""
        return sum(len(connection.pending) for connection in self.connections)

    def joined(self, connection: Connection) -> bool:
        """Take a new connection; False when there are too many, and it is to be told so."""
        self.connections.add(connection)
        return len(self.connections) <= self.bounds.connections

    def left(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def count(self, exchange: Exchange) -> None:
        """Count an answer."""
        self.requests[exchange.route.name if exchange.route else "none", exchange.status] += 1

    def reserve(self, size: int) -> bool:
        """Take room for a piece of a body; False when all bodies together would be too many bytes."""
        if self.bodies + size > self.bounds.bodies:
            return False
        self.bodies += size
        return True

    def release(self, size: int) -> None:
        """Give room back."""
        self.bodies -= size

    def _sweep(self) -> None:
        now = self.now()
        for connection in list(self.connections):
            connection.sweep(now)
        bounds = self.bounds
        shortest = min(bounds.head_seconds, bounds.body_seconds, bounds.idle_seconds, bounds.write_seconds, bounds.linger_seconds)
        self._timer = self.loop.call_later(min(1.0, shortest / 4), self._sweep)
