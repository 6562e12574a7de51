"""Waiting for what a sandbox does a moment later than its answer."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from tests.patience import patience


class Pool(Protocol):
    """Whatever knows the processes of its sessions."""

    def pids(self) -> dict[str, int]: ...


async def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: It did not come true in time.
    """
    async with asyncio.timeout(patience(seconds)):
        while not true():
            await asyncio.sleep(0.005)


async def process_of(pool: Pool, session: str) -> int:
    """Return the id of a session's process, which the zygote tells soon after the fork: sometimes later than the session's first answer."""
    await until(lambda: session in pool.pids())
    return pool.pids()[session]
