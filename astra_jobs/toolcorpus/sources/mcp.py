"""Tool documents of real MCP servers (SPEC 1).

All sources are tried, side by side within a bound, before anything is said of those that failed: one report names them all.
The domain of such a server is the name of its source: with no author LLM to ask, the spec's word for it is the best label.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from astra_jobs.api.base import digest_of
from astra_jobs.api.credentials import Scrubber
from astra_jobs.api.errors import BadInput, Preempted
from astra_jobs.api.job import no_secret
from astra_jobs.api.v1alpha1.corpus import McpSource, Unreachable
from astra_jobs.records.tool import Program
from astra_jobs.toolcorpus.document import raw_tool
from astra_jobs.toolcorpus.raw import RawServer, RawTool

AT_ONCE = 4
"""Servers that are started side by side."""
LOOK = 0.5
"""Seconds between two looks whether to stop."""
REPORTED, REPORTED_CHARACTERS = 20, 2600
"""Most failures in the one line that ends a run, and its longest form; the log has them all."""
Numbered = tuple[int, str, McpSource]


def _nobody(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Surroundings:
    """What reading servers may use: where commands start, how a secret's value is got, whom to tell.

    ``inherited`` is what of the job's environment every server gets. ``say`` is told what is being read now (sources done, one line),
    ``log`` each failure as it is found.
    """

    folder: Path
    should_stop: Callable[[], bool] = lambda: False
    secret: Callable[[str, str], str] = no_secret
    inherited: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[int, str], None] = lambda done, line: None
    log: Callable[[str], None] = _nobody


def collect_mcp(
    sources: Sequence[Numbered], folder: Path, should_stop: Callable[[], bool], unreachable: Unreachable | None = None
) -> list[RawServer]:
    """Read the tools of all given sources (index in the spec, name, source), in their order; see ``read`` and ``verdict``."""
    servers = read(sources, Surroundings(folder, should_stop))
    verdict(sources, servers, unreachable or Unreachable())
    return servers


def read(sources: Sequence[Numbered], around: Surroundings) -> list[RawServer]:
    """Read all sources; one that fails is a server without tools that says why. Raises Preempted when the job is told to stop."""
    return asyncio.run(_collect(sources, around)) if sources else []


def verdict(sources: Sequence[Numbered], servers: Sequence[RawServer], unreachable: Unreachable) -> None:
    """Raise BadInput, one line for all failures, when the spec does not let them be dropped."""
    failed = [(item, server) for item, server in zip(sources, servers, strict=True) if server.unreachable]
    share = len(failed) / max(1, len(sources))
    if not failed or (unreachable.listed == "Drop" and share <= unreachable.max_share):
        return
    whole = f"{len(failed)} of {len(sources)} tool servers cannot be read"
    if unreachable.listed == "Drop":
        raise BadInput("unreachable.maxShare", "ToolServerUnavailable", f"found {unreachable.max_share:g}: {whole}: {_report(failed)}")
    (index, _, _), first = failed[0]
    where = f"sources[{index}].mcp.command"
    if len(failed) == 1:
        raise BadInput(where, "ToolServerUnavailable", f"found {_shown(first)}: {first.unreachable}")
    raise BadInput(where, "ToolServerUnavailable", f"{whole}: {_report(failed)}")


def _shown(server: RawServer) -> str:
    return f"program {server.program.name if server.program else '?'} (source {server.name})"


def _report(failed: Sequence[tuple[Numbered, RawServer]]) -> str:
    lines: list[str] = []
    for (index, _, _), server in failed[:REPORTED]:
        line = f"sources[{index}] {_shown(server)}: {server.unreachable}"
        left = (REPORTED_CHARACTERS - sum(map(len, lines))) // max(1, min(REPORTED, len(failed)) - len(lines))
        lines.append(line if len(line) <= left else line[: max(40, left) - 1] + "…")
    more = f" | and {len(failed) - REPORTED} more, in the log" if len(failed) > REPORTED else ""
    return " | ".join(lines) + more


@dataclass
class _Round:
    """Which sources are being read."""

    names: list[str]
    around: Surroundings
    reading: dict[int, str] = field(default_factory=dict)
    done: int = 0

    def say(self) -> None:
        """Name the source that has been read for longest."""
        number = min(self.reading, default=None)
        if number is not None:
            self.around.say(self.done, f"reading {number + 1} of {len(self.names)}: {self.names[number]}{self.reading[number]}")


async def _collect(sources: Sequence[Numbered], around: Surroundings) -> list[RawServer]:
    gate, now = asyncio.Semaphore(AT_ONCE), _Round([name for _, name, _ in sources], around)
    waiting = _missing(sources, around)
    tasks = [asyncio.create_task(_turn(gate, now, number, item, waiting[number])) for number, item in enumerate(sources)]
    pending = set(tasks)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, timeout=LOOK, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            if pending and around.should_stop():
                raise Preempted("", "Suspended", "stopped while tool servers were read; they are read again")
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # all of them: a server that is being ended takes its time
    return [task.result() for task in tasks]


def _missing(sources: Sequence[Numbered], around: Surroundings) -> list[str]:
    """Look for every program before any is started; return for each source why it cannot start, '' where it can."""
    from astra_jobs.mcp.client import Launch, Unreadable, found_program

    problems = []
    for _, name, source in sources:
        try:
            found_program(Launch(source.command, around.folder, source.timeout_seconds))
            problems.append("")
        except Unreadable as error:
            around.log(f"{name}: {error}")
            problems.append(str(error))
    return problems


async def _turn(gate: asyncio.Semaphore, now: _Round, number: int, item: Numbered, missing: str) -> RawServer:
    async with gate:
        now.reading[number] = ""
        now.say()
        try:
            return await _read(item, now.around, missing, lambda tools: _more(now, number, tools))
        finally:
            del now.reading[number]
            now.done += 1
            now.say()


def _more(now: _Round, number: int, tools: int) -> None:
    now.reading[number] = f" ({tools:,} tools so far)"
    now.say()


async def _read(item: Numbered, around: Surroundings, missing: str, say: Callable[[int], None]) -> RawServer:
    # Here and not above: reading procedural worlds needs no MCP library, and loading it takes half a second.
    from astra_jobs.mcp.client import Launch, Unreadable, list_tools

    _, name, source = item
    server = RawServer(
        name=name,
        origin="Mcp",
        domain=name,
        tools=[],
        source=f"mcp:{name}",
        version="",
        licence=source.licence,
        program=Program(name=Path(source.command[0]).name, digest=digest_of(source.command)),
    )
    if missing:
        return replace(server, unreachable=missing)
    own = {item.name: around.secret(item.secret, item.key) for item in source.env}
    scrubber = Scrubber(own.values())
    launch = Launch(source.command, around.folder, source.timeout_seconds, {**around.inherited, **own}, scrubber.clean)
    try:
        listing = await list_tools(launch, say)
    except Unreadable as error:
        around.log(f"{name}: {error}")
        return replace(server, unreachable=str(error))
    tools = [_tool(document, place, scrubber) for place, document in enumerate(listing.tools)]
    return replace(server, tools=tools, source=f"mcp:{scrubber.clean(listing.name or name)}", version=scrubber.clean(listing.version))


def _tool(document: Any, place: int, scrubber: Scrubber) -> RawTool:
    """Return a server's tool, without what it may have written of its own credentials into its document."""
    tool = raw_tool(document, place)
    if scrubber.holds(tool.name):
        return RawTool(f"#{place}", None, None, fault=("HoldsCredential", "name holds the value of a variable of env"))
    if tool.fault is not None:
        return replace(tool, fault=(tool.fault[0], scrubber.clean(tool.fault[1])))
    for what, value in (("description", tool.description), ("inputSchema", tool.parameters), ("outputSchema", tool.returns)):
        if value is not None and scrubber.holds(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)):
            return RawTool(tool.name, None, None, fault=("HoldsCredential", f"{what} holds the value of a variable of env"))
    return tool
