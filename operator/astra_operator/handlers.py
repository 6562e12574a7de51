"""Every Kopf registration, and the thread that Kopf runs in. Handlers only put an event into the index and wake its run.

Kopf is used as a source of events and nothing else: no finalizers, no annotations, no timers, no Events, no peering. It does not
report what was deleted while a stream was down; ``on_listed`` tells that a stream was listed anew, so that the caller can look.
Kopf wants an event loop and all tasks in it to itself, hence a thread of its own; a failure ends that thread and is returned.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import kopf
from kubernetes.client import ApiClient

from astra_operator import lease
from astra_operator.clusters.base import Object
from astra_operator.clusters.kubernetes_resources import Resource

_log = logging.getLogger(__name__)
_PAGE = 500
_CONNECT_SECONDS, _REQUEST_SECONDS, _EXIT_SECONDS = 10.0, 60.0, 1.0


@dataclass(frozen=True)
class Feed:
    """Where events go: called in Kopf's thread, must not block. ``on_listed`` is called for every object that a list brings."""

    put: Callable[[Object], None]
    remove: Callable[[Object], None]
    lease: Callable[[Object], None]
    on_listed: Callable[[], None]


class Backoffs:
    """Seconds between tries of a request, without end: an API server that is away must not end the operator."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.2, 0.5, 1.0, 2.0, 4.0), itertools.repeat(8.0))


class NoDiffs(kopf.DiffBaseStorage):
    """Keeps Kopf from comparing objects with their past: that is for handlers of a kind that this operator has none of."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        """Return nothing."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> None:
        """Return nothing."""

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Do nothing."""


class Streams:
    """Kopf over some resources and namespaces (none named: all), from ``start`` until it fails or ``stop`` is called."""

    def __init__(self, api: ApiClient, namespaces: tuple[str, ...], silence_seconds: float, feed: Feed) -> None:
        self._api = api
        self._namespaces = namespaces
        self._silence = silence_seconds
        self._feed = feed
        self._stop: Callable[[], object] = lambda: None
        self._stopping = False

    def start(self, resources: Iterable[Resource]) -> "Future[None]":
        """Start a thread that watches; its future ends with Kopf, with the error if there was one."""
        self._stopping = False
        pool = ThreadPoolExecutor(1, thread_name_prefix="kopf")
        running = pool.submit(asyncio.run, self._run(tuple(resources)))
        pool.shutdown(wait=False)
        return running

    def stop(self) -> None:
        """Ask Kopf to end; the future of ``start`` tells when it has."""
        self._stopping = True
        self._stop()

    async def _run(self, resources: tuple[Resource, ...]) -> None:
        flag, ending, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()

        def stop() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(flag.set)

        self._stop = stop
        if self._stopping:  # asked before the thread got so far
            return
        registry = self._registry(resources)

        async def note_end(**_: Any) -> None:
            ending.set()

        kopf.on.cleanup(registry=registry)(note_end)
        ends = asyncio.create_task(ending.wait())
        operator = kopf.operator(
            registry=registry,
            settings=kopf_settings(resources, self._silence),
            namespaces=self._namespaces,
            clusterwide=not self._namespaces,
            standalone=True,
            stop_flag=flag,
        )
        running = asyncio.create_task(operator)
        try:
            await asyncio.wait({running, ends}, return_when=asyncio.FIRST_COMPLETED)
            await _finish(running)
        finally:
            ends.cancel()
            # Kopf leaves its streams half-read when it ends; that closing them then fails is nobody's trouble.
            loop.set_exception_handler(lambda _, context: _log.debug("after Kopf's end: %s", context.get("message")))

    def _registry(self, resources: tuple[Resource, ...]) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        for resource in resources:
            kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, id=resource.plural)(self._handler(resource))
        kopf.on.event(lease.GROUP, lease.VERSION, lease.PLURAL, registry=registry, id="lease")(self._on_lease)
        return registry

    def _handler(self, resource: Resource) -> Callable[..., Awaitable[None]]:
        async def handle(event: kopf.RawEvent, **_: Any) -> None:
            # Objects of a list come without these two.
            item: Object = {"apiVersion": resource.api_version, "kind": resource.kind} | dict(event["object"])
            if event["type"] is None:
                self._feed.on_listed()
            (self._feed.remove if event["type"] == "DELETED" else self._feed.put)(item)

        return handle

    async def _on_lease(self, event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] != "DELETED":
            self._feed.lease(dict(event["object"]))

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        """Lend Kopf the credentials of the other client; asked again when they are refused, so a rotated token is read anew."""
        settings, headers = self._api.configuration, dict[str, str]()
        self._api.update_params_for_auth(headers, [], ["BearerToken"])
        token = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
        return kopf.ConnectionInfo(
            server=settings.host,
            ca_path=settings.ssl_ca_cert,
            insecure=not settings.verify_ssl,
            certificate_path=settings.cert_file,
            private_key_path=settings.key_file,
            scheme="Bearer" if token else None,
            token=token.removeprefix("Bearer ") or None,
        )


async def _finish(running: "asyncio.Task[None]") -> None:
    """Wait for Kopf's end, and raise what it failed of. Streams beside one that failed outlive a cancellation, and Kopf waits for them."""
    while not running.done():
        await asyncio.wait({running}, timeout=_EXIT_SECONDS)
        for task in asyncio.all_tasks() - {running, asyncio.current_task()}:
            task.cancel()
    await running


def kopf_settings(resources: Iterable[Resource], silence_seconds: float) -> kopf.OperatorSettings:
    """Return settings under which Kopf writes nothing anywhere and asks the server for no more than is needed."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # it needs cluster-wide rights
    settings.persistence.diffbase_storage = NoDiffs()
    settings.process.ultimate_exiting_timeout = None
    settings.networking.connect_timeout = _CONNECT_SECONDS
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.error_backoffs = Backoffs()
    settings.watching.chunk_size = _PAGE
    settings.watching.inactivity_timeout = silence_seconds
    settings.queueing.idle_timeout = 0.1  # a worker that waits for more events of its object costs memory
    for resource in resources:
        if resource.selector:
            settings.watching.label_selectors[resource.group, resource.version, resource.plural] = resource.selector
    settings.watching.field_selectors[lease.GROUP, lease.VERSION, lease.PLURAL] = f"metadata.name={lease.NAME}"
    return settings
