"""Checking a call's arguments against the tool's JSON schema, before any tool code runs.

One line names the argument, as the model is shown it. The rule is that of ``schemas``: what a tool corpus keeps is accepted
here, and nothing else. Schemas are untrusted: nothing is fetched for one, one that costs too much is refused, and reading
large ones does not hold up the event loop.
"""

import asyncio
from collections.abc import Sequence

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.protocol import ToolCode
from astra_jobs.schemas import Check, SchemaRefused, arguments_check, prepared, size_of

INLINE = 1 << 14
"""Schemas of so many characters together are read at once, some 20 ms; more are read in a thread."""


async def checks_of(tools: Sequence[ToolCode]) -> dict[str, Check]:
    """Return the check of each tool's arguments, by name; BadInput names a tool whose schema is none, or that comes twice."""
    names = [tool.name for tool in tools]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise BadInput("tools", "BadInput", f"{twice} comes twice; tools of an environment have names of their own")
    if sum(size_of(tool.parameters, INLINE) for tool in tools) <= INLINE:
        return _checks(tools)
    return await asyncio.to_thread(_checks, tools)


def losses_of(tools: Sequence[ToolCode]) -> list[str]:
    """Return what the schemas of accepted tools say that is not checked, one line each, naming the tool."""
    return [f"{tool.name}: {loss}" for tool in tools for loss in prepared(tool.parameters).losses]


def _checks(tools: Sequence[ToolCode]) -> dict[str, Check]:
    found = {}
    for tool in tools:
        try:
            found[tool.name] = arguments_check(tool.parameters)
        except SchemaRefused as error:
            raise BadInput(f"{tool.name}.parameters", "BadInput", f"not a JSON schema of arguments: {error}") from None
    return found
