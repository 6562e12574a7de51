"""Reading the tool documents of an MCP server over stdio (SPEC 1).

Every wait has a limit, and every way in which a server can fail is one cause in plain words: it cannot be started, exits,
hangs, prints something that is no MCP, refuses, repeats a page, or has no tools. Documents of tools are handed on as they
came, unchecked: one that is broken must not take the others with it.

Does not call tools, and speaks stdio only.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION

from astra_jobs.mcp.conversation import Conversation, Refused
from astra_jobs.mcp.process import ServerProcess, resolve
from astra_jobs.mcp.stderr import cause_of
from astra_jobs.mcp.wire import quoted, safe

MOST_PAGES, MOST_TOOLS, MOST_LISTINGS = 10_000, 100_000, 5
WHOLE = 20
"""How many times ``timeout_seconds`` reading all pages may take."""
SETTLE_SECONDS, SETTLE_UNDECLARED_SECONDS = 0.5, 0.05
"""How long a list that was read may still be said to have changed, by a server that declares to say so and by one that does not."""
_STDERR_SECONDS = 0.5
_SHOWN = 300


@dataclass(frozen=True)
class Launch:
    """How to start a server. ``variables`` are added to its environment; ``scrub`` takes their values out of what it says."""

    command: Sequence[str]
    folder: Path
    timeout_seconds: float
    variables: Mapping[str, str] = field(default_factory=dict)
    scrub: Callable[[str], str] = lambda text: text


@dataclass(frozen=True)
class Listing:
    """What a server says of itself and its tools, in its order: whatever stood in the pages' ``tools``, unchecked."""

    name: str
    version: str
    tools: list[Any]


class Unreadable(Exception):
    """No tools could be read; the text is the cause in one line, without the command's arguments."""


def found_program(launch: Launch) -> str:
    """Return the path of a launch's program; raises Unreadable when there is none. Starts nothing."""
    program = launch.command[0]
    path = resolve(program, launch.folder)
    if path is None:
        where = " beside the interpreter or on PATH"
        if "/" in program:
            where = "" if program.startswith("/") else f" in {launch.folder}"
        raise Unreadable(f"no program {quoted(program)}{where}; install it or correct the command")
    return path


async def list_tools(launch: Launch, say: Callable[[int], None] = lambda tools: None) -> Listing:
    """Start a server, read all pages of its tools and end it; ``say`` is told after each page how many tools are read.

    ``timeout_seconds`` bounds the handshake and each page, ``WHOLE`` times that the listing. Raises Unreadable for any failure.
    """
    program = found_program(launch)
    try:
        server = await ServerProcess.start([program, *launch.command[1:]], launch.folder, launch.variables)
    except (OSError, ValueError) as error:
        raise Unreadable(
            f"{quoted(launch.command[0])} did not start ({getattr(error, 'strerror', None) or error}); correct the command"
        ) from None
    talk = Conversation(server)
    try:
        return await _listing(talk, launch.timeout_seconds, say)
    except Refused as error:
        problem = f"{error}{await _traces(server, talk)}"
        raise Unreadable(f"{launch.scrub(problem)}; run the command by hand and correct it, or remove the source") from None
    finally:
        await talk.close()
        await server.stop()


async def _listing(talk: Conversation, seconds: float, say: Callable[[int], None]) -> Listing:
    hello = await _greeted(talk, seconds)
    declared = _dig(hello, "capabilities", "tools", "listChanged") is True
    try:
        async with asyncio.timeout(WHOLE * seconds):
            tools = await _tools(talk, seconds, declared, say)
    except TimeoutError:
        raise Refused(f"tools/list did not come to an end in {WHOLE * seconds:g} s") from None
    if not tools:
        raise Refused("lists 0 tools")
    return Listing(_text(_dig(hello, "serverInfo", "name")), _text(_dig(hello, "serverInfo", "version")), tools)


async def _greeted(talk: Conversation, seconds: float) -> dict[str, Any]:
    """Shake hands; what is odd in an answer beside the version matters to nobody who only lists tools."""
    me = {"protocolVersion": LATEST_HANDSHAKE_VERSION, "capabilities": {}, "clientInfo": {"name": "astra", "version": "1"}}
    hello = await talk.ask("initialize", me, seconds)
    if not isinstance(hello, dict):
        raise Refused(f"its answer to initialize is {quoted(hello)}, not an object")
    version = hello.get("protocolVersion")
    if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
        known = ", ".join(HANDSHAKE_PROTOCOL_VERSIONS)
        raise Refused(f"speaks protocol version {quoted(version)}; known are {known}")
    talk.tell("notifications/initialized")
    return hello


async def _tools(talk: Conversation, seconds: float, declared: bool, say: Callable[[int], None]) -> list[Any]:
    """List until the server stops saying that the list has changed; one that never stops is taken at its last word."""
    tools: list[Any] = []
    for _ in range(MOST_LISTINGS):
        talk.changed.clear()
        tools = await _pages(talk, seconds, say)
        patience = seconds if declared and not tools else SETTLE_SECONDS if declared else SETTLE_UNDECLARED_SECONDS
        try:
            async with asyncio.timeout(patience):
                await talk.changed.wait()
        except TimeoutError:
            break
    return tools


async def _pages(talk: Conversation, seconds: float, say: Callable[[int], None]) -> list[Any]:
    """Follow the cursor to the last page; a cursor seen before would never end."""
    tools: list[Any] = []
    seen: set[str] = set()
    cursor: Any = None
    for _ in range(MOST_PAGES):
        page = await talk.ask("tools/list", {"cursor": cursor} if cursor else {}, seconds)
        if not isinstance(page, dict) or not isinstance(page.get("tools"), list):
            what = f"has tools = {quoted(page.get('tools'))}" if isinstance(page, dict) and "tools" in page else f"is {quoted(page)}"
            raise Refused(f"its answer to tools/list {what}; wanted an object with a list of tools")
        tools += page["tools"]
        say(len(tools))
        if len(tools) > MOST_TOOLS:
            raise Refused(f"lists more than {MOST_TOOLS:,} tools")
        cursor = page.get("nextCursor")
        if not cursor:
            return tools
        mark = json.dumps(cursor)
        if mark in seen:
            raise Refused(f"tools/list repeats the page {quoted(cursor)}")
        seen.add(mark)
    raise Refused(f"tools/list has more than {MOST_PAGES:,} pages")


async def _traces(server: ServerProcess, talk: Conversation) -> str:
    """Return what else is known of a failed server: what it wrote to stderr, and garbage on stdout."""
    said = cause_of(await server.last_words(_STDERR_SECONDS if server.exit_code is not None else 0.0))
    printed = cause_of(talk.garbage)
    parts = [f"its stderr says {quoted(said, _SHOWN)}"] if said else []
    parts += [f"its stdout says {quoted(printed, _SHOWN)}"] if printed else []
    return "".join(f"; {part}" for part in parts)


def _dig(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    """Return a name or version as text that a record can hold; '' where a server gives something else."""
    return safe(" ".join(value.split()))[:200] if isinstance(value, str) else ""
