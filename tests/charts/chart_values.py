"""Every value of a chart, from its model: other good values, which must change what is rendered, and wrong ones, which must be refused."""

import typing
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from astra_operator.crdgen.schema import unwrap

Path = tuple[str, ...]


def leaves(part: BaseModel, path: Path = ()) -> Iterator[tuple[Path, FieldInfo, Any]]:
    """Give each value that is no object of values: where it is, what it is declared as, its default."""
    for name, info in type(part).model_fields.items():
        found, here = getattr(part, name), (*path, info.alias or name)
        if isinstance(found, BaseModel):
            yield from leaves(found, here)
        else:
            yield here, info, found


def _bound(info: FieldInfo, name: str) -> Any:
    return next((getattr(mark, name) for mark in info.metadata if hasattr(mark, name)), None)


def other_values(info: FieldInfo, now: Any, texts: dict[str, Any]) -> list[Any]:
    """Return good values that differ from ``now``: every other word of an enum, the ends of a range; ``texts`` for what has a pattern."""
    bare = unwrap(info.annotation)
    origin = typing.get_origin(bare)
    if (info.description or "") in texts:
        return [texts[info.description or ""]]
    if origin is typing.Literal:
        return [word for word in typing.get_args(bare) if word != now]
    if bare is bool:
        return [not now]
    if bare in (int, float):
        return [end for end in (_bound(info, "ge"), _bound(info, "le"), now + 1) if end not in (None, now)][:2]
    if origin is dict:
        return [{"some-key": "some-word"}]
    return ["other"]


def set_at(values: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Return values with one of them set."""
    head, *rest = path
    return {**values, head: set_at(values.get(head, {}), tuple(rest), value) if rest else value}


def get_at(values: dict[str, Any], path: Path) -> Any:
    """Return one of the values."""
    for part in path:
        values = values[part]
    return values


def wrong_value(info: FieldInfo) -> Any:
    """Return a value of a type that the field has not."""
    bare = unwrap(info.annotation)
    texts = bare is str or typing.get_origin(bare) is typing.Literal
    return True if texts else "wrong"


def all_wrong(paths: Iterable[tuple[Path, FieldInfo, Any]]) -> dict[str, Any]:
    """Return values of which each is of a type that its field has not."""
    values: dict[str, Any] = {}
    for path, info, _ in paths:
        values = set_at(values, path, wrong_value(info))
    return values


def unnamed(paths: Iterable[tuple[Path, FieldInfo, Any]], said: str) -> list[Path]:
    """Return the values that no line of what helm said names."""
    lines = [line.strip() for line in said.splitlines()]
    return [path for path, _, _ in paths if not any(line.startswith(f"- at '/{'/'.join(path)}'") for line in lines)]
