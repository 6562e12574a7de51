"""One exchange with one server: a request, an answer of a known kind, or a named trouble. Tries nothing again.

A server runs untrusted code, so what it says is bounded and checked: no redirect is followed, no cookie kept, and no answer
longer than ``LONGEST`` is read.
"""

import asyncio
from typing import TypeVar

import aiohttp
import msgspec

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.remote.troubles import TOO_LARGE, Busy, NoAnswer, Refused, Trouble
from astra_jobs.sandbox.remote.wire import JSON, PACKED, ErrorAnswer, decode

LONGEST = 64 << 20
"""Most bytes of an answer."""
CONNECT = 5.0
"""Seconds for a connection to come about."""
_SHOWN = 200

Answer = TypeVar("Answer")


def new_session() -> aiohttp.ClientSession:
    """Return an HTTP client without a cap on its connections."""
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0, keepalive_timeout=15.0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


class Connection:
    """All exchanges with one base URL. ``accept`` is the content type that answers come in."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str, accept: str) -> None:
        self.url = url
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}", "Accept": accept}

    async def exchange(self, method: str, path: str, body: tuple[bytes, str] | None, kind: type[Answer]) -> Answer:
        """Ask once; NoAnswer, Busy, Refused, or BadInput for a wrong key. ``body`` is bytes and content type."""
        status, content, data, after = await self._ask(method, path, body)
        if status >= 300:
            raise self._trouble(status, content, data, after)
        try:
            return decode(data or b"null", content if data else JSON, kind)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise NoAnswer(f"{self.url} gave an answer that cannot be read: {str(error)[:_SHOWN]}") from None

    async def looks(self, path: str, seconds: float) -> bool:
        """Tell whether the server answers a GET with success in time."""
        try:
            async with asyncio.timeout(seconds):
                return (await self._ask("GET", path, None))[0] < 300
        except (NoAnswer, TimeoutError):
            return False

    async def _ask(self, method: str, path: str, body: tuple[bytes, str] | None) -> tuple[int, str, bytes, str]:
        data, content = body or (None, "")
        headers = {**self._headers, "Content-Type": content} if content else self._headers
        try:
            async with self._http.request(method, self.url + path, data=data, headers=headers, allow_redirects=False) as response:
                kind = PACKED if response.content_type == PACKED else JSON
                return response.status, kind, await _bounded(response), response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoAnswer(f"{self.url} did not answer ({type(error).__name__}: {str(error)[:_SHOWN]})") from None

    def _trouble(self, status: int, content: str, data: bytes, after: str) -> Trouble | BadInput:
        try:
            error = decode(data, content, ErrorAnswer)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            error = ErrorAnswer()
        code, message = error.error or str(status), " ".join(error.message.split())[:_SHOWN]
        told = f"{self.url} answered {status} {code}: {message}"
        if status in (401, 403):
            return BadInput("sandbox.key", "BadInput", f"{told}; give the key of this run's sandbox servers")
        if status in (429, 503):
            seconds = float(after) if after.isdecimal() and len(after) < 6 else None
            return Busy(told, seconds if error.retry_after_ms is None else error.retry_after_ms / 1000)
        if status == 413:
            return Refused(TOO_LARGE, told)
        return NoAnswer(told) if status >= 500 or status < 400 or status == 408 else Refused(code, told)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for part in response.content.iter_any():
        data += part
        if len(data) > LONGEST:
            response.close()
            raise NoAnswer(f"{response.url.origin()} answered with more than {LONGEST} bytes")
    return bytes(data)
