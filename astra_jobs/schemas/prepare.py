"""Bringing a document into the form in which it is kept and checked: one rule for tool corpora and sandboxes (SPEC 1, 4).

What is repaired, and reported as a loss where something is lost: no schema at all and ``true`` (a tool without
parameters), a root that does not say ``type: object`` but may describe one, ``required`` written inside ``properties``,
an unknown ``$schema`` (read as 2020-12, never looked up), a pattern that no engine of ours can take where leaving it out
only allows more. Everything else that is no schema is refused, naming the place. The order of keys is the document's.
"""

import functools
import json
from typing import Any

import jsonschema_rs

from astra_jobs.schemas.core import Core
from astra_jobs.schemas.cost import Cost, cost_of, simple_cost_of
from astra_jobs.schemas.dialects import DEFAULT, DEFINITIONS, LISTS, MAPS, SINGLE, Dialect, dialect_of
from astra_jobs.schemas.document import Document
from astra_jobs.schemas.errors import SchemaRefused, pointer, shown
from astra_jobs.schemas.listed import Listed, listed_in
from astra_jobs.schemas.measure import free_length
from astra_jobs.schemas.patterns import weight
from astra_jobs.schemas.plain import Path, plain_text

_NARROWING = frozenset({"not", "if", "oneOf", "contains"})
"""Where one of these stands, a schema that allows more may refuse more."""
_DRAFTS = "drafts 4, 6, 7, 2019-09 and 2020-12"


class Prepared:
    """A schema that values can be judged by. ``document`` is what is kept, ``losses`` what it does not say any more."""

    def __init__(self, document: dict[str, Any], losses: tuple[str, ...], dialect: Dialect, arguments: bool) -> None:
        self.document = document
        self.losses = losses
        self.dialect = dialect
        self.core = Core(places := Document(document, dialect))
        check_form(self.core)
        self.listed: Listed = listed_in(places)
        simple = simple_cost_of(self.core)
        self.free = free_length(simple, None) if simple else free_length(self.cost.most, self.cost.deepest)
        """Length of JSON text up to which a value may be judged without being measured."""
        if arguments and not _may_be_object((), places, set()):
            raise SchemaRefused("SchemaNotAnObject", "the schema describes no object; arguments are an object")

    @functools.cached_property
    def cost(self) -> Cost:
        """What judging a value costs; SchemaRefused when that is too much, which a schema was asked when it was read."""
        return cost_of(self.core)


def prepared(schema: Any) -> Prepared:
    """Return the schema of a tool's arguments as it is kept; SchemaRefused when it is none. Cached, for tools share schemas."""
    return _prepared(plain_text(schema), arguments=True)


def prepared_value(schema: Any) -> Prepared:
    """Return a schema of any value, as that of a result; SchemaRefused."""
    return _prepared(plain_text(schema), arguments=False)


def listed(schema: dict[str, Any]) -> Listed:
    """Return the arguments that the schema of a tool lists; nothing of a schema that is refused."""
    try:
        return prepared(schema).listed
    except SchemaRefused:
        return Listed()


@functools.lru_cache(maxsize=2048)
def _prepared(text: str, arguments: bool) -> Prepared:
    losses: list[str] = []
    schema = json.loads(text)
    if arguments:
        schema = _of_object(schema, losses)
    elif not isinstance(schema, dict):
        raise SchemaRefused("SchemaNotAnObject", f"the schema is {shown(text)}, not a mapping")
    dialect = _dialect(schema, losses)
    document = _Repair(dialect, losses).schema(schema, ())
    return Prepared(document, tuple(losses), dialect, arguments)


def _of_object(schema: Any, losses: list[str]) -> dict[str, Any]:
    """Return a mapping that says ``type: object`` at its root."""
    if schema is None or schema is True:
        losses.append("no schema of arguments: kept as a tool without parameters")
        return {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise SchemaRefused("SchemaNotAnObject", f"the schema is {shown(json.dumps(schema))}, not a mapping")
    if not schema:
        losses.append("the schema lists no arguments: kept as a tool without parameters")
    kind = schema.get("type")
    if "type" not in schema:
        return {"type": "object", **schema}
    if isinstance(kind, list) and "object" in kind:
        return {**schema, "type": "object"}
    if kind != "object":
        raise SchemaRefused("SchemaNotAnObject", f"the schema's type is {shown(json.dumps(kind))}, not object")
    return schema


def _dialect(schema: dict[str, Any], losses: list[str]) -> Dialect:
    named = schema.get("$schema")
    if named is None and "$schema" not in schema:
        return DEFAULT
    if not isinstance(named, str):
        raise SchemaRefused("SchemaInvalid", f"#/$schema: {shown(json.dumps(named))} is no name of a dialect")
    found = dialect_of(named)
    if found is None:
        losses.append(f"$schema {shown(named)} left out: it is none of {_DRAFTS}; read as 2020-12")
        return DEFAULT
    return found


class _Repair:
    """Writes a document anew, with what is repaired."""

    def __init__(self, dialect: Dialect, losses: list[str]) -> None:
        self.dialect = dialect
        self.losses = losses
        self.narrows: bool | None = None
        self.root: Any = None

    def schema(self, schema: Any, place: Path) -> Any:
        """Return a schema with its repairs and those of the schemas inside it."""
        if not place:
            self.root = schema
        if not isinstance(schema, dict):
            return schema
        written: dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword == "$schema" and self._foreign(value, place):
                continue
            if keyword == "pattern" and self._unusable(keyword, value, place):
                continue
            written[keyword] = self._inner(keyword, value, (*place, keyword))
        return self._required(written, place)

    def _inner(self, keyword: str, value: Any, place: Path) -> Any:
        if isinstance(value, dict) and (keyword in DEFINITIONS or (keyword in MAPS and keyword in self.dialect.keywords)):
            return {name: self.schema(inner, (*place, name)) for name, inner in value.items()}
        if keyword not in self.dialect.keywords:
            return value
        if isinstance(value, list) and (keyword in LISTS or keyword == "items"):
            return [self.schema(inner, (*place, index)) for index, inner in enumerate(value)]
        return self.schema(value, place) if keyword in SINGLE else value

    def _foreign(self, named: Any, place: Path) -> bool:
        """Tell whether a ``$schema`` must go, and say so; that of the root was reported when the dialect was chosen."""
        found = dialect_of(named) if isinstance(named, str) else None
        if not place or (found is not None and found.name == self.dialect.name):
            return found is None
        self.losses.append(f"{pointer(place)}: $schema {shown(str(named))} left out; the document is read as {self.dialect.name}")
        return True

    def _required(self, schema: dict[str, Any], place: Path) -> dict[str, Any]:
        """Move a ``required`` that stands among the properties to where it belongs."""
        properties = schema.get("properties")
        names = properties.get("required") if isinstance(properties, dict) else None
        if not isinstance(names, list):
            return schema
        others = {name: value for name, value in properties.items() if name != "required"} if isinstance(properties, dict) else {}
        if "required" in schema or not names or not all(isinstance(name, str) and name in others for name in names):
            return schema  # refused by form: a list is no schema
        self.losses.append(f"{pointer(place)}: required stood inside properties; moved beside it")
        return {**{key: others if key == "properties" else value for key, value in schema.items()}, "required": list(dict.fromkeys(names))}

    def _unusable(self, keyword: str, pattern: Any, place: Path) -> bool:
        if keyword not in self.dialect.keywords or not isinstance(pattern, str) or weight(pattern) is not None:
            return False
        if self.narrows is None:
            self.narrows = _has(self.root, _NARROWING)
        if self.narrows:
            return False  # refused later, by name
        self.losses.append(f"{pointer((*place, keyword))}: the pattern {shown(pattern)} left out: it is none of ECMA-262, or too large")
        return True


def _has(value: Any, keys: frozenset[str]) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (isinstance(value, dict) and not keys.isdisjoint(value)) or any(_has(item, keys) for item in inner)


def check_form(core: Core) -> None:
    """Raise SchemaRefused, naming the place, unless a schema has the form that its dialect asks for."""
    whole = {"$schema": core.dialect.uri, **core.root} if isinstance(core.root, dict) else core.root
    if isinstance(whole, dict) and core.definitions:
        whole = {**whole, core.container: core.definitions}
    try:
        jsonschema_rs.meta.validate(whole)
    except jsonschema_rs.ValidationError as error:
        raise SchemaRefused("SchemaInvalid", f"{pointer(core.place(error.instance_path))}: {shown(_worded(error))}") from None
    except (ValueError, RecursionError) as error:
        raise SchemaRefused("SchemaInvalid", shown(str(error) or "nested too deeply")) from None


def _worded(error: jsonschema_rs.ValidationError) -> str:
    if error.instance_path and error.instance_path[-1] == "type":
        return f"{shown(json.dumps(error.instance))} is no type of JSON Schema"
    return error.message


def _may_be_object(place: Path, document: Document, seen: set[Path]) -> bool:
    """Tell whether types, composition and references leave room for an object."""
    schema = document.schemas[place]
    if not isinstance(schema, dict) or place in seen:
        return schema is not False
    seen = seen | {place}
    targets = document.targets.get(place, {}).values()
    if targets and document.dialect.alone:
        return all(_may_be_object(target, document, seen) for target in targets)
    kinds = schema.get("type", "object")
    if "object" not in ([kinds] if isinstance(kinds, str) else kinds) or not _allows_object(schema):
        return False
    every = [*targets, *((*place, "allOf", index) for index in range(len(schema.get("allOf", ()))))]
    some = [[(*place, keyword, index) for index in range(len(schema[keyword]))] for keyword in ("anyOf", "oneOf") if keyword in schema]
    return all(_may_be_object(one, document, seen) for one in every) and all(
        any(_may_be_object(one, document, seen) for one in group) for group in some
    )


def _allows_object(schema: dict[str, Any]) -> bool:
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return values is None or any(isinstance(value, dict) for value in values)
