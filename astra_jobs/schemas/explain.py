"""The first fault of a large value, where the library would gather the faults of every alternative before it says one.

Alternatives are judged as a whole here, by a validator of their own, and only that none or several fit is reported.
"""

from collections.abc import Callable
from typing import Any

from astra_jobs.schemas.core import Core
from astra_jobs.schemas.dialects import LISTS, MAPS, SINGLE
from astra_jobs.schemas.patterns import OPTIONS

_ASKS = "alternatives"
"""Keyword of ours in place of ``anyOf`` and ``oneOf``; its value is the name of the group."""
OPTIONS_OF_ALL: dict[str, Any] = {"validate_formats": False, "pattern_options": OPTIONS, "offline": True}
"""What every validator is made with: notes judge nothing, matches are bounded, nothing is fetched."""


class Explainer:
    """Validator of a core whose alternatives each are judged as one."""

    def __init__(self, core: Core, top: Any) -> None:
        self.core = core
        self._groups: dict[str, Any] = {}
        self._judges: dict[str, Any] = {}
        definitions = {number: self._apart(definition) for number, definition in core.definitions.items()}
        written = {**self._apart(top), core.container: definitions}
        self._every = {name: _referring(schema, core.container) for name, schema in {**definitions, **self._groups}.items()}
        self.validator = core.dialect.validator(written, keywords={_ASKS: self._keyword()}, **OPTIONS_OF_ALL)

    def _keyword(self) -> type[Any]:
        fits = self._fits

        class Alternatives:
            """The keyword: made once for each place, asked for each value."""

            def __init__(self, parent: Any, value: Any, path: Any) -> None:
                self.names = value

            def validate(self, instance: Any) -> None:
                """Raise ValueError when a group of alternatives does not fit."""
                for name in self.names:
                    if not fits(name, instance):
                        keyword, _, count = name.split("-")
                        raise ValueError(f"fits {'none' if keyword == 'anyOf' else 'none or several'} of {count} alternatives ({keyword})")

        return Alternatives

    def _fits(self, name: str, value: Any) -> bool:
        judge = self._judges.get(name)
        if judge is None:
            reference = {"allOf": [{"$ref": f"#/{self.core.container}/{name}"}]}
            judge = self._judges[name] = self.core.dialect.validator({**reference, self.core.container: self._every}, **OPTIONS_OF_ALL)
        return bool(judge.is_valid(value))

    def _apart(self, schema: Any) -> Any:
        """Return a schema with its alternatives moved into groups."""
        if not isinstance(schema, dict):
            return schema
        names = []
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                name = f"{keyword}-{len(self._groups)}-{len(schema[keyword])}"
                self._groups[name] = {}  # takes the number before those within
                self._groups[name] = {keyword: [self._apart(inner) for inner in schema[keyword]]}
                names.append(name)
        rest = {keyword: value for keyword, value in schema.items() if keyword not in ("anyOf", "oneOf")}
        return _mapped(rest, self._apart) | ({_ASKS: names} if names else {})


def _referring(schema: Any, container: str) -> Any:
    """Return a schema with references in place of our keyword, for validators that do not know it."""
    if not isinstance(schema, dict):
        return schema
    written = _mapped({keyword: value for keyword, value in schema.items() if keyword != _ASKS}, lambda inner: _referring(inner, container))
    names = schema.get(_ASKS, ())
    return written | ({"allOf": [*written.get("allOf", []), *({"$ref": f"#/{container}/{name}"} for name in names)]} if names else {})


def _mapped(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a schema with each schema directly inside it changed."""
    written = dict(schema)
    for keyword, value in schema.items():
        if keyword in MAPS and isinstance(value, dict):
            written[keyword] = {name: inner if isinstance(inner, list) else change(inner) for name, inner in value.items()}
        elif keyword in LISTS or (keyword == "items" and isinstance(value, list)):
            written[keyword] = [change(inner) for inner in value]
        elif keyword in SINGLE:
            written[keyword] = change(value)
    return written
