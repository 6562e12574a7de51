"""Writes a chart's ``README.md``: what it is for, how to install it, and every value in a table that a person can read."""

import json
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from astra_operator.chartgen.values import Chart
from astra_operator.crdgen.schema import extra_of, nested_model, unwrap

HEADER = "<!-- Generated from astra_operator/chartgen by 'make generate'; do not edit. -->\n"
_HEAD = ["| Value | Type | Default | Range | Meaning |", "|---|---|---|---|---|"]
_NAMES = {str: "text", bool: "true \\| false", int: "whole number", float: "number"}


def _type(annotation: Any) -> str:
    bare = unwrap(annotation)
    origin, words = typing.get_origin(bare), typing.get_args(bare)
    if origin is typing.Literal:
        return " \\| ".join(f"`{word}`" for word in words)
    if origin is list:
        return f"list of {_type(words[0])}"
    if origin is dict:
        return "map" if words[1] is Any else f"map of {_type(words[1])}"
    return "object" if nested_model(bare) else _NAMES.get(bare, "any")


def _bounds(prop: dict[str, Any]) -> str:
    parts = [f"{word} {prop[key]}" for key, word in (("minimum", "at least"), ("maximum", "at most")) if key in prop]
    parts += [f"`{prop['pattern']}`".replace("|", "\\|")] if "pattern" in prop else []
    return ", ".join(parts)


def _default(info: FieldInfo, found: Any) -> str:
    shown = extra_of(info).get("x-shown")
    return str(shown) if shown else f"`{json.dumps(found, ensure_ascii=False)}`"


def rows(part: BaseModel, prefix: str = "") -> Iterator[str]:
    """Give a table row for each value, depth first; objects themselves have none, because their values tell all."""
    schema = type(part).model_json_schema(by_alias=True)["properties"]
    for name, info in type(part).model_fields.items():
        key, found = info.alias or name, getattr(part, name)
        if isinstance(found, BaseModel):
            yield from rows(found, f"{prefix}{key}.")
            continue
        plain = (
            [item.model_dump(mode="json", by_alias=True) if isinstance(item, BaseModel) else item for item in found]
            if isinstance(found, list)
            else found
        )
        extra = extra_of(info)
        unit = f" ({extra['x-unit']})" if extra.get("x-unit") else ""
        about = (info.description or "").replace("|", "\\|") + unit
        yield f"| `{prefix}{key}` | {_type(info.annotation)} | {_default(info, plain)} | {_bounds(schema[key])} | {about} |"


def page(chart: Chart) -> str:
    """Return the README of a chart."""
    table = list(rows(chart.model()))
    listed = ["## Values", "", *_HEAD, *table] if table else ["## Values", "", "There is nothing to choose."]
    return "\n".join([HEADER + f"# {chart.name}", "", chart.about, "", chart.intro.rstrip(), "", *listed]) + "\n"
