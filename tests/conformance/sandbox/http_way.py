"""The way over HTTP: a server in the test's own event loop, and the client of jobs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from astra_jobs.sandbox.pool.settings import PoolSettings
from astra_jobs.sandbox.protocol import SandboxLimits
from astra_jobs.sandbox.remote import RemoteSandbox, Settings, remote_sandbox
from astra_jobs.sandbox.server.service import Service
from astra_jobs.sandbox.server.settings import ServerSettings

KEY = "a-key-for-tests-0123456789"


@asynccontextmanager
async def http_sandbox(limits: SandboxLimits, **settings: Any) -> AsyncIterator[RemoteSandbox]:
    """Start a server at a port that the system chooses, give a client of it, and end both."""
    service = Service(ServerSettings(key=KEY.encode(), port=0, pool=PoolSettings(limits=limits, **settings)))
    await service.start()
    try:
        url = f"http://127.0.0.1:{service.port}"
        async with remote_sandbox(Settings(url=url, key=KEY, isolation="Process")) as sandbox:
            yield sandbox
    finally:
        await service.stop()
