"""YAML with line numbers: what kubectl would send to the API server, and where each value stands in its file.

kubectl reads numbers as YAML 1.2 does (``5e-6`` is one, which PyYAML takes for text), but ``off`` and ``yes`` as truth values and
``012`` as octal, as YAML 1.1 does; a whole number stays one however it is written, because JSON knows one kind of number. So does
this reader, and a test puts one table of documents through both. It gives plain JSON data only. Doubled keys, values that JSON cannot
hold and documents that grow beyond measure through anchors are refused. Dates stay text, because JSON has none.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from astra_operator.crdgen.scalars import CORE, TRUE, KubectlResolver

Path = tuple[str | int, ...]
MAX_VALUES = 200_000
MAX_DEPTH = 60


class YamlProblem(Exception):
    """The text is no acceptable YAML; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = " ".join(message.split())


@dataclass
class Document:
    """One document of a file: JSON data, and the line (from 1) on which each value begins."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, path: Path) -> int:
        """Return the line of a value, or of the nearest enclosing one that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(text: str) -> Iterator[Document]:
    """Yield the documents of a file; empty ones are left out.

    Raises:
        YamlProblem: with the line, on the first thing that cannot be read.
    """
    reader = YAML(typ="safe", pure=True)
    reader.Resolver = KubectlResolver
    try:
        for node in reader.compose_all(text):
            builder = _Builder()
            value = builder.value(node, ())
            if value is not None:
                yield Document(value, builder.lines)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(mark.line + 1 if mark else 1, str(error.problem or error.context or "not YAML")) from error
    except YAMLError as error:
        raise YamlProblem(1, str(error)) from error


class _Builder:
    """Turns nodes into JSON data and remembers lines."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}

    def value(self, node: Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if len(path) > MAX_DEPTH:
            raise YamlProblem(line, f"more than {MAX_DEPTH} levels deep; an anchor may not hold itself")
        if len(self.lines) > MAX_VALUES:
            raise YamlProblem(line, f"more than {MAX_VALUES} values in one document; anchors may not be nested this way")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return scalar(node)
        raise YamlProblem(line, "not a value")

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: list[MappingNode] = []
        for key_node, item in node.value:
            if key_node.tag == CORE + "merge":
                merged += _merge_sources(item)
                continue
            key = _key(key_node)
            if key in found:
                raise YamlProblem(key_node.start_mark.line + 1, f"{key}: the key stands twice in one mapping; remove one")
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            found[key] = self.value(item, (*path, key))
        for source in merged:
            for key, value in self._mapping(source, path).items():
                found.setdefault(key, value)
        return found


def _merge_sources(node: Node) -> list[MappingNode]:
    items = node.value if isinstance(node, SequenceNode) else [node]
    for item in items:
        if not isinstance(item, MappingNode):
            raise YamlProblem(item.start_mark.line + 1, "<< needs a mapping or a list of mappings")
    return list(items)


def _key(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        raise YamlProblem(node.start_mark.line + 1, "a key must be text")
    value = scalar(node)
    if value is None:
        raise YamlProblem(node.start_mark.line + 1, f"{node.value or 'null'}: a key must be text")
    return ("false", "true")[value] if isinstance(value, bool) else str(value)


def scalar(node: ScalarNode) -> Any:
    """Return the JSON value of a scalar by its resolved tag."""
    text, kind = node.value, str(node.tag).removeprefix(CORE)
    line = node.start_mark.line + 1
    if kind in ("str", "timestamp"):
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in TRUE
    if kind == "int":
        return _integer(text, line)
    if kind == "float":
        return number(text.replace("_", ""), line)
    raise YamlProblem(line, f"{text}: the tag {node.tag} is not plain data; remove the tag")


def _integer(text: str, line: int) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if re.fullmatch("0[0-7]+", digits):
        digits = f"0o{digits}"
    try:
        return sign * int(digits, 0)
    except ValueError:
        raise YamlProblem(line, f"{text}: not a whole number") from None


def number(text: str, line: int = 1) -> float | int:
    """Return a JSON number: a whole one as an int, however it is written, as Go writes it to the API server."""
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise YamlProblem(line, f"{text}: JSON has no such number; write a finite one")
    return int(value) if value.is_integer() and abs(value) < 2**63 else value
