"""Rows of panels as Grafana's JSON: where each stands on the grid of 24 columns, and the one variable, the data source."""

import json
from typing import Any

from astra_operator.dashgen.panels import ROWS, Panel, Row

WIDTH = 24
SIZES = {"stat": (6, 4), "timeseries": (12, 8)}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
Object = dict[str, Any]


def dashboard() -> str:
    """Return the dashboard as text."""
    panels: list[Object] = []
    top = 0
    for row in ROWS:
        made, top = _row(row, top, len(panels) + 1)
        panels += made
    whole = {
        "uid": "astra",
        "title": "ASTRA",
        "tags": ["astra"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }
    return json.dumps(whole, indent=1) + "\n"


def _row(row: Row, top: int, number: int) -> tuple[list[Object], int]:
    """Return a row's panels from a height on, and the height below them."""
    made: list[Object] = [{"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": _place(0, top, WIDTH, 1)}]
    left, top, tallest = 0, top + 1, 0
    for panel in row.panels:
        width, height = SIZES[panel.kind]
        if left + width > WIDTH or (tallest and height != tallest):
            left, top, tallest = 0, top + tallest, 0
        made.append(_panel(panel, number + len(made), _place(left, top, width, height)))
        left, tallest = left + width, height
    return made, top + tallest


def _panel(panel: Panel, number: int, place: Object) -> Object:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend or "__auto"}
            for index, query in enumerate(panel.queries)
        ],
    }


def _place(left: int, top: int, width: int, height: int) -> Object:
    return {"x": left, "y": top, "w": width, "h": height}
