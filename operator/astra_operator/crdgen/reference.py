"""Writes ``crds/README.md``: every field of every kind in tables that a person can read."""

import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from astra_jobs.api.artifact import KINDS
from astra_jobs.api.base import API_VERSION
from astra_jobs.api.v1alpha1 import MODELS
from astra_jobs.api.v1alpha1.common import CommonSpec
from astra_jobs.api.v1alpha1.status import REASONS, Status
from astra_operator.crdgen.columns import COLUMNS
from astra_operator.crdgen.documents import spec_model
from astra_operator.crdgen.names import NAMES
from astra_operator.crdgen.rules import RULES
from astra_operator.crdgen.schema import default_text, extra_of, nested_model, object_schema, range_text, unwrap

INTRO = f"""<!-- Generated from astra_jobs/api/v1alpha1 by 'make generate'; do not edit. -->
# The five kinds

Group and version: `{API_VERSION}`. All kinds are namespaced and in the category `astra`, so `kubectl get astra` lists them all.

How to read the tables:

- A field without a default and marked **required** must be set; all others may be left out.
- Defaults are filled in by the operator when an attempt starts. The CRDs hold none, so your objects stay as you wrote them.
- **Source** says where the default comes from: *paper* is the paper's value, *ours* is our choice where the paper is silent.
- **Operational** fields change how a run is carried out, not what it makes: changing one starts no new attempt.
- `null` means the same as leaving the field out.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _type(annotation: Any, prop: dict[str, Any]) -> str:
    bare = unwrap(annotation)
    if "enum" in prop:
        return " \\| ".join(f"`{item}`" for item in prop["enum"])
    if typing.get_origin(bare) is list:
        return f"list of {_type(typing.get_args(bare)[0], prop['items'])}"
    if typing.get_origin(bare) is dict:
        return f"map of {_type(typing.get_args(bare)[1], prop['additionalProperties'])}"
    return str(prop.get("type", "number \\| text"))


def _bounds(prop: dict[str, Any]) -> str:
    parts = [range_text(prop)] if range_text(prop) else []
    if "type" not in prop:
        return parts[0]  # the others only refuse what is neither a number nor text
    low, high = prop.get("minItems"), prop.get("maxItems")
    if low is not None or high is not None:
        parts.append(f"{low or 0} to {high} items" if high is not None else f"at least {low} items")
    if "maxLength" in prop:
        parts.append(f"≤ {prop['maxLength']} characters")
    return ", ".join(parts)


def _row(path: str, info: FieldInfo, prop: dict[str, Any]) -> str:
    extra = extra_of(info)
    default = "**required**" if info.is_required() else f"`{text}`" if (text := default_text(info)) is not None else ""
    unit = f" ({extra['x-unit']})" if extra.get("x-unit") else ""
    cells = [
        f"`{path}`",
        _type(info.annotation, prop),
        default,
        _bounds(prop),
        (info.description or "") + unit,
        extra.get("x-source", "") if default and default != "**required**" else "",
        "yes" if extra.get("x-operational") else "",
    ]
    return "| " + " | ".join(cell if "\\|" in cell else _cell(cell) for cell in cells) + " |"


def rows(model: type[BaseModel], prefix: str = "", skip: frozenset[str] = frozenset()) -> list[str]:
    """Return a table row for each field of a model, depth first; a list's items are shown under ``name[]``."""
    schema = object_schema(model)
    found = []
    for name, info in model.model_fields.items():
        if name in skip:
            continue
        alias = info.alias or name
        prop = schema["properties"][alias]
        found.append(_row(prefix + alias, info, prop))
        if nested := nested_model(info.annotation):
            mark = "[]" if prop.get("type") == "array" else "{}" if "additionalProperties" in prop else ""
            found += rows(nested, f"{prefix}{alias}{mark}.")
    return found


_HEAD = ["| Field | Type | Default | Bounds | Meaning | Source | Operational |", "|---|---|---|---|---|---|---|"]


def _rules_of(kind_model: type[BaseModel]) -> list[str]:
    reached, waiting = set(), [kind_model]
    while waiting:
        model = waiting.pop()
        reached.add(model)
        waiting += [found for info in model.model_fields.values() if (found := nested_model(info.annotation)) and found not in reached]
    return sorted({f"- {rule.message}" for rule in RULES if rule.model in reached})


def page() -> str:
    """Return the reference page."""
    common = frozenset(CommonSpec.model_fields)
    parts = [INTRO, "| Kind | Plural | Short | What it is |", "|---|---|---|---|"]
    for kind in KINDS:
        names = NAMES[kind]
        parts.append(f"| [{kind}](#{kind.lower()}) | {names.plural} | {names.short} | {(MODELS[kind].__doc__ or '').strip()} |")
    parts += ["", "## Fields that every kind has", "", *_HEAD, *rows(CommonSpec)]
    for kind in KINDS:
        model = spec_model(kind)
        parts += ["", f"## {kind}", "", (MODELS[kind].__doc__ or "").strip(), "", *_HEAD, *rows(model, skip=common)]
        if rules := _rules_of(model):
            parts += ["", "Rules between fields:", "", *rules]
    parts += ["", "## Status", "", "| Field | Type | Meaning |", "|---|---|---|"]
    parts += [
        "| " + " | ".join([row.split(" | ")[0].removeprefix("| "), *row.split(" | ")[1:2], row.split(" | ")[4]]) + " |"
        for row in rows(Status)
    ]
    parts += ["", "## Columns", "", "| Column | Shows |", "|---|---|"]
    parts += [f"| {column.name}{' (wide)' if column.wide else ''} | {column.about} |" for column in COLUMNS]
    parts += ["", "## Reasons of conditions", "", "| Reason | Meaning |", "|---|---|"]
    parts += [f"| {reason} | {text} |" for reason, text in REASONS.items()]
    return "\n".join(parts) + "\n"
