"""Tools of a procedural world: one table column behind one function of one text argument (SPEC 6).

Everything a model sees of a tool is one short line, as the smallest models have to read it. The same column answers
calls in this process (``call``) and, as self-contained Python, in the sandbox (``source``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from astra_jobs.records.environment import Answer
from astra_jobs.records.tool import Tool
from astra_jobs.worlds.words import Kind

_JSON_TYPES: dict[Kind, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "integer"},
    "date": {"type": "string", "format": "date"},
    "list": {"type": "array", "items": {"type": "string"}},
    "set": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
}


class WorldToolError(Exception):
    """A call that the tool refuses: an unknown id or an argument that is not one. Holds no value of the table."""


@dataclass(frozen=True, eq=False)
class WorldTool:
    """One tool. ``argument`` is the type whose id it takes, ``attribute`` the field it returns; ``entity`` is the type."""

    name: str
    entity: str
    argument: str
    attribute: str
    kind: Kind
    unit: str
    linked: bool
    """True when the result is the id of another entity, so that further tools take it."""
    data: Mapping[str, Any]

    @property
    def answer_path(self) -> str:
        """JSON pointer to the leaf of a result that answers."""
        return f"/{self.attribute}"

    def document(self) -> Tool:
        """Return the tool as a model sees it."""
        return self._document

    @cached_property
    def _document(self) -> Tool:
        properties = {self.attribute: _JSON_TYPES[self.kind]}
        if self.unit:
            properties["unit"] = {"type": "string", "const": self.unit}
        return Tool(
            name=self.name,
            description=f"{self.attribute} of a {self.entity}",
            parameters={"type": "object", "properties": {self.argument: {"type": "string"}}, "required": [self.argument]},
            returns={"type": "object", "properties": properties, "required": list(properties)},
            source="procedural",
            version="1",
            licence="Apache-2.0",
        )

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Return the JSON value that the Python code returns; raise WorldToolError with the message that it raises."""
        if list(arguments) != [self.argument]:
            raise WorldToolError(f"the one argument is {self.argument}")
        key = arguments[self.argument]
        if not isinstance(key, str):
            raise WorldToolError(f"{self.argument} must be text")
        if key not in self.data:
            raise WorldToolError(f"unknown {self.argument}")
        return self.result(self.data[key])

    def result(self, value: Any) -> dict[str, Any]:
        """Return the result object around a value of the column."""
        shown = list(value) if isinstance(value, list) else value
        return {self.attribute: shown, "unit": self.unit} if self.unit else {self.attribute: shown}

    def answer(self, key: str) -> Answer:
        """Return the typed answer for an id of the table."""
        return Answer(kind=self.kind, value=self.data[key], unit=self.unit)

    def source(self) -> str:
        """Return self-contained Python: the column as a dict literal and one function of the tool's name."""
        table = self.name.upper()
        value = f"list({table}[{self.argument}])" if self.kind in ("list", "set") else f"{table}[{self.argument}]"
        unit = f', "unit": {self.unit!r}' if self.unit else ""
        lines = [
            f"{table} = {dict(self.data)!r}",
            "",
            "",
            f"def {self.name}({self.argument}):",
            f"    if not isinstance({self.argument}, str):",
            f'        raise TypeError("{self.argument} must be text")',
            f"    if {self.argument} not in {table}:",
            f'        raise ValueError("unknown {self.argument}")',
            f'    return {{"{self.attribute}": {value}{unit}}}',
            "",
        ]
        return "\n".join(lines)
