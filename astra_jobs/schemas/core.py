"""From a document to the schema that is compiled: assertions alone, references as ``#/$defs/N``, nothing that names a place.

The library sees no ``$id``, no ``$schema`` and no reference but to a definition that stands beside it, so what it follows
is what was counted (``cost``), and there is nothing that it could fetch. Notes (``title``, ``default``, ``format`` …) are
left out: they judge nothing. Older forms in documents that name no dialect are written as 2020-12.
"""

from typing import Any

from astra_jobs.schemas.dialects import DEFINITIONS, LISTS, MAPS, SINGLE
from astra_jobs.schemas.document import REFERENCES, Document
from astra_jobs.schemas.errors import SchemaRefused, pointer, shown
from astra_jobs.schemas.patterns import MOST_WEIGHT, translated, weight
from astra_jobs.schemas.plain import Path

Schema = dict[str, Any]


class Core:
    """The compiled form of a document: ``root``, ``definitions``, and where in the document each definition stands."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.dialect = document.dialect
        self.container = "definitions" if self.dialect.alone else "$defs"
        self._patterns: dict[str, str] = {}
        self._numbers = {place: str(number) for number, place in enumerate(document.referenced)}
        unused = [
            place
            for place in document.schemas
            if len(place) > 1 and place[-2] in DEFINITIONS and place[:-2] in document.schemas and place not in self._numbers
        ]
        self.origins = {number: place for place, number in self._numbers.items()}
        self.origins |= {f"u{index}": place for index, place in enumerate(unused)}
        self.definitions = {number: self._written(place) for number, place in self.origins.items()}
        self.root = self._at(()) if () in self._numbers else self._written(())

    def place(self, path: list[Any]) -> Path:
        """Return where something of the core stands in the document."""
        if len(path) > 1 and path[0] == self.container:
            return (*self.origins.get(str(path[1]), ()), *path[2:])
        return tuple(path)

    def _at(self, place: Path) -> Any:
        """Return the schema of a place: a reference where others lead to it."""
        number = self._numbers.get(place)
        return self._written(place) if number is None else {"$ref": f"#/{self.container}/{number}"}

    def _written(self, place: Path) -> Any:
        schema = self.document.schemas[place]
        if isinstance(schema, bool) and self.dialect.name == "draft-04":
            return {} if schema else {"not": {}}
        if not isinstance(schema, dict):
            return schema
        followed = [{"$ref": f"#/{self.container}/{self._numbers[target]}"} for target in self.document.targets.get(place, {}).values()]
        if followed and self.dialect.alone:
            return followed[0]
        core: Schema = {keyword: schema[keyword] for keyword in REFERENCES[:1] if not isinstance(schema.get(keyword, ""), str)}
        for keyword, value in schema.items():
            if keyword in self.dialect.keywords:
                core[keyword] = self._keyword(keyword, value, place)
        if core.get("additionalProperties") is False:
            core.setdefault("properties", {})  # else the library does not say which key is too many
        if len(followed) == 1:
            core = {**followed[0], **core}
        elif followed and isinstance(parts := core.get("allOf", []), list):
            core["allOf"] = [*parts, *followed]
        return _modern(core) if self.dialect.tolerant else core

    def _keyword(self, keyword: str, value: Any, place: Path) -> Any:
        if keyword in MAPS and isinstance(value, dict):
            written = {
                name: inner if keyword == "dependencies" and isinstance(inner, list) else self._at((*place, keyword, name))
                for name, inner in value.items()
            }
            if keyword != "patternProperties":
                return written
            return {self._pattern(name, (*place, keyword, name)): inner for name, inner in written.items()}
        if (keyword in LISTS or keyword == "items") and isinstance(value, list):
            return [self._at((*place, keyword, index)) for index in range(len(value))]
        if keyword in SINGLE:
            return self._at((*place, keyword))
        if keyword == "pattern" and isinstance(value, str):
            return self._pattern(value, (*place, keyword))
        return value

    def _pattern(self, pattern: str, place: Path) -> str:
        if pattern not in self._patterns:
            if weight(pattern) is None:
                raise SchemaRefused(
                    "PatternUnsupported", f"{pointer(place)}: the pattern {shown(pattern)} is none of ECMA-262, or too large"
                )
            self._patterns[pattern] = translated(pattern)
            if sum(weight(known) or 0 for known in self._patterns) > MOST_WEIGHT:
                raise SchemaRefused("SchemaTooCostly", f"{pointer(place)}: the patterns of the schema are too large together")
        return self._patterns[pattern]


def _modern(core: Schema) -> Schema:
    """Return a schema with the forms of draft 4 to 7 written as 2020-12 writes them."""
    if isinstance(core.get("items"), list):
        rest = core.pop("additionalItems", None)
        core["prefixItems"] = core.pop("items")
        if rest is not None:
            core["items"] = rest
        if not core["prefixItems"]:
            del core["prefixItems"]  # no form of 2020-12, and asks for nothing
    core.pop("additionalItems", None)
    for keyword, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(core.get(keyword), bool) and core.pop(keyword) and limit in core:
            core[keyword] = core.pop(limit)
    dependencies = core.pop("dependencies", None)
    if isinstance(dependencies, dict):
        required = {name: value for name, value in dependencies.items() if isinstance(value, list)}
        schemas = {name: value for name, value in dependencies.items() if name not in required}
        for keyword, old in (("dependentRequired", required), ("dependentSchemas", schemas)):
            if isinstance(new := core.get(keyword, {}), dict):  # what is no map stays, and is refused by its form
                core[keyword] = old | new
    return core
