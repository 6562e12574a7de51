"""Checking a call's arguments against the tool's JSON schema, before any tool code runs.

One line names the argument, as the model is shown it. An argument that the schema does not list is refused unless the
schema says ``additionalProperties``, because the function takes its arguments by keyword.
"""

import functools
import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from astra_jobs.api.errors import BadInput

MESSAGE = 200
"""Longest message, characters."""


@functools.lru_cache(maxsize=4096)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({"additionalProperties": False, **json.loads(schema)})


@functools.lru_cache(maxsize=4096)
def _schema_fault(schema: str) -> str | None:
    try:
        Draft202012Validator.check_schema(json.loads(schema))
    except SchemaError as error:
        return str(error.message)[:MESSAGE]
    return None


def check_schema(tool: str, schema: dict[str, Any]) -> None:
    """Raise BadInput when a tool's schema is not a JSON schema of an object."""
    fault = _schema_fault(json.dumps(schema, sort_keys=True))
    if fault is not None:
        raise BadInput(f"{tool}.parameters", "BadInput", f"not a JSON schema: {fault}")
    if schema.get("type") != "object":
        raise BadInput(f"{tool}.parameters", "BadInput", f"type is {schema.get('type')!r}; the schema of arguments has type object")


class Arguments:
    """The check of one tool."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = json.dumps(schema, sort_keys=True)

    def fault(self, arguments: dict[str, Any]) -> str | None:
        """Return what is wrong with the arguments, naming the field; None when they fit."""
        return _fault(self.schema, json.dumps(arguments, sort_keys=True))


@functools.lru_cache(maxsize=1 << 15)
def _fault(schema: str, arguments: str) -> str | None:
    """Check once what is asked often: a group of rollouts, and the two processes of a verification, make equal calls."""
    errors = list(_validator(schema).iter_errors(json.loads(arguments)))
    errors.sort(key=lambda error: ([str(part) for part in error.absolute_path], error.message))
    return _worded(errors[0])[:MESSAGE] if errors else None


def _worded(error: ValidationError) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "required":
        missing = next(name for name in _listed(error.validator_value) if isinstance(error.instance, dict) and name not in error.instance)
        return f"missing argument {f'{path}.' if path else ''}{missing}"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        unknown = sorted(name for name in error.instance if name not in known)
        return f"unknown argument {f'{path}.' if path else ''}{unknown[0] if unknown else '?'}"
    return f"argument {path or '?'}: {error.message}"


def _listed(names: object) -> list[str]:
    return [str(name) for name in names] if isinstance(names, list) else []
