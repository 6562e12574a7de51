"""A proxy before the API server that can go away, and that can let streams of events fall silent while calls still work.

It stands for one user: it speaks to the API server with that user's certificate. Faults of single answers are not its business.
"""

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path
from urllib.parse import urlparse

from tests.cluster.plane.plane import ControlPlane

_WATCH = b"watch=true"


class StreamProxy:
    """A thread that forwards bytes. ``silent``: what streams bring is held back. ``away``: every connection is cut and refused."""

    def __init__(self, plane: ControlPlane, user: str, folder: Path) -> None:
        self.silent = False
        self._away = False
        self._user = user
        self._plane = plane
        authority = plane.authority
        self._here, self._there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        folder.mkdir(parents=True, exist_ok=True)
        authority.server("proxy").write(folder / "server.crt", folder / "server.key")
        authority.client(user).write(folder / "client.crt", folder / "client.key")
        self._here.load_cert_chain(folder / "server.crt", folder / "server.key")
        self._there.load_verify_locations(cadata=authority.pair.certificate.decode())
        self._there.load_cert_chain(folder / "client.crt", folder / "client.key")
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]

    def kubeconfig(self) -> Path:
        """Return a kubeconfig that leads here."""
        return self._plane.user_kubeconfig(self._user, f"https://127.0.0.1:{self.port}")

    def away(self, away: bool) -> None:
        """Cut every connection and refuse new ones, or let them through again."""

        def cut() -> None:
            self._away = away
            for task in self._open if away else ():
                task.cancel()

        self._loop.call_soon_threadsafe(cut)

    def stop(self) -> None:
        """End the thread."""

        async def close() -> None:
            self._server.close()
            for task in list(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._here)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if not self._away:
                await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = urlparse(self._plane.server)
        up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port, ssl=self._there)
        streaming = asyncio.Event()
        try:
            ways = {
                asyncio.create_task(self._pump(reader, up_writer, streaming, up=True)),
                asyncio.create_task(self._pump(up_reader, writer, streaming, up=False)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            up_writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, streaming: asyncio.Event, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if up and b"HTTP/1.1\r\n" in data:
                    streaming.set() if _WATCH in data.split(b"\r\n", 1)[0] else streaming.clear()
                while not up and streaming.is_set() and self.silent:
                    await asyncio.sleep(0.02)
                sink.write(data)
                await sink.drain()
