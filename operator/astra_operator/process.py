"""The operator's process: streams of events, slow lists, Leases and workers around one controller, until it is told to stop.

Order at the start: a full list fills the index, then runs are looked at, and Kopf's streams open meanwhile. What was deleted
between the list and the streams is found by a second list soon after. A namespace that cannot be listed waits alone. Where every
namespace is served, lists and streams are of all at once, and a namespace has a Lease as long as it has runs. Whatever
fails is tried again; nothing here ends the process but a signal.
"""

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from kubernetes.client import ApiClient

from astra_operator import lease
from astra_operator.clusters.base import ClusterError, Object, RunKey, Unreachable
from astra_operator.clusters.index import Index
from astra_operator.clusters.kubernetes import ClusterHooks, KubernetesCluster
from astra_operator.clusters.kubernetes_calls import Calls
from astra_operator.clusters.kubernetes_resources import RESOURCES, Resource
from astra_operator.controller import Controller
from astra_operator.handlers import Feed, Streams
from astra_operator.lease import Lease
from astra_operator.liveness import Liveness
from astra_operator.metrics import Metrics, serve
from astra_operator.settings import EVERYWHERE, ProcessSettings
from astra_operator.steps import Step
from astra_operator.view import View
from astra_operator.workers import Workers

_RETRY_SECONDS, _SETTLE_SECONDS, _LOOK_SECONDS = 2.0, 5.0, 30.0
_SETTLINGS = 12
_ECHO = 1.5  # a silent stream is opened anew after ``silence_seconds``; half as long again is left for that to help

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Process:
    """One operator. ``run`` returns after ``stop`` was called, with everything put away."""

    def __init__(self, settings: ProcessSettings, api: ApiClient) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.liveness = Liveness(settings.silence_seconds * _ECHO)
        self.index = Index(grace=settings.silence_seconds * _ECHO)
        self.cluster = KubernetesCluster(api, self.index, ClusterHooks(self._may_write, self.metrics.called))
        self.controller = Controller(self.cluster, settings.pace, self._taken, time.monotonic)
        self.places = settings.namespaces or ("",)
        self.leases: dict[str, Lease] = {}
        self._lease_calls = Calls(api, self.metrics.called, max(1.0, settings.lease_seconds / 3))
        self._identity = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self.streams = Streams(
            api, settings.namespaces, settings.silence_seconds, Feed(self._put, self._remove, self._on_lease, self.look_soon)
        )
        self.workers = Workers(self.controller, settings.workers, lambda key: self._may_write(key.namespace), self.metrics)
        self._chores = ThreadPoolExecutor(settings.chores, thread_name_prefix="chores")
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._look = asyncio.Event()
        self._filled: set[str] = set()
        self._freed: dict[str, asyncio.Event] = {}
        self._keepers: set[asyncio.Task[None]] = set()
        self._deserted: set[str] = set()

    def stop(self) -> None:
        """Ask for an orderly end: looks at work are finished, Leases are given up."""
        _log.info("stopping: %d looks are at work", self.controller.queue.busy)
        self._stopped.set()
        self.workers.stop()

    async def run(self) -> None:
        """Serve until ``stop`` is called; raises ``OSError`` when the port is taken."""
        self.metrics.watch(lambda: len(self.controller.queue), self.index.standings)
        server = serve(self.settings.port, self.metrics, self.liveness.problems)
        _log.info("serving /metrics and /healthz on port %d", server.server_address[1])
        working = asyncio.create_task(self.workers.run(self.liveness.tick))
        for namespace in self.settings.namespaces:
            self._serve(namespace)
        await self._fill()
        tasks = [asyncio.create_task(self._keep_streams()), asyncio.create_task(self._keep_index())]
        await self._stopped.wait()
        await working
        await asyncio.gather(*tasks, *self._keepers)
        server.shutdown()
        self._chores.shutdown()
        _log.info("stopped")

    def look_soon(self) -> None:
        """Ask, from any thread, for a list of everything: something may have been deleted unseen."""
        if not self._look.is_set():
            self._loop.call_soon_threadsafe(self._look.set)

    # ---- what comes from threads

    def _may_write(self, namespace: str) -> bool:
        kept = self.leases.get(namespace)
        return kept is not None and kept.held

    def _put(self, item: Object) -> None:
        key = self.index.put(item)
        if key is not None:
            self._wake(key)

    def _remove(self, item: Object) -> None:
        key = self.index.remove(item)
        if key is not None:
            self._wake(key)

    def _wake(self, key: RunKey) -> None:
        if key.namespace not in self.leases:  # of all namespaces, those with runs have a Lease
            self._loop.call_soon_threadsafe(self._serve, key.namespace)
        self.workers.wake(key)

    def _on_lease(self, item: Object) -> None:
        namespace = item["metadata"]["namespace"]
        late = self.liveness.echoed(namespace, int(item["metadata"]["resourceVersion"]))
        if late > self.settings.lease_seconds:
            self.look_soon()
        freed = self._freed.get(namespace)
        if freed is not None and not item["spec"].get("holderIdentity"):
            self._loop.call_soon_threadsafe(freed.set)

    def _taken(self, view: View, step: Step) -> None:
        self.metrics.taken(view, step)
        metadata, name = view.run["metadata"], type(step).__name__
        attempt = getattr(step, "number", view.seen.newest_attempt)
        where = {"kind": view.run["kind"], "namespace": metadata["namespace"], "run": metadata["name"], "attempt": attempt, "step": name}
        if view.current is not None:
            where |= {"stage": view.current.name, "restart": getattr(step, "restart", view.launch.restart if view.launch else 0)}
        _log.info("%s %s: %s", view.run["kind"], metadata["name"], name.lower(), extra=where)

    # ---- what goes on all the time

    async def _fill(self) -> None:
        """Fill the index, at least for one namespace. Nothing is looked at before, or a run would be judged without its children."""
        while not self._stopped.is_set() and len(await self._list(self.places)) == len(self.places):
            await self._pause(_RETRY_SECONDS)

    async def _keep_index(self) -> None:
        """List everything slowly, and soon after a stream was opened or had a gap; what could not be listed again and again."""
        failed = tuple(name for name in self.places if name not in self._filled)
        due, delay = time.monotonic() + self.settings.resync_seconds, _RETRY_SECONDS
        while not self._stopped.is_set():
            left = max(0.0, due - time.monotonic())
            await self._pause(min(left, delay) if failed else left, self._look)
            everything = self._look.is_set() or time.monotonic() >= due
            if everything:
                await self._settle()
                due = time.monotonic() + self.settings.resync_seconds
            if not self._stopped.is_set():
                failed = await self._list(self.places if everything else failed)
                self._note_deserted()
            delay = min(2 * delay, _LOOK_SECONDS) if failed else _RETRY_SECONDS

    async def _settle(self) -> None:
        """Wait until nobody asks for a list any more: a stream that is being listed asks again and again, and brings the same itself."""
        for _ in range(_SETTLINGS):
            self._look.clear()
            await self._pause(_SETTLE_SECONDS)
            if not self._look.is_set():
                break

    async def _list(self, namespaces: tuple[str, ...]) -> tuple[str, ...]:
        """List namespaces; return those that could not be listed. One that its team has given no rights for does not stop the others."""
        failed: list[str] = []
        misses = 0
        for place, namespace in enumerate(namespaces):
            try:
                changed, missed = await self._chore(partial(self.cluster.resync, (namespace,)))
            except ClusterError as error:
                _log.warning("cannot list what there is: %s; again soon", error, extra={"namespace": namespace or EVERYWHERE})
                failed.append(namespace)
                if isinstance(error, Unreachable):  # as the others would be, mostly; the next time it comes last
                    failed[:0] = namespaces[place + 1 :]
                    break
                continue
            misses += missed
            self._wake_listed(namespace, changed)
        if len(failed) < len(namespaces) == len(self.places):
            self.liveness.listed(misses)
        self.metrics.missed(misses)
        if misses:
            _log.warning("%d changes were found by a list and had come as no event", misses)
        return tuple(failed)

    def _wake_listed(self, namespace: str, changed: Iterable[RunKey]) -> None:
        if namespace not in self._filled:
            self._filled.add(namespace)
            changed = [key for key in self.index.keys() if namespace in ("", key.namespace)]  # noqa: SIM118 -- not a mapping
        for key in changed:
            self._wake(key)

    def _serve(self, namespace: str) -> None:
        """Keep the Lease of a namespace from now on. Called in the loop; again does nothing."""
        if namespace in self.leases or self._stopped.is_set():
            return
        self._freed[namespace] = asyncio.Event()
        self.leases[namespace] = Lease(self._lease_calls, namespace, self._identity, self.settings.lease_seconds, self.liveness.shown)
        keeper = asyncio.create_task(self._keep_lease(namespace))
        self._keepers.add(keeper)
        keeper.add_done_callback(self._keepers.discard)

    def _note_deserted(self) -> None:
        """Find out, where every namespace is served, which have no runs any more: their Leases are given up."""
        if not self.settings.namespaces:
            self._deserted = set(self.leases) - self._inhabited()

    def _inhabited(self) -> set[str]:
        return {key.namespace for key in self.index.keys()}  # noqa: SIM118 -- not a mapping

    async def _keep_lease(self, namespace: str) -> None:
        """Take, renew and in the end give up the Lease of a namespace."""
        kept, freed = self.leases[namespace], self._freed[namespace]
        failing = mine = False
        while not self._stopped.is_set() and namespace not in self._deserted:
            freed.clear()
            held, failed = kept.held, failing
            failing = not await self._try(kept.tick, namespace)
            if failing:
                self._note_deserted()
            if failed and not failing:
                self.look_soon()  # the API server was away, and who knows what was deleted meanwhile
            if self.liveness.late(namespace):
                await self._try(partial(self._ask_for_silence, namespace), namespace)
            if kept.held and not held:
                self._wake_all((namespace,))
            if mine and not (held and kept.held):
                _log.warning("lost the Lease of namespace %s: nothing was written there", namespace, extra={"namespace": namespace})
            mine = kept.held
            await self._pause(kept.period, freed)
        while self._stopped.is_set() and self.controller.queue.busy:
            await asyncio.sleep(0.05)
        await self._try(kept.release, namespace)
        self._leave(namespace)

    def _ask_for_silence(self, namespace: str) -> None:
        """Find out if the event of a Lease is late because it may not come: then a new process would not help."""
        where = namespace if self.settings.namespaces else ""
        if not self.cluster.may_watch(lease.GROUP, lease.PLURAL, where, lease.NAME):
            self.liveness.forget(namespace)

    def _leave(self, namespace: str) -> None:
        """Forget a namespace whose Lease was given up; a run that came meanwhile was put into the index before it looked for the Lease."""
        del self.leases[namespace], self._freed[namespace]
        self._deserted.discard(namespace)
        self.liveness.forget(namespace)
        if namespace in self._inhabited():
            self._serve(namespace)

    async def _try(self, work: Callable[[], None], namespace: str) -> bool:
        try:
            await self._chore(work)
        except ClusterError as error:
            _log.warning("%s", error, extra={"namespace": namespace})
            return False
        return True

    async def _keep_streams(self) -> None:
        """Keep Kopf watching all that is served; start it anew when it fails or more is served than before."""
        while not self._stopped.is_set():
            watched, ended = await self._served(), asyncio.Event()
            self.metrics.streaming()
            running = asyncio.wrap_future(self.streams.start(watched))
            running.add_done_callback(partial(_set, ended))
            while not ended.is_set() and not self._stopped.is_set() and await self._served() == watched:
                await self._pause(_LOOK_SECONDS, ended)
            self.streams.stop()
            await ended.wait()
            if running.exception() is not None:
                _log.error("streams ended: %r; opening them anew", running.exception())
                await self._pause(_RETRY_SECONDS)

    async def _served(self) -> tuple[Resource, ...]:
        def ask() -> tuple[Resource, ...]:
            return tuple(item for item in RESOURCES if not item.optional or self.cluster.serves(item.api_version, item.kind))

        while True:
            try:
                return await self._chore(ask)
            except ClusterError as error:
                _log.warning("cannot ask what is served: %s", error)
                await self._pause(_RETRY_SECONDS)
                if self._stopped.is_set():
                    return ()

    # ---- helpers

    def _wake_all(self, namespaces: tuple[str, ...]) -> None:
        for key in self.index.keys():  # noqa: SIM118 -- not a mapping
            if key.namespace in namespaces and not self._filled.isdisjoint(("", key.namespace)):
                self.workers.wake(key)

    async def _chore(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._chores, work)

    async def _pause(self, seconds: float, event: asyncio.Event | None = None) -> None:
        """Wait for a time, an event, or the end."""
        waits = {asyncio.create_task(each.wait()) for each in (self._stopped, event) if each is not None}
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()


def _set(event: asyncio.Event, _: "asyncio.Future[None]") -> None:
    event.set()
