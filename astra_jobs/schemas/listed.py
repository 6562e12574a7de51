"""Which arguments a schema lists: anywhere in its composition, and not only beside its root (SPEC 1, 4).

A function takes its arguments by keyword, so one that the schema does not list is refused unless the schema says
``additionalProperties`` or ``unevaluatedProperties``. Listed is what any schema that judges the same object names, in
``properties`` or ``required``, through ``allOf``, ``anyOf``, ``oneOf``, ``if``/``then``/``else``, ``dependentSchemas`` and
references, in every dialect: a branch that does not apply still says that the argument exists. ``not`` lists nothing.
"""

from dataclasses import dataclass, field
from typing import Any

from astra_jobs.schemas.dialects import IN_PLACE, IN_PLACE_LISTS, IN_PLACE_MAPS
from astra_jobs.schemas.document import REFERENCES, Document, children
from astra_jobs.schemas.plain import Path

_LISTING = (IN_PLACE | IN_PLACE_LISTS | IN_PLACE_MAPS) - {"not"}
_CHAIN = 8
"""Most references that are followed to say what an argument is."""
_ALWAYS = frozenset({"allOf"})


@dataclass(frozen=True)
class Listed:
    """The arguments of a tool. ``properties`` holds the first schema of each, with the one that it refers to, as a mapping.

    ``open``: others are taken too.
    """

    properties: dict[str, dict[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    open: bool = False
    plain: bool = True
    """Whether the root alone lists them."""


def listed_in(document: Document) -> Listed:
    """Return the arguments that a document lists."""
    properties: dict[str, dict[str, Any]] = {}
    required: dict[str, None] = {}
    named: dict[str, None] = {}
    patterns: dict[str, None] = {}
    is_open = False
    seen: dict[Path, bool] = {}
    waiting: list[tuple[Path, bool]] = [((), True)]
    while waiting:
        place, always = waiting.pop(0)
        if seen.get(place) or (place in seen and not always):
            continue
        seen[place] = always
        schema = document.schemas[place]
        if not isinstance(schema, dict):
            continue
        for name in schema.get("properties", {}):
            properties.setdefault(name, _shown(document, (*place, "properties", name)))
        named |= dict.fromkeys(_names(schema))
        required |= dict.fromkeys(_strings(schema.get("required"))) if always else {}
        patterns |= dict.fromkeys(schema.get("patternProperties", {}))
        is_open = is_open or any(
            schema.get(keyword, False) is not False
            for keyword in ("additionalProperties", "unevaluatedProperties")
            if keyword in document.dialect.keywords
        )
        waiting += [(target, always) for target in document.targets.get(place, {}).values()]
        waiting += [
            ((*place, *below), always and keyword in _ALWAYS)
            for keyword, below, _ in children(schema, document.dialect)
            if keyword in _LISTING
        ]
    for name in (*required, *named):
        properties.setdefault(name, {})
    return Listed(properties, tuple(required), tuple(patterns), is_open, len(seen) == 1 and set(properties) <= set(_own(document)))


def _shown(document: Document, place: Path) -> dict[str, Any]:
    """Return a schema and what it refers to as one mapping, its own keywords first."""
    found: dict[str, Any] = {}
    for _ in range(_CHAIN):
        schema = document.schemas[place]
        found = {**{key: value for key, value in schema.items() if key not in REFERENCES}, **found} if isinstance(schema, dict) else found
        targets = list(document.targets.get(place, {}).values())
        if not targets:
            break
        place = targets[0]
    return found


def _own(document: Document) -> dict[str, Any]:
    found = document.root.get("properties", {}) if isinstance(document.root, dict) else {}
    return found if isinstance(found, dict) else {}


def _names(schema: dict[str, Any]) -> list[str]:
    """Return the names that a schema asks for outside ``properties``."""
    found = _strings(schema.get("required"))
    for keyword in ("dependentRequired", "dependencies"):
        for name, others in schema[keyword].items() if isinstance(schema.get(keyword), dict) else ():
            found += [name, *_strings(others)]
    return found


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
