"""From a raw tool document to the OpenAI function form, keeping the whole JSON Schema (SPEC 1).

What cannot be converted is refused with a reason code; what is converted at a loss is reported. Which schemas are kept is
decided by ``schemas``, which also checks arguments at run time, so that every tool that is kept can be called.
"""

import copy
from typing import Any

from astra_jobs.records.tool import Tool
from astra_jobs.schemas import SchemaRefused, prepared
from astra_jobs.text.fold import storable
from astra_jobs.toolcorpus.names import function_names
from astra_jobs.toolcorpus.raw import RawServer, RawTool


class CannotConvert(Exception):
    """A document that has no function form: ``reason`` is a code, the text says what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def normalise(server: RawServer, tool: RawTool, name: str | None = None) -> tuple[Tool, list[str]]:
    """Return the tool and what was lost, one sentence each; raise CannotConvert.

    ``name`` is the function name that the tool has among its server's tools (``function_names``); None takes it for the
    only one.
    """
    losses: list[str] = []
    if name is None:
        name = function_names([tool.name]).get(tool.name, "")
    if not name:
        raise CannotConvert("BadName", f"no function name can be made of {storable(tool.name)!r}: it is empty, no text, or taken")
    if name != tool.name:
        losses.append(f"renamed to {name}: names are 1 to 64 letters, digits, _ and -; its server knows it by the old one")
    parameters = _parameters(tool.parameters, losses)
    returns, lost = None, list[str]()
    try:
        returns = None if tool.returns is None else _parameters(tool.returns, lost)
    except CannotConvert as error:
        losses.append(f"result schema left out: {error}")
    losses += [f"result schema: {loss}" for loss in lost]
    document = Tool(
        name=name,
        original_name=tool.name if name != tool.name else None,
        description=(tool.description or "").strip(),
        parameters=parameters,
        returns=returns,
        source=server.source,
        version=server.version,
        licence=server.licence,
    )
    return document, losses


def _parameters(schema: Any, losses: list[str]) -> dict[str, Any]:
    """Return the schema as it is kept; what it lost is added to ``losses``."""
    try:
        found = prepared(schema)
    except SchemaRefused as error:
        raise CannotConvert(error.reason, str(error)) from None
    losses += found.losses
    return copy.deepcopy(found.document)
