"""Hands runs from the queue to a pool of threads, a run to one thread at a time, and takes the results back.

The queue and the readers of runs belong to the loop; threads only look at runs. Any thread may wake a run.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from astra_operator.clusters.base import ClusterError, Fenced, RunKey
from astra_operator.controller import Controller
from astra_operator.metrics import Metrics
from astra_operator.reconcile import Outcome

_TURN_SECONDS = 5.0


class Workers:
    """Works on the runs of a controller until ``stop``. ``may_work`` tells if a run's namespace is this operator's now."""

    def __init__(self, controller: Controller, number: int, may_work: Callable[[RunKey], bool], metrics: Metrics) -> None:
        self._controller = controller
        self._number = number
        self._may_work = may_work
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="reconcile")
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._woken: set[RunKey] = set()
        self._news = asyncio.Event()
        self._stopping = False

    def wake(self, key: RunKey) -> None:
        """Say, from any thread, that something about a run may have changed."""
        with self._lock:
            first = not self._woken
            self._woken.add(key)
        if first:
            self._loop.call_soon_threadsafe(self._news.set)

    async def run(self, tick: Callable[[], None]) -> None:
        """Hand out runs; returns when ``stop`` was called and what was at work has ended. ``tick`` is called at every turn."""
        queue = self._controller.queue
        while not (self._stopping and not queue.busy):
            tick()
            self._news.clear()
            with self._lock:
                woken, self._woken = self._woken, set()
            for one in woken:
                self._controller.wake(one)
            while not self._stopping and queue.busy < self._number and (key := queue.get()) is not None:
                self._hand_out(key)
            wait = queue.wait() if queue.busy < self._number and not self._stopping else None
            try:
                async with asyncio.timeout(_TURN_SECONDS if wait is None else min(wait, _TURN_SECONDS)):
                    await self._news.wait()
            except TimeoutError:
                pass
        self._pool.shutdown()

    def stop(self) -> None:
        """Hand out nothing any more."""
        self._stopping = True
        self._news.set()

    def _hand_out(self, key: RunKey) -> None:
        if not self._may_work(key):
            # Nothing is lost: whoever gets the namespace looks at all of its runs.
            self._controller.queue.done(key)
            return
        future = self._pool.submit(self._look, key)
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._take_back, key, done))

    def _look(self, key: RunKey) -> Outcome:
        started, outcome = time.monotonic(), "error"
        try:
            result = self._controller.look(key)
            outcome = "gone" if result.gone else "changed" if result.changed else "unchanged"
            return result
        except Fenced:
            outcome = "fenced"
            raise
        except ClusterError:
            outcome = "failed"
            raise
        finally:
            self._metrics.reconciled(key.kind, outcome, time.monotonic() - started)

    def _take_back(self, key: RunKey, done: "Future[Outcome]") -> None:
        error = done.exception()
        self._controller.give_back(key, error if error is not None else done.result())
        self._news.set()
