"""Writes a chart's ``templates/_fill.tpl``: what puts the default in place of every value that is not there, or is null.

Helm's own defaults do not reach everything: ``--reuse-values`` keeps the values of an older chart, which lacks what is new, and ``null``
removes a value or a whole block. Each template includes this first, so that none renders an empty setting.
"""

import json
from typing import Any

from pydantic import BaseModel

from astra_operator.chartgen.values import Chart

_TEXT = """{{- /* Generated from astra_operator/chartgen by 'make generate'; do not edit. */ -}}
{{- /* Fills .Values in: a block is a map of the defaults, the default of a value is the one item of a list. */ -}}
{{- define "NAME.fill" -}}
{{- include "NAME.fill-block" (dict "into" .Values "from" (fromJson `DEFAULTS`)) }}
{{- end }}

{{- define "NAME.fill-block" -}}
{{- range $key, $default := .from }}
{{- if kindIs "invalid" (get $.into $key) }}
{{- $_ := unset $.into $key }}
{{- end }}
{{- if kindIs "map" $default }}
{{- if not (hasKey $.into $key) }}
{{- $_ := set $.into $key (dict) }}
{{- end }}
{{- include "NAME.fill-block" (dict "into" (get $.into $key) "from" $default) }}
{{- else if not (hasKey $.into $key) }}
{{- $_ := set $.into $key (first $default) }}
{{- end }}
{{- end }}
{{- end }}
"""


def _defaults(part: BaseModel) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, info in type(part).model_fields.items():
        value, key = getattr(part, name), info.alias or name
        plain = part.model_dump(mode="json", by_alias=True)[key]
        found[key] = _defaults(value) if isinstance(value, BaseModel) else [plain]
    return found


def template(chart: Chart) -> dict[str, str]:
    """Return the template by its place in the chart; nothing for a chart without values."""
    defaults = _defaults(chart.model())
    text = _TEXT.replace("NAME", chart.name).replace("DEFAULTS", json.dumps(defaults, ensure_ascii=False))
    return {"templates/_fill.tpl": text} if defaults else {}
