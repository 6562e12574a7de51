"""The streams end, with their error, when one of them fails for good, and can be opened again: on an API server that is played."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from aiohttp import web
from kubernetes.client import ApiClient, Configuration

from astra_operator.clusters.kubernetes_resources import RESOURCES
from astra_operator.handlers import Feed, Streams
from tests.patience import patience

VERBS = ["get", "list", "watch"]
LEASES = ("coordination.k8s.io", "v1", "leases", "Lease")
NAMESPACES = ("", "v1", "namespaces", "Namespace")
SERVED = [(item.group, item.version, item.plural, item.kind) for item in RESOURCES] + [LEASES, NAMESPACES]
MOST_SECONDS = patience()


class PlayedServer:
    """Empty lists, and watches that bring nothing; while ``expired``, one is refused once all are asked for."""

    def __init__(self) -> None:
        self.expired = True
        self.all_open = threading.Event()
        self._asked = self._open = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0)  # type: ignore[arg-type]
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request)
        parts = request.path.strip("/").split("/")
        if "namespaces" in parts:
            return web.json_response({"metadata": {"resourceVersion": "5"}, "items": []})
        return web.json_response(discovery(parts))

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        self._asked += 1
        if self.expired and request.path.endswith("/pods"):
            while self._asked <= len(RESOURCES):
                await asyncio.sleep(0.01)
            return web.json_response(
                {"kind": "Status", "reason": "Expired", "message": "too old resource version", "code": 410}, status=410
            )
        down = web.StreamResponse()
        if not self.expired or self._asked % 2:  # the others are still waiting for their answer when that one fails
            await down.prepare(request)
            self._open += 1
        if self._open == len(RESOURCES) + 1:
            self.all_open.set()
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.01)
        return down


def discovery(parts: list[str]) -> dict[str, object]:
    if parts == ["api"]:
        return {"versions": ["v1"]}
    if parts == ["apis"]:
        groups = sorted({(group, version) for group, version, _, _ in SERVED if group})
        versions = [(group, {"version": version, "groupVersion": f"{group}/{version}"}) for group, version in groups]
        return {"groups": [{"name": group, "versions": [version], "preferredVersion": version} for group, version in versions]}
    place = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
    found = [(plural, kind) for group, version, plural, kind in SERVED if (group, version) == place]
    return {"resources": [{"name": plural, "kind": kind, "singularName": "", "namespaced": True, "verbs": VERBS} for plural, kind in found]}


@pytest.fixture
def server() -> Iterator[PlayedServer]:
    server = PlayedServer()
    yield server
    server.stop()


def test_a_stream_that_fails_ends_all_and_they_open_again(server: PlayedServer) -> None:
    settings = Configuration()
    settings.host = server.url
    streams = Streams(ApiClient(settings), ("team",), 60, Feed(lambda _: None, lambda _: None, lambda _: None, lambda: None))
    failed = streams.start(RESOURCES).exception(MOST_SECONDS)
    assert "too old resource version" in str(failed)
    server.expired, server._open = False, 0
    running = streams.start(RESOURCES)
    assert server.all_open.wait(MOST_SECONDS)
    streams.stop()
    assert running.exception(MOST_SECONDS) is None
