"""Where the servers are: the addresses behind a name, looked up again and again.

A headless Service has one address for each ready pod. A look-up that fails says nothing about pods that answer, so the
addresses known before are kept. URLs with https are taken as they are: a certificate is for a name.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from astra_jobs.api.errors import BadInput

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""Addresses of a host; OSError when there are none."""


async def lookup(host: str, port: int) -> list[str]:
    """Return the host's addresses, each once, in the order of the resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Endpoints:
    """The base URLs of all servers, as far as they are known. ``current`` is empty until a look-up succeeded."""

    def __init__(self, urls: Sequence[str], look: Lookup = lookup) -> None:
        for url in urls:
            _check(url)
        if not urls:
            raise BadInput("sandbox.url", "BadInput", "no URL was given; name the sandbox servers")
        self.urls = list(dict.fromkeys(urls))
        self._found = {url: [url] if urlsplit(url).scheme == "https" else [] for url in self.urls}
        self._look = look

    @property
    def current(self) -> list[str]:
        """Return the base URLs, each once."""
        return list(dict.fromkeys(server for servers in self._found.values() for server in servers))

    async def refresh(self) -> bool:
        """Look the names up again; return whether the servers changed."""
        before = sorted(self.current)
        await asyncio.gather(*(self._refresh(url) for url in self.urls))
        return before != sorted(self.current)

    async def _refresh(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme == "https":
            return
        try:
            addresses = await self._look(str(parts.hostname), parts.port or 80)
        except (OSError, UnicodeError):
            return
        if addresses:
            self._found[url] = [_at(address, parts.port or 80, parts.path) for address in addresses]


def _at(address: str, port: int, path: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}{path}"


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise BadInput("sandbox.url", "BadInput", f"found {url!r}; write http://HOST:PORT")
