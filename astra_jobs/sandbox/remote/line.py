"""One server and what is known of its health: asks until there is an answer, and tells a slow server from one that is gone.

The same request may be sent any number of times: calls and sessions have names and numbers by which the server knows them.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from astra_jobs.sandbox.remote.connection import Connection
from astra_jobs.sandbox.remote.metrics import Metrics
from astra_jobs.sandbox.remote.settings import Settings
from astra_jobs.sandbox.remote.troubles import Busy, Exhausted, NoAnswer, Unreachable

TRIES = 3
"""Requests without an answer, one after the other, after which the server is looked at."""
WEDGED = 10
"""The same for a server that looks well: some eleven seconds of them."""
LOOK = 2.0
"""Seconds that a look at a server may take."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
_DRAWS = random.Random()

Answer = TypeVar("Answer")


def pause_after(tries: int) -> float:
    """Return the seconds to wait after so many failures: doubled each time, and drawn, so that clients do not come back together."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * float(2 ** min(tries - 1, 10))) * _DRAWS.uniform(0.5, 1.5)


def pause_of(after: float | None) -> float:
    """Return the seconds to wait when a server asks for so many: never less, and drawn."""
    return (FIRST_PAUSE if after is None else min(max(after, 0.001), 10.0)) * _DRAWS.uniform(1.0, 1.5)


class Line:
    """A server's connection and health. ``down``: it has gone for now. ``gone``: its name no longer points at it."""

    def __init__(self, connection: Connection, settings: Settings, metrics: Metrics) -> None:
        self.connection, self.settings, self.metrics = connection, settings, metrics
        self.url = connection.url
        self.down = False
        self.gone = False
        self._requests: set[asyncio.Task[object]] = set()
        self._look: asyncio.Task[bool] | None = None

    async def insist(self, ask: Callable[[], Awaitable[Answer]], deadline: float, *, wait: bool = False) -> Answer:
        """Ask until there is an answer; Unreachable when the server has gone, Exhausted when the deadline comes first.

        A busy server is waited for when ``wait`` says so, else it raises Busy.
        """
        tries = 0
        while True:
            if self.down:
                raise Unreachable(f"{self.url} is gone")
            try:
                return await ask()
            except Busy as busy:
                if not wait:
                    raise
                self.metrics.add("retries_busy")
                pause, end = pause_of(busy.after), Exhausted("overloaded", str(busy))
            except NoAnswer as silence:
                self.metrics.add("retries_no_answer")
                tries += 1
                if tries == WEDGED or ((self.gone or tries >= TRIES) and not self.down and not await self.alive()):
                    self.fall()
                pause, end = pause_after(tries), Exhausted("infra_error", str(silence))
            if self.down:
                continue
            if time.monotonic() + pause >= deadline:
                raise end
            await asyncio.sleep(pause)

    async def exchange(self, method: str, path: str, body: tuple[bytes, str] | None, kind: type[Answer]) -> Answer:
        """Ask once; NoAnswer also when the server is silent and gone, or silent for too long."""
        self.metrics.add("requests")
        begun = time.monotonic()
        asking = asyncio.ensure_future(self.connection.exchange(method, path, body, kind))
        self._requests.add(asking)
        try:
            while not (await asyncio.wait([asking], timeout=self.settings.silence))[0]:
                if time.monotonic() - begun >= self.settings.request:
                    raise NoAnswer(f"{self.url} gave no answer in {self.settings.request:g} s")
                if not await self.alive():
                    self.fall()
            if asking.cancelled():
                raise NoAnswer(f"{self.url} is gone")
            self.metrics.timed("round_trip", time.monotonic() - begun)
            return asking.result()
        finally:
            self._requests.discard(asking)
            if not asking.done():
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    async def alive(self) -> bool:
        """Tell whether the server answers at all; those who ask at the same time share one look."""
        if self._look is None or self._look.done():
            self._look = asyncio.ensure_future(self._looks())
        return await asyncio.shield(self._look)

    async def _looks(self) -> bool:
        """Look twice: a server that was short of CPU for a moment is not gone."""
        seconds = min(LOOK, self.settings.silence)
        return await self.connection.looks("/healthz", seconds) or await self.connection.looks("/healthz", seconds)

    def fall(self) -> None:
        """Take the server for gone: nothing waits for its answers any longer."""
        if not self.down:
            self.down = True
            self.metrics.add("endpoints_lost")
            for asking in list(self._requests):
                asking.cancel()

    async def stop(self) -> None:
        """End what is under way."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
