"""Reading the tool documents of an MCP server over stdio (SPEC 1).

Every wait has a limit, and every way in which a server can fail ends in one line that names the spec field, what was
found and the mend: it cannot be started, exits, hangs, prints something that is no MCP, refuses, repeats a page, or has
no tools. All of these are bad input: the same command would fail the same way again.

Does not call tools, and speaks stdio only.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import ClientSession, MCPError
from mcp_types import Implementation, PaginatedRequestParams, Tool
from pydantic import ValidationError

from astra_jobs.api.errors import BadInput
from astra_jobs.mcp.process import ServerProcess, resolve

REASON = "ToolServerUnavailable"
MOST_PAGES = 1000
_CLIENT = Implementation(name="astra", version="1")
_SHOWN = 160


@dataclass(frozen=True)
class ListedTool:
    """One tool as the server documents it, unchecked."""

    name: str
    description: str | None
    parameters: Any
    returns: Any


@dataclass(frozen=True)
class Listing:
    """What a server says of itself and its tools, in its order."""

    name: str
    version: str
    tools: list[ListedTool]


class _Refused(Exception):
    """A listing that failed: what happened, as the middle part of the one-line message."""


async def list_tools(command: Sequence[str], timeout_seconds: float, where: str, cwd: Path) -> Listing:
    """Start a server, read all pages of its tools and end it.

    ``timeout_seconds`` bounds the handshake and each page. Raises BadInput at ``where`` (a spec field) for any failure.
    """
    program = resolve(command[0])
    if program is None:
        raise _bad(where, command, f"no program {command[0]!r} beside the interpreter or on PATH; install it or correct the command")
    try:
        server = await ServerProcess.start([program, *command[1:]], cwd)
    except OSError as error:
        raise _bad(where, command, f"did not start ({error.strerror}); correct the command") from None
    try:
        return await _converse(server, timeout_seconds)
    except _Refused as error:
        raise _bad(where, command, f"{error}{await _traces(server)}; run the command by hand and mend it, or remove the source") from None
    finally:
        await server.stop()


async def _converse(server: ServerProcess, timeout_seconds: float) -> Listing:
    """Shake hands and list. Failures are carried out of the session as a value: its task group would wrap them."""
    async with ClientSession(server.incoming, server.outgoing, client_info=_CLIENT) as session:
        outcome = await _try(server, session, timeout_seconds)
    if isinstance(outcome, _Refused):
        raise outcome
    return outcome


async def _try(server: ServerProcess, session: ClientSession, timeout_seconds: float) -> Listing | _Refused:
    asked = "initialize"
    try:
        async with asyncio.timeout(timeout_seconds):
            hello = await session.initialize()
        asked = "tools/list"
        tools = await _pages(session, timeout_seconds)
    except TimeoutError:
        return _Refused(f"no answer to {asked} in {timeout_seconds:g} s")
    except MCPError as error:
        if server.babbles:
            return _Refused(f"prints something that is no MCP instead of an answer to {asked}")
        if await _gone(server):
            return _Refused(f"exited with code {server.exit_code} before it answered {asked}")
        return _Refused(f"{asked} failed: {_line(error.message)}")
    except ValidationError as error:
        return _Refused(f"its answer to {asked} is no MCP ({_line(error.errors()[0]['msg'])})")
    except RuntimeError as error:  # what the session raises for a protocol version that it does not know
        return _Refused(_line(str(error)))
    except _Refused as error:
        return error
    if not tools:
        return _Refused("lists 0 tools")
    listed = [ListedTool(tool.name, tool.description, tool.input_schema, tool.output_schema) for tool in tools]
    return Listing(hello.server_info.name, hello.server_info.version, listed)


async def _pages(session: ClientSession, timeout_seconds: float) -> list[Tool]:
    """Follow the cursor to the last page; a cursor seen before would never end."""
    tools: list[Tool] = []
    seen: set[str] = set()
    cursor = None
    for _ in range(MOST_PAGES):
        async with asyncio.timeout(timeout_seconds):
            page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
        tools += page.tools
        cursor = page.next_cursor
        if not cursor:
            return tools
        if cursor in seen:
            raise _Refused(f"tools/list repeats the page {_line(cursor)!r}")
        seen.add(cursor)
    raise _Refused(f"tools/list has more than {MOST_PAGES} pages")


async def _gone(server: ServerProcess) -> bool:
    """Tell whether the connection broke because the process ended; its exit code may come a moment later."""
    return await server.ended(0.5)


async def _traces(server: ServerProcess) -> str:
    """Return what else is known of a failed server: garbage on stdout, the end of stderr."""
    parts = []
    if server.garbage:
        parts.append(f"its stdout says {_line(server.garbage[0])!r}")
    if server.stderr_tail():
        parts.append(f"its stderr ends with {_line(server.stderr_tail())!r}")
    return "".join(f"; {part}" for part in parts)


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _bad(where: str, command: Sequence[str], what: str) -> BadInput:
    return BadInput(where, REASON, f"found {_line(str(list(command)))}: {what}")
