"""Keeps a base zygote running: starts it, and starts another where one has died, within a budget of deaths in a time.

The first deaths are made good at once, those that follow after pauses that double. A pool whose budget is spent, or that has
had no base zygote for long, is not alive: its calls are infrastructure, and whoever watches the process may start it anew.
Left alone it goes on trying, and is alive again once a base zygote has held out.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from astra_jobs.sandbox.inside.frames import FAILED, HELLO
from astra_jobs.sandbox.pool.link import Base, Events

DEATHS = 5
"""Deaths within ``WINDOW`` seconds that are one too many."""
WINDOW = 60.0
AT_ONCE = 2
"""Deaths within ``WINDOW`` that are made good without a pause."""
PAUSE, LONGEST_PAUSE = 0.25, 30.0
START_SECONDS = 30.0
"""Seconds that a base zygote may take until it says that it is ready."""
PATIENCE = 60.0
"""Seconds without a base zygote that is ready after which a pool is not alive."""


class NoBase(Exception):
    """There is no base zygote, and there shall be none soon."""


class Bases:
    """The base zygotes of one pool, one after the other. ``changed`` is called whenever one became ready or died."""

    def __init__(self, told: Callable[[], dict[str, Any]], hash_seed: int, event: Events, changed: Callable[[], None]) -> None:
        self.base: Base | None = None
        self.started = 0
        self.size = 0
        """Bytes of address space that a base zygote needs; 0 until one was ready."""
        self.failed: int | None = None
        """Error number with which the system refused the filter."""
        self._told, self._hash_seed, self._event, self._changed = told, hash_seed, event, changed
        self._up = False
        self._since = 0.0
        """When the last one that was ready died."""
        self._deaths: deque[float] = deque()
        self._dead: list[Base] = []
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._loop = asyncio.get_running_loop()

    def start(self) -> Base:
        """Start a base zygote."""
        self._dead = [one for one in self._dead if one.process.poll() is None]
        self.started += 1
        base = self.base = Base(self._told(), self._hash_seed, partial(self._report, self.started), partial(self._ended, self.started))
        self._timer = self._loop.call_later(START_SECONDS, self._late, base)
        return base

    def get(self) -> Base | None:
        """Return the base zygote; None where it is still starting, or one is waited for. Raises NoBase."""
        if not self.alive:
            raise NoBase
        return self.base if self._up else None

    @property
    def ready(self) -> bool:
        """Tell whether there is a base zygote that works and the budget is kept."""
        return self._up and self.alive

    @property
    def alive(self) -> bool:
        """Tell whether the budget of deaths is kept and a base zygote is there or may soon be."""
        now = self._loop.time()
        while self._deaths and now - self._deaths[0] > WINDOW:
            self._deaths.popleft()
        if self._stopped or len(self._deaths) >= DEATHS:
            return False
        return self._up or not self.size or now - self._since < PATIENCE

    def _report(self, number: int, operation: bytes, at: int, value: int) -> None:
        if operation == HELLO and number == self.started:
            self.size, self._up = max(value, 1), True
            self._changed()
        elif operation == FAILED:
            self.failed = value
        self._event(operation, at, value)

    def _ended(self, number: int) -> None:
        if self._stopped or number != self.started or self.base is None:
            return
        now = self._loop.time()
        self._dead.append(self.base)
        self._since, self._up = now if self._up else self._since, False
        self._deaths.append(now)
        if self._timer is not None:
            self._timer.cancel()
        if self.size:  # one that never worked is reported by whoever started the pool
            alive = self.alive  # forgets deaths that are past
            more = len(self._deaths) - AT_ONCE
            pause = 0.0 if more <= 0 and alive else min(LONGEST_PAUSE, PAUSE * 2.0 ** min(more - 1, 20))
            self._timer = self._loop.call_later(pause, self.start)
        self._changed()

    def _late(self, base: Base) -> None:
        if not self._up and base is self.base:
            base.process.kill()

    async def stop(self) -> None:
        """End every base zygote, and all that was forked from it."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for base in (*self._dead, *([self.base] if self.base is not None and self.base not in self._dead else [])):
            await base.stop()
