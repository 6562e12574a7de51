"""Tool documents in the OpenAI function form, grouped by server (SPEC 1)."""

from typing import Any, Literal

from pydantic import Field

from astra_jobs.api.base import Model, Named, digest_of
from astra_jobs.api.v1alpha1.common import ProceduralWorlds


class Tool(Model):
    """One tool as a model sees it, with where it came from."""

    name: str = Field(description="function name that models see and call")
    original_name: str | None = Field(default=None, description="the name at its server where that is another one")
    description: str
    parameters: dict[str, Any] = Field(description="JSON Schema of the arguments, an object")
    returns: dict[str, Any] | None = Field(default=None, description="JSON Schema of the result, if it is known")
    source: str = ""
    version: str = ""
    licence: str = ""

    @property
    def called(self) -> str:
        """Return the name by which the tool's server is called."""
        return self.name if self.original_name is None else self.original_name

    def function(self) -> dict[str, Any]:
        """Return the OpenAI function schema that goes into a prompt.

        The schema's keys stand as its author declared them, as whoever serves the model shows them (``apply_chat_template``);
        files keep that order.
        """
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": self.parameters}}

    def digest(self) -> str:
        """Return the digest of what a model sees of the tool."""
        return digest_of(self.function())


class WorldReference(Model):
    """A procedural world by what it is generated from."""

    seed: int
    worlds: ProceduralWorlds


class Program(Model):
    """What serves tools, without its arguments: they stay in the spec, under the source of the server's name."""

    name: str = Field(description="name of the program's file")
    digest: str = Field(description="digest of program and arguments")


class Server(Model):
    """Tools that belong together, and how to reach them."""

    version: Literal[2] = 2
    name: str
    domain: str
    origin: Literal["Mcp", "Procedural"]
    program: Program | None = Field(
        default=None, description="what serves it, for an MCP server; the source of its name says how to start it"
    )
    world: WorldReference | None = Field(default=None, description="the world behind it, for a procedural server")
    tools: list[Tool]
    labels: Named[str] = Field(default_factory=dict)
