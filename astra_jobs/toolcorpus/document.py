"""One tool document as MCP writes it → a raw tool, or the reason why it is none (SPEC 1: one bad item never stops the others).

Real servers' documents and planted ones take this way alike. Here is judged what no schema library has to be asked: what is
missing, of the wrong type, or no text or number that a record can hold. Members that the normal form has no place for
(title, annotations, icons, _meta) are not looked at, whatever they hold.
"""

import json
from collections.abc import Mapping
from typing import Any

from astra_jobs.mcp.wire import flaw, parse, quoted, safe
from astra_jobs.toolcorpus.raw import RawTool

_TYPES = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object", type(None): "null"}


def raw_tool(document: Any, place: int, labels: Mapping[str, str] | None = None) -> RawTool:
    """Return a tool; one that is broken bears its fault (reason code and detail, which names the field) and a name to be called by.

    ``place`` is its number in the listing, by which a tool without a name is called.
    """
    found = dict(labels or {})
    if not isinstance(document, dict):
        return RawTool(f"#{place}", None, None, labels=found, fault=("NotATool", f"it is {_found(document)}, not an object"))
    name = document.get("name")
    called = quoted(name)[1:-1] if isinstance(name, str) and name.strip() else f"#{place}"
    description = document.get("description")
    fault = _fault(document)
    if fault is not None:
        return RawTool(called, None, None, labels=found, fault=fault)
    returns, losses = document.get("outputSchema"), tuple[str, ...]()
    broken = flaw(returns)
    if broken is not None:
        returns, losses = None, (f"result schema left out: outputSchema: {broken[1]}",)
    return RawTool(str(name), description, document.get("inputSchema"), returns, labels=found, losses=losses)


def planted(document: Mapping[str, Any], place: int, labels: Mapping[str, str] | None = None) -> RawTool:
    """Return a tool that was made here, by way of the text that a server would have sent."""
    return raw_tool(parse(json.dumps(document).encode()), place, labels)


def _fault(document: Mapping[str, Any]) -> tuple[str, str] | None:
    name, description = document.get("name"), document.get("description")
    if not isinstance(name, str) or not name.strip():
        return "BadName", f"name is {_found(name) if 'name' in document else 'missing'}; wanted text"
    if description is not None and not isinstance(description, str):
        return "BadDescription", f"description is {_found(description)}; wanted text"
    schema = document.get("inputSchema")
    if not (schema is None or schema is True or isinstance(schema, dict)):
        return "SchemaNotAnObject", f"inputSchema is {_found(schema)}, not an object"
    for field in ("name", "description", "inputSchema"):
        broken = flaw(document.get(field))
        if broken is not None:
            return broken[0], f"{field}: {broken[1]}"
    return None


def _found(value: Any) -> str:
    kind = _TYPES.get(type(value), "a value")
    return kind if value is None else f"{kind} ({safe(quoted(value, 60))})"
