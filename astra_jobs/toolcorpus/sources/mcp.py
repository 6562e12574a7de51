"""Tool documents of real MCP servers (SPEC 1).

The domain of such a server is the name of its source: with no author LLM to ask, the spec's word for it is the best label.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from astra_jobs.api.errors import Preempted
from astra_jobs.api.v1alpha1.corpus import McpSource
from astra_jobs.toolcorpus.raw import RawServer, RawTool

AT_ONCE = 4
"""Servers that are started side by side."""
LOOK = 0.5
"""Seconds between two looks whether to stop."""


def collect_mcp(sources: Sequence[tuple[int, str, McpSource]], cwd: Path, should_stop: Callable[[], bool]) -> list[RawServer]:
    """Read the tools of all given sources (index in the spec, name, source), in their order.

    Raises BadInput naming ``sources[i].mcp.command`` for the first one, in the spec's order, that cannot be read, and Preempted
    when the job is told to stop while a server keeps it waiting.
    """
    return asyncio.run(_collect(sources, cwd, should_stop)) if sources else []


async def _collect(sources: Sequence[tuple[int, str, McpSource]], cwd: Path, should_stop: Callable[[], bool]) -> list[RawServer]:
    gate = asyncio.Semaphore(AT_ONCE)
    reading = asyncio.gather(*(_read(gate, index, name, source, cwd) for index, name, source in sources), return_exceptions=True)
    while not (await asyncio.wait({reading}, timeout=LOOK))[0]:
        if should_stop():
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            raise Preempted("", "Suspended", "stopped while tool servers were read; they are read again")
    servers = []
    for result in reading.result():
        if isinstance(result, BaseException):
            raise result
        servers.append(result)
    return servers


async def _read(gate: asyncio.Semaphore, index: int, name: str, source: McpSource, cwd: Path) -> RawServer:
    # Here and not above: reading procedural worlds needs no MCP library, and loading it takes half a second.
    from astra_jobs.mcp.client import list_tools

    async with gate:
        listing = await list_tools(source.command, source.timeout_seconds, f"sources[{index}].mcp.command", cwd)
    return RawServer(
        name=name,
        origin="Mcp",
        domain=name,
        tools=[RawTool(tool.name, tool.description, tool.parameters, tool.returns) for tool in listing.tools],
        source=f"mcp:{listing.name}",
        version=listing.version,
        licence=source.licence,
        command=source.command,
    )
