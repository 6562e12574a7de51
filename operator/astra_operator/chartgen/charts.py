"""The charts, and the files that are generated for each of them."""

import json
import textwrap
import tomllib
from typing import Any

from pydantic import BaseModel

from astra_operator.chartgen import crds_values, fill, operator_values, team_values
from astra_operator.chartgen.page import page
from astra_operator.chartgen.values import Chart
from astra_operator.crdgen.documents import to_yaml
from astra_operator.crdgen.schema import extra_of, nested_model, unwrap

CHARTS: tuple[Chart, ...] = (crds_values.CHART, operator_values.CHART, team_values.CHART)
KUBERNETES = ">=1.30.0-0"
HEADER = "# Generated from astra_operator/chartgen by 'make generate'; do not edit.\n"
_COMMENT = 110


def chart_yaml(chart: Chart, version: str) -> str:
    """Return Chart.yaml; the chart's version, the software's and the package's are one."""
    return HEADER + to_yaml(
        {
            "apiVersion": "v2",
            "name": chart.name,
            "description": chart.about,
            "type": "application",
            "version": version,
            "appVersion": version,
            "kubeVersion": KUBERNETES,
            "annotations": {"artifacthub.io/license": "Apache-2.0"},
        }
    )


def schema(chart: Chart) -> dict[str, Any]:
    """Return the JSON Schema of the values. ``global`` is what an umbrella chart hands to all charts below it; nothing here reads it."""
    made = _without_titles(chart.model.model_json_schema(by_alias=True))
    made.pop("description", None)
    properties = {
        **made.pop("properties", {}),
        "global": {"type": "object", "description": "set by Helm under an umbrella chart; not read"},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "properties": properties}


def _without_titles(node: Any) -> Any:
    """Strip what pydantic adds for itself: titles of fields, and the marks of ``value``."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: item for key, item in node.items() if not (key.startswith("x-") or (key == "title" and isinstance(item, str)))}
    return {key: _without_titles(item) for key, item in kept.items()}


def values_yaml(chart: Chart) -> str:
    """Return values.yaml: every value with its default and what it means."""
    lines = _entries(chart.model(), 0)
    return HEADER + "\n".join(lines or ["# There is nothing to choose.", "{}"]) + "\n"


def _entries(part: BaseModel, depth: int) -> list[str]:
    lines: list[str] = []
    indent = "  " * depth
    for name, info in type(part).model_fields.items():
        found = getattr(part, name)
        extra = extra_of(info)
        about = (info.description or "") + (f" ({extra['x-unit']})" if extra.get("x-unit") else "")
        about = about[:1].upper() + about[1:] + "."
        lines += [""] if depth == 0 else []
        lines += textwrap.wrap(about, _COMMENT, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        key = info.alias or name
        if isinstance(found, BaseModel) and nested_model(info.annotation) is unwrap(info.annotation):
            lines += [f"{indent}{key}:", *_entries(found, depth + 1)]
        else:
            lines += textwrap.indent(to_yaml({key: _plain(found)}), indent).rstrip("\n").split("\n")
    return lines


def _plain(found: Any) -> Any:
    if isinstance(found, BaseModel):
        return found.model_dump(mode="json", by_alias=True)
    return [_plain(item) for item in found] if isinstance(found, list) else found


def generated(project: str) -> dict[str, str]:
    """Return every generated file under the repository's root: path → text. ``project`` is the text of pyproject.toml."""
    version = str(tomllib.loads(project)["project"]["version"])
    files: dict[str, str] = {}
    for chart in CHARTS:
        own = {
            "Chart.yaml": chart_yaml(chart, version),
            "values.yaml": values_yaml(chart),
            "values.schema.json": json.dumps(schema(chart), indent=2, ensure_ascii=False) + "\n",
            "README.md": page(chart),
            **fill.template(chart),
            **chart.files(version),
        }
        files |= {f"charts/{chart.name}/{name}": text for name, text in own.items()}
    return files
