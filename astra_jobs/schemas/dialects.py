"""The dialects of JSON Schema: how each is named, and which keywords hold schemas.

A document that names none is read as 2020-12, with what draft 4 to 7 wrote differently and generators still write without
saying so: ``items`` as a list, ``additionalItems``, ``dependencies`` and boolean ``exclusiveMinimum``.
"""

from dataclasses import dataclass
from typing import Any

import jsonschema_rs

IN_PLACE_LISTS = frozenset({"allOf", "anyOf", "oneOf"})
IN_PLACE_MAPS = frozenset({"dependentSchemas", "dependencies"})
IN_PLACE = frozenset({"not", "if", "then", "else"})
"""Keywords whose schemas judge the same value as the schema they stand in."""
MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SINGLE = frozenset(
    {
        *("not", "if", "then", "else", "contains", "propertyNames", "items", "additionalItems"),
        *("additionalProperties", "unevaluatedProperties", "unevaluatedItems"),
    }
)
DEFINITIONS = ("$defs", "definitions")
_FOUR = {
    *("allOf", "anyOf", "oneOf", "not", "items", "additionalItems", "properties", "patternProperties", "additionalProperties"),
    *("dependencies", "type", "enum", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    *("maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties", "required"),
}
_SIX = {*_FOUR, "const", "contains", "propertyNames"}
_SEVEN = {*_SIX, "if", "then", "else"}
_NEW = {"dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "minContains", "maxContains"}


@dataclass(frozen=True)
class Dialect:
    """One dialect. ``alone``: a reference hides what stands beside it. ``tolerant``: older forms are understood."""

    name: str
    validator: type[Any]
    keywords: frozenset[str]
    uri: str
    identity: str = "$id"
    alone: bool = False
    tolerant: bool = False


_OLD = "http://json-schema.org/draft-0{}/schema"
_LATER = "https://json-schema.org/draft/{}/schema"
DRAFT4 = Dialect("draft-04", jsonschema_rs.Draft4Validator, frozenset(_FOUR), _OLD.format(4) + "#", "id", alone=True)
DRAFT6 = Dialect("draft-06", jsonschema_rs.Draft6Validator, frozenset(_SIX), _OLD.format(6) + "#", alone=True)
DRAFT7 = Dialect("draft-07", jsonschema_rs.Draft7Validator, frozenset(_SEVEN), _OLD.format(7) + "#", alone=True)
DRAFT2019 = Dialect("2019-09", jsonschema_rs.Draft201909Validator, frozenset({*_SEVEN, *_NEW} - {"dependencies"}), _LATER.format("2019-09"))
_NOW = frozenset({*_SEVEN, *_NEW, "prefixItems"} - {"dependencies", "additionalItems"})
DRAFT2020 = Dialect("2020-12", jsonschema_rs.Draft202012Validator, _NOW, _LATER.format("2020-12"))
DEFAULT = Dialect(
    "2020-12", jsonschema_rs.Draft202012Validator, _NOW | {"dependencies", "additionalItems"}, _LATER.format("2020-12"), tolerant=True
)
_KNOWN = {dialect.uri.rstrip("#").partition("//")[2]: dialect for dialect in (DRAFT4, DRAFT6, DRAFT7, DRAFT2019, DRAFT2020)}
_KNOWN["json-schema.org/schema"] = DEFAULT  # "the latest", as some generators write


def dialect_of(name: str) -> Dialect | None:
    """Return the dialect that a ``$schema`` names, with or without the last ``#``, by http or https; None for others."""
    scheme, _, rest = name.strip().partition("://")
    return _KNOWN.get(rest.removesuffix("#").removesuffix("/")) if scheme.lower() in ("http", "https") else None
