"""Sends together what is asked together: everything of one turn of the event loop, bounded in number and bytes.

Requests do not wait for each other, so a slow one holds up only what went with it. ``hold`` keeps back what was not sent
yet, for a server that asked to be left alone.
"""

import asyncio
import functools
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

Asked = TypeVar("Asked")
Given = TypeVar("Given")
Send = Callable[[list[Asked]], Coroutine[Any, Any, Sequence[Given]]]


class Batcher(Generic[Asked, Given]):
    """Collects and sends. ``send`` answers a batch in its order; what it raises, everybody of the batch gets."""

    def __init__(self, send: Send[Asked, Given], number: int, size: int) -> None:
        self._send = send
        self._number, self._size = number, size
        self._waiting: deque[tuple[Asked, int, int, asyncio.Future[Given]]] = deque()
        self._timer: asyncio.Handle | None = None
        self._tasks: set[asyncio.Task[Sequence[Given]]] = set()
        self.held_until = 0.0

    def ask(self, what: Asked, number: int, size: int) -> "asyncio.Future[Given]":
        """Take something to be sent, that counts for ``number`` and has ``size`` bytes; the future gets its answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Given] = loop.create_future()
        self._waiting.append((what, number, size, future))
        if self._timer is None:
            wait = self.held_until - time.monotonic()
            self._timer = loop.call_later(wait, self._flush) if wait > 0 else loop.call_soon(self._flush)
        return future

    def hold(self, seconds: float) -> None:
        """Send nothing new for so long."""
        self.held_until = max(self.held_until, time.monotonic() + seconds)

    async def stop(self) -> None:
        """End every request; who waits for an answer is cancelled."""
        if self._timer is not None:
            self._timer.cancel()
        for *_, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _flush(self) -> None:
        self._timer = None
        while self._waiting:
            batch = self._next()
            task = asyncio.get_running_loop().create_task(self._send([what for what, _ in batch]))
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._settle, [future for _, future in batch]))

    def _next(self) -> list[tuple[Asked, asyncio.Future[Given]]]:
        """Take the next batch: at least one, however big it is."""
        batch: list[tuple[Asked, asyncio.Future[Given]]] = []
        numbers = sizes = 0
        while self._waiting:
            what, number, size, future = self._waiting[0]
            if batch and (numbers + number > self._number or sizes + size > self._size):
                break
            self._waiting.popleft()
            batch.append((what, future))
            numbers, sizes = numbers + number, sizes + size
        return batch

    def _settle(self, futures: "list[asyncio.Future[Given]]", task: "asyncio.Task[Sequence[Given]]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        for index, future in enumerate(futures):
            if future.done():
                continue
            if task.cancelled():
                future.cancel()
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(task.result()[index])
