"""A client of fake servers, and lives of sessions whose results are known without any server."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from astra_jobs.sandbox.protocol import CallResult, ToolCode
from astra_jobs.sandbox.remote import RemoteSandbox, Settings, remote_sandbox
from tests.patience import patience
from tests.unit.sandbox.client.fake import KEY, Copy, Fake

TOOLS = [
    ToolCode(name=name, parameters={"type": "object", "properties": {"x": {"type": "integer"}}}, code=f"def {name}(x): return x\n")
    for name in ("add", "fail", "limit", "crash", "odd")
]
Life = Sequence[tuple[str, dict[str, Any]]]


@asynccontextmanager
async def client(servers: Sequence[Fake] | str, **settings: Any) -> AsyncIterator[RemoteSandbox]:
    """Give a client with little patience."""
    url = servers if isinstance(servers, str) else tuple(server.url for server in servers)
    given = {"key": KEY, "isolation": "Process", "patience": 10.0, "silence": 0.5, "request": 0.25, **settings}
    async with asyncio.timeout(patience()), remote_sandbox(Settings(url=url, **given)) as sandbox:
        yield sandbox


def undisturbed(life: Life, seed: int) -> list[tuple[str, str]]:
    """Return what a life of calls gives where nothing fails."""
    copy = Copy("", seed, number=1 + seed)
    return [copy.run(tool, arguments) for tool, arguments in life]


def told(results: Sequence[CallResult]) -> list[tuple[str, str]]:
    return [(result.outcome, result.text) for result in results]


def last_copies(servers: Sequence[Fake]) -> dict[str, list[tuple[str, str]]]:
    """Return what was applied in the last copy of each session, over all servers, where a server still has it.

    An earlier one may be there still, or again: its creation may be read after its end.
    """
    last: dict[str, int] = {}
    for name in {name for server in servers for name in server.asked}:
        number, _, generation = name.rpartition("-")
        last[number] = max(int(generation), last.get(number, 0))
    copies = {name: copy for server in servers for name, copy in server.copies.items()}
    return {number: copies[name].applied for number, generation in last.items() if (name := f"{number}-{generation}") in copies}
