"""Every query of the dashboard and of the alerts gives something on what a real operator and a real sandbox server have told."""

import json
import re
from collections.abc import Iterator

import pytest
import yaml  # kubernetes brings it

from astra_operator.dashgen.panels import ROWS
from tests.cluster.gitops_story import Recorder
from tests.cluster.plane.plane import ROOT
from tests.monitoring.prometheus import Sample, Server, serving
from tests.monitoring.sandbox_calls import sandbox_samples

FILES = ROOT / "charts" / "astra-operator" / "files"
PANELS = [panel for panel in json.loads((FILES / "dashboard.json").read_text())["panels"] if panel["type"] != "row"]
QUERIES = {f"{panel['title']}, {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]}
RULES = {rule["alert"]: rule["expr"] for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]}
NOTHING = {"Waiting for sandbox pools, A"}
"""Queries about what no run of the story had."""


@pytest.fixture(scope="module")
def samples(recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return [*recorder.samples, *sandbox_samples(tmp_path_factory.mktemp("sandbox"))]


@pytest.fixture(scope="module")
def prometheus(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(samples, tmp_path_factory.mktemp("prometheus")) as server:
        yield server


def values(server: Server, samples: list[Sample], expr: str) -> list[float]:
    moments = [moment for _, _, moment in samples]
    return server.values(expr.replace("$__rate_interval", "10s"), min(moments), max(moments))


def names(text: str) -> set[str]:
    """Return the metrics that an expression reads."""
    return set(re.findall(r"\b(?:astra|process)_\w+", text))


@pytest.mark.parametrize("query", QUERIES)
def test_a_panel_shows_what_was_recorded(query: str, prometheus: Server, samples: list[Sample]) -> None:
    found = values(prometheus, samples, QUERIES[query])
    assert bool(found) != (query in NOTHING)


def test_a_wrong_name_would_show_nothing(prometheus: Server, samples: list[Sample]) -> None:
    assert values(prometheus, samples, "astra_queue_depht") == []
    assert values(prometheus, samples, 'sum(astra_runs{condition="Succeded"})') == []


def test_the_numbers_are_those_of_the_story(prometheus: Server, samples: list[Sample]) -> None:
    def most(title: str) -> float:
        return max(values(prometheus, samples, QUERIES[f"{title}, A"]))

    assert (most("Succeeded"), most("Stalled")) == (1, 1)
    assert most("Suspended") == 2, "one from the start, and one midway or one that had succeeded"


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_reads_metrics_that_are_really_told(alert: str, samples: list[Sample]) -> None:
    told = {series.split("{")[0] for series, _, _ in samples}
    assert names(RULES[alert]) <= told, "each is on a page of metrics"


def test_every_metric_of_the_operator_is_drawn(samples: list[Sample]) -> None:
    drawn: set[str] = {name for row in ROWS for panel in row.panels for query in panel.queries for name in names(query.expr)}
    own = {series.split("{")[0] for series, _, _ in samples if series.startswith("astra_") and "astra_sandbox" not in series}
    assert {name for name in own if not name.endswith(("_sum", "_count"))} == {name for name in drawn if name.startswith("astra_")} - {
        name for name in drawn if name.startswith("astra_sandbox")
    }
