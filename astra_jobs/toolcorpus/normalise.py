"""From a raw tool document to the OpenAI function form, keeping the whole JSON Schema (SPEC 1).

What cannot be converted is refused with a reason code; what is converted at a loss is told. References outside the
document are refused, as no sandbox or model could follow them.
"""

import functools
import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from astra_jobs.records.tool import Tool
from astra_jobs.text.fold import storable
from astra_jobs.toolcorpus.names import function_names
from astra_jobs.toolcorpus.raw import RawServer, RawTool

_REFERENCES = ("$ref", "$dynamicRef")
_SHOWN = 160


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
    parameters = _parameters(tool.parameters)
    returns = None
    try:
        returns = None if tool.returns is None else _parameters(tool.returns)
    except CannotConvert as error:
        losses.append(f"result schema left out: {error}")
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


def _parameters(schema: Any) -> dict[str, Any]:
    """Return an object schema, with the type filled in where properties show that it is one."""
    if not isinstance(schema, dict):
        raise CannotConvert("SchemaNotAnObject", f"the schema is {json.dumps(schema, default=str)[:_SHOWN]}, not a mapping")
    full: dict[str, Any] = {"type": "object", **schema} if "properties" in schema else schema
    if full.get("type") != "object":
        raise CannotConvert("SchemaNotAnObject", f"the schema's type is {full.get('type')!r}, not object")
    fault = _fault(json.dumps(full))
    if fault is not None:
        raise CannotConvert(*fault)
    return full


@functools.lru_cache(maxsize=16_384)
def _fault(text: str) -> tuple[str, str] | None:
    """Return why a schema is none: reason and detail. Cached, for most tools of a corpus share a few schemas."""
    schema = json.loads(text)
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        path = ".".join(str(part) for part in error.absolute_path)
        return "SchemaInvalid", f"{path or 'the schema'}: {error.message[:_SHOWN]}"
    for reference in _references(schema):
        if not reference.startswith("#"):
            return "ReferenceOutside", f"{reference} is outside the document"
        if not _resolves(schema, reference):
            return "ReferenceUnresolved", f"{reference} is not in the document"
    return None


def _references(node: Any) -> Iterator[str]:
    return (value for found in _mappings(node) for key, value in found.items() if key in _REFERENCES and isinstance(value, str))


def _mappings(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping inside a JSON value, itself included."""
    if isinstance(node, dict):
        yield node
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for value in inner:
        yield from _mappings(value)


def _resolves(schema: Any, reference: str) -> bool:
    """Follow a JSON pointer in the document, or find an anchor of that name."""
    fragment = reference[1:]
    if fragment and not fragment.startswith("/"):
        return any(fragment in (found.get("$anchor"), found.get("$dynamicAnchor")) for found in _mappings(schema))
    node = schema
    for raw in fragment.split("/")[1:]:
        key = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return False
    return True
