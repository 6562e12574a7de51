"""Checking a call's arguments against the tool's JSON schema, before any tool code runs.

One line names the argument, as the model is shown it. An argument that the schema does not list is refused unless the
schema says ``additionalProperties``, because the function takes its arguments by keyword. One library decides and words
it. Schemas are untrusted: nothing is fetched, and a schema that refers to itself without end is refused.
"""

import functools
import json
from typing import Any

import jsonschema_rs

from astra_jobs.api.errors import BadInput

MESSAGE = 200
"""Longest message, characters."""


def _fetch(address: str) -> Any:
    raise ValueError(f"{address}: nothing is fetched for a schema")


@functools.lru_cache(maxsize=4096)
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        {"additionalProperties": False, **json.loads(schema)}, validate_formats=False, retriever=_fetch
    )


@functools.lru_cache(maxsize=4096)
def _schema_fault(schema: str) -> str | None:
    loaded = json.loads(schema)
    try:
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **loaded})
        _validator(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
        return (str(getattr(error, "message", error)).splitlines() or [""])[0][:MESSAGE]
    return _endless(loaded)


def _endless(schema: Any) -> str | None:
    """Return what is wrong with a schema whose references lead back to themselves without going into the arguments."""
    for start in _references(schema):
        seen, todo = set(), [start]
        while todo:
            name = todo.pop()
            target = _resolved(schema, name)
            for further in _in_place(target):
                if further == start:
                    return f"$ref {start} leads back to itself"
                if further not in seen:
                    seen.add(further)
                    todo.append(further)
    return None


_INTO = frozenset({"properties", "patternProperties", "additionalProperties", "items", "prefixItems", "contains", "propertyNames"})
_ASIDE = frozenset({"$defs", "definitions", "enum", "const", "default", "examples"})


def _references(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(_references, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    found = set().union(*map(_references, schema.values())) if schema else set()
    return found | {value for key in ("$ref", "$dynamicRef") if isinstance(value := schema.get(key), str)}


def _in_place(schema: Any) -> set[str]:
    """Return the references that are followed for the same value."""
    if isinstance(schema, list):
        return set().union(*map(_in_place, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    here = {value for key in ("$ref", "$dynamicRef") if isinstance(value := schema.get(key), str)}
    return here.union(*(_in_place(value) for key, value in schema.items() if key not in _INTO | _ASIDE))


def _resolved(schema: Any, reference: str) -> Any:
    """Follow a local JSON pointer; other forms count as the whole schema, the worst case."""
    found = schema
    for part in reference.removeprefix("#").removeprefix("/").split("/") if reference.startswith("#/") else ():
        part = part.replace("~1", "/").replace("~0", "~")
        found = found.get(part) if isinstance(found, dict) else found[int(part)] if isinstance(found, list) and part.isdigit() else None
    return found


def check_schema(tool: str, schema: dict[str, Any]) -> None:
    """Raise BadInput when a tool's schema is not a JSON schema of an object."""
    fault = _schema_fault(json.dumps(schema, sort_keys=True))
    if fault is not None:
        raise BadInput(f"{tool}.parameters", "BadInput", f"not a JSON schema: {fault}")
    if schema.get("type") != "object":
        raise BadInput(f"{tool}.parameters", "BadInput", f"type is {schema.get('type')!r}; the schema of arguments has type object")


class Arguments:
    """The check of one tool."""

    __slots__ = ("_valid", "_validator")

    def __init__(self, schema: dict[str, Any]) -> None:
        self._validator = _validator(json.dumps(schema, sort_keys=True))
        self._valid = self._validator.is_valid

    def fault(self, arguments: dict[str, Any]) -> str | None:
        """Return what is wrong with the arguments, naming the field; None when they fit."""
        try:
            if self._valid(arguments):
                return None
            errors = sorted(
                self._validator.iter_errors(arguments), key=lambda error: ([str(part) for part in error.instance_path], error.message)
            )
        except (ValueError, RecursionError) as error:
            return f"arguments cannot be checked: {str(error).splitlines()[0] if str(error) else 'too deep'}"[:MESSAGE]
        return _worded(errors[0])[:MESSAGE] if errors else "arguments do not fit the schema"


def _worded(error: jsonschema_rs.ValidationError) -> str:
    path = ".".join(str(part) for part in error.instance_path)
    kind = error.kind.as_dict() if error.kind.name in ("required", "additionalProperties") else {}
    if "property" in kind:
        return f"missing argument {f'{path}.' if path else ''}{kind['property']}"
    if kind.get("unexpected"):
        return f"unknown argument {f'{path}.' if path else ''}{min(kind['unexpected'])}"
    return f"argument {path or '?'}: {error.message}"
