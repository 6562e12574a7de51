"""The Grafana dashboard: current, and laid out so that Grafana takes it as it is."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from astra_operator.dashgen.__main__ import main
from astra_operator.dashgen.grafana import WIDTH

FILE = Path(__file__).parents[2] / "charts" / "astra-operator" / "files" / "dashboard.json"
PANELS: list[dict[str, Any]] = json.loads(FILE.read_text())["panels"]


def test_it_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(FILE)]) == 0, capsys.readouterr().err


def test_check_names_a_stale_or_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dashboard.json"
    assert main(["check", str(file)]) == 1
    assert main(["write", str(file)]) == 0
    assert main(["check", str(file)]) == 0
    file.write_text("{}")
    assert main(["check", str(file)]) == 1
    assert capsys.readouterr().err.count(f"{file}: differs") == 2
    assert main(["draw"]) == 2


def test_panels_have_numbers_places_and_words_of_their_own() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert all(panel["description"] for panel in PANELS if panel["type"] != "row")
    places = [panel["gridPos"] for panel in PANELS]
    assert all(place["x"] + place["w"] <= WIDTH for place in places)
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_every_query_asks_the_data_source_that_is_chosen() -> None:
    for panel in PANELS:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"
            assert target["expr"]
