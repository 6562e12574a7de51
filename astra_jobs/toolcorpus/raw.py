"""Tool documents as a source gave them, before anything was checked."""

from dataclasses import dataclass, field
from typing import Any, Literal

from astra_jobs.records.tool import Program, WorldReference


@dataclass(frozen=True)
class RawTool:
    """One tool; ``parameters`` and ``returns`` are whatever the source called a schema."""

    name: str
    description: str | None
    parameters: Any
    returns: Any = None
    labels: dict[str, str] = field(default_factory=dict)
    """How it was made, a planted defect for example. Reports and tests read it, no filter does."""
    fault: tuple[str, str] | None = None
    """Why it is no tool at all: reason code and detail."""
    losses: tuple[str, ...] = ()
    """What was left out of its document, one sentence each."""


@dataclass(frozen=True)
class RawServer:
    """Tools of one server with where they come from and how to reach them."""

    name: str
    origin: Literal["Mcp", "Procedural"]
    domain: str
    tools: list[RawTool]
    source: str
    version: str
    licence: str
    program: Program | None = None
    world: WorldReference | None = None
    labels: dict[str, str] = field(default_factory=dict)
    unreachable: str = ""
    """Why it could not be read; such a server has no tools."""
