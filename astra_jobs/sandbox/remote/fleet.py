"""All servers: who is there, which one a session goes to, and what is done in the background to keep that true.

Names are looked up again and again, servers that went away are looked for, and idle sessions are kept from ending. A server
whose name is gone keeps the sessions it has for as long as it answers: it may be draining.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

import aiohttp

from astra_jobs.api.errors import JobError, Transient
from astra_jobs.sandbox.remote.connection import Connection, new_session
from astra_jobs.sandbox.remote.endpoints import Endpoints
from astra_jobs.sandbox.remote.lane import Lane
from astra_jobs.sandbox.remote.line import LOOK, pause_after
from astra_jobs.sandbox.remote.metrics import Metrics
from astra_jobs.sandbox.remote.rendezvous import choose
from astra_jobs.sandbox.remote.session import Session
from astra_jobs.sandbox.remote.settings import Settings
from astra_jobs.sandbox.remote.troubles import Trouble
from astra_jobs.sandbox.remote.wire import JSON, PACKED


class Fleet:
    """The servers by URL, and the sessions that have to be kept alive on them."""

    def __init__(self, settings: Settings, endpoints: Endpoints, metrics: Metrics) -> None:
        self.settings, self.endpoints, self.metrics = settings, endpoints, metrics
        self.lanes: dict[str, Lane] = {}
        self.bundles: dict[str, bytes] = {}
        self.sessions: dict[str, Session] = {}
        self._http: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    async def start(self) -> None:
        """Find the servers and have every one show what it is; JobError when one is not what was promised, or none answers."""
        self._http = new_session()
        await self._refresh()
        deadline = time.monotonic() + (self.settings.opening or self.settings.patience)
        while not await self._any_trusted(deadline):
            if time.monotonic() >= deadline:
                places = ", ".join(self.endpoints.urls)
                raise Transient("sandbox.url", "SandboxFailing", f"no sandbox server answers at {places}; see its pods")
            await asyncio.sleep(pause_after(3))
            for lane in self.lanes.values():
                lane.down = False
            await self._refresh()
        every = ((self._refresh, self.settings.resolve), (self._revive, 0.5), (self._heartbeats, self.settings.lease / 3))
        self._tasks = [asyncio.ensure_future(_every(work, seconds)) for work, seconds in every]

    async def _any_trusted(self, deadline: float) -> bool:
        tried = await asyncio.gather(*(lane.trusted(deadline) for lane in self.lanes.values()), return_exceptions=True)
        for error in tried:
            if isinstance(error, BaseException) and not isinstance(error, Trouble):
                raise error
        return any(error is None for error in tried)

    def forget(self, environment: str) -> None:
        """Keep nothing of an environment that no session has."""
        del self.bundles[environment]
        for lane in self.lanes.values():
            lane.forget(environment)

    def place(self, environment: str, tried: Collection[str]) -> Lane | None:
        """Return the server for a session, without those that were tried in vain; None when no server is left."""
        loads = {url: lane.load for url, lane in self.lanes.items() if not lane.down and not lane.gone and url not in tried}
        return self.lanes[choose(loads, environment)] if loads else None

    async def changed(self, seconds: float) -> None:
        """Wait until there may be a server that was not there before, but no longer than that."""
        self._news.clear()
        try:
            await asyncio.wait_for(self._news.wait(), max(0.0, seconds))
        except TimeoutError:
            return

    async def stop(self) -> None:
        """End every task and connection."""
        await _end(self._tasks)
        await asyncio.gather(*(lane.drain(5.0) for lane in self.lanes.values()))
        for lane in self.lanes.values():
            await lane.stop()
        if self._http is not None:
            await self._http.close()

    async def _refresh(self) -> None:
        await self.endpoints.refresh()
        assert self._http is not None
        current = self.endpoints.current
        accept = JSON if self.settings.json else PACKED
        for url in current:
            if url not in self.lanes:
                connection = Connection(self._http, url, self.settings.key, accept)
                self.lanes[url] = Lane(connection, self.settings, self.metrics, self.bundles)
                self._news.set()
        for url, lane in list(self.lanes.items()):
            if lane.gone and url in current:
                self._news.set()
            lane.gone = url not in current
            if lane.gone and lane.load == 0:
                del self.lanes[url]
                await lane.drain(1.0)
                await lane.stop()

    async def _revive(self) -> None:
        """Look at servers that went away; one that says it is ready is taken for a new one."""
        lost = [lane for lane in self.lanes.values() if lane.down and not lane.gone]
        looks = await asyncio.gather(*(lane.connection.looks("/readyz", LOOK) for lane in lost))
        for lane, ready in zip(lost, looks, strict=True):
            if ready:
                lane.down = False
                self._news.set()

    async def _heartbeats(self) -> None:
        """Renew the leases of sessions that were not used for a while; those that are unknown come back at their next call."""
        since = time.monotonic() - self.settings.lease / 3
        idle: dict[Lane, dict[str, Session]] = {}
        for session in self.sessions.values():
            if session.lane is not None and session.created and session.used <= since:
                idle.setdefault(session.lane, {})[session.name] = session
        await asyncio.gather(*(self._heartbeat(lane, sessions) for lane, sessions in idle.items() if not lane.down))

    async def _heartbeat(self, lane: Lane, sessions: dict[str, Session]) -> None:
        try:
            unknown = await lane.heartbeat(list(sessions))
        except (Trouble, JobError):
            self.metrics.add("heartbeats_failed")
            if not await lane.alive():
                lane.fall()
            return
        for name in unknown:
            session = sessions.get(name)
            if session is not None and session.name == name and session.serving is None:
                session.forget()
                self.metrics.add("sessions_unknown")


async def _every(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await work()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
