"""Judging values: a verdict, and for what does not fit one line that names the argument and what is wrong with it.

The verdict is the library's, by the dialect's own rules. Its cost is known beforehand (``cost``, ``measure``): a value that
would take too long is refused with a line of its own. Nothing here waits, fetches or opens anything.
"""

import functools
import json
from typing import Any

import jsonschema_rs

from astra_jobs.schemas.core import Core
from astra_jobs.schemas.errors import SchemaRefused, shown
from astra_jobs.schemas.explain import OPTIONS_OF_ALL, Explainer
from astra_jobs.schemas.listed import Listed
from astra_jobs.schemas.measure import STEPS, Level, free_length, levels, steps
from astra_jobs.schemas.patterns import translated
from astra_jobs.schemas.plain import keys_fault, scalar_fault
from astra_jobs.schemas.prepare import Prepared, prepared, prepared_value

MESSAGE = 200
"""Longest message, characters."""
_VALUE = 80
"""Most characters of a value that a message repeats."""
_GATHERED = 1_000
"""Most steps after which the library may gather the faults of alternatives; each takes some 20 microseconds."""


class Check:
    """The check of one schema."""

    __slots__ = ("_explainer", "_found", "_free", "_top", "_valid", "_validator")

    def __init__(self, found: Prepared, top: Any) -> None:
        self._found = found
        self._top = top
        self._free = found.free
        self._explainer: Explainer | None = None
        self._validator = _compiled(found.core, top)
        self._valid = self._validator.is_valid

    def accepts(self, value: Any) -> bool:
        """Tell whether a value fits; one that cannot be judged does not."""
        return self.fault(value) is None

    def fault(self, value: Any, length: int | None = None) -> str | None:
        """Return what is wrong with a value, naming the argument; None when it fits. ``length``: of its JSON text, if known."""
        try:
            if length is None or length > self._free:
                fault = self._too_costly(value, length)
                if fault is not None:
                    return fault[:MESSAGE]
            if self._valid(value):
                return None
            self._explained(value)
        except jsonschema_rs.ValidationError as error:
            return self._worded(error, value)[:MESSAGE]
        except (ValueError, RecursionError) as error:
            return (_not_plain(value) or f"arguments cannot be checked: {shown(str(error)) or 'nested too deeply'}")[:MESSAGE]
        return "arguments do not fit the schema"

    def _too_costly(self, value: Any, length: int | None) -> str | None:
        cost = self._found.cost
        self._free = max(self._free, free_length(cost.most, cost.deepest))  # counted by level, more is free
        if length is not None and length <= self._free:
            return None
        found = levels(value)
        deepest = cost.deepest
        if deepest is not None and len(found) > deepest + 1:
            return f"argument {_largest(value, deep=True)}: nested deeper than {deepest} levels, the most that its schema can be checked at"
        if (taken := steps(cost, found)) > STEPS:
            return f"argument {_largest(value)}: too large to be checked by its schema ({taken} steps, at most {STEPS}); shorten it"
        return None

    def _explained(self, value: Any) -> None:
        """Raise the first fault."""
        if self._found.cost.gathers and steps(self._found.cost, levels(value)) > _GATHERED:
            if self._explainer is None:
                self._explainer = Explainer(self._found.core, self._top)
            self._explainer.validator.validate(value)
        else:
            self._validator.validate(value)

    def _worded(self, error: jsonschema_rs.ValidationError, value: Any) -> str:
        path = ".".join(str(part) for part in error.instance_path)
        kind = error.kind.as_dict() if error.kind.name in ("required", "additionalProperties", "unevaluatedProperties") else {}
        if "property" in kind:
            return f"missing argument {f'{path}.' if path else ''}{kind['property']}"
        if kind.get("unexpected"):
            return f"unknown argument {f'{path}.' if path else ''}{self._unknown(value, path) or min(kind['unexpected'])}"
        message: str = error.message
        if len(message) + len(path) > MESSAGE - 20:
            message = self._shortened(error)
        return f"argument {path or '?'}: {message}"

    def _unknown(self, value: Any, path: str) -> str | None:
        """Return the first unknown argument by name, where the names of all are known: the library says the first it meets."""
        names = self._found.listed
        return None if path or names.patterns or names.open else min((name for name in value if name not in names.properties), default=None)

    @staticmethod
    def _shortened(error: jsonschema_rs.ValidationError) -> str:
        """Return the message with a long value cut, so that what is wrong with it is still said."""
        text = json.dumps(error.instance, ensure_ascii=False, separators=(",", ":"))
        return error.message.replace(text, shown(text, _VALUE), 1)


def _compiled(core: Core, top: Any) -> Any:
    whole = {**top, core.container: core.definitions} if isinstance(top, dict) and core.definitions else top
    try:
        return core.dialect.validator(whole, **OPTIONS_OF_ALL)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
        raise SchemaRefused("SchemaInvalid", shown(str(getattr(error, "message", error)))) from None


def _with_names(core: Core, names: Listed) -> Any:
    """Return the root that refuses arguments which the schema does not list."""
    root = core.root
    if names.open or not isinstance(root, dict):
        return root
    if names.plain and "additionalProperties" not in root and () not in core.origins.values():
        return {"properties": {}, "additionalProperties": False, **root}
    anything: Any = {} if core.dialect.name == "draft-04" else True
    only = {
        "properties": dict.fromkeys(names.properties, anything),
        "patternProperties": {translated(pattern): anything for pattern in names.patterns},
        "additionalProperties": False,
    }
    return {"allOf": [root, only]}


@functools.lru_cache(maxsize=4096)
def _arguments_check(found: Prepared) -> Check:
    return Check(found, _with_names(found.core, found.listed))


@functools.lru_cache(maxsize=4096)
def _value_check(found: Prepared) -> Check:
    return Check(found, found.core.root)


def arguments_check(schema: Any) -> Check:
    """Return the check of a call's arguments: the schema, and no argument that it does not list; SchemaRefused."""
    return _arguments_check(prepared(schema))


def value_check(schema: Any) -> Check:
    """Return the check of any value, as a result; SchemaRefused."""
    return _value_check(prepared_value(schema))


def _largest(value: Any, deep: bool = False) -> str:
    """Return the name of the argument that holds most, or is nested deepest."""
    if not isinstance(value, dict) or not value:
        return "?"
    sizes: dict[str, list[Level]] = {str(name): levels(inner) for name, inner in value.items()}
    return max(sizes, key=lambda name: len(sizes[name]) if deep else sum(level.values + level.characters for level in sizes[name]))


def _not_plain(value: Any) -> str | None:
    """Return which argument is no JSON, and why."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        path, found = waiting.pop()
        fault = keys_fault(found) if isinstance(found, dict | list) else scalar_fault(found)
        if fault is not None:
            return f"argument {shown(path) or '?'}: {fault}"
        inner = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
        waiting += [(f"{path}.{key}" if path else str(key), item) for key, item in inner]
    return None
