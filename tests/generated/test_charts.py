"""What is generated for the charts: current, complete, and one with the models and the package's version."""

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from astra_jobs.api.artifact import KINDS
from astra_operator.chartgen.__main__ import main
from astra_operator.chartgen.charts import CHARTS, generated, schema
from astra_operator.chartgen.page import rows
from astra_operator.chartgen.values import Chart, Values, value
from astra_operator.crdgen.documents import crd
from astra_operator.crdgen.names import NAMES

ROOT = Path(__file__).parents[2]
PROJECT = (ROOT / "pyproject.toml").read_text()
charts = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)


def load(text: str) -> object:
    return YAML(typ="safe", pure=True).load(text)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "charts", tmp_path / "charts")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


def test_the_generated_files_are_current(copy: Path) -> None:
    assert main(["check", str(copy)]) == 0


def test_what_is_not_current_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "charts/astra-crds/values.yaml").write_text("a: 1\n")
    (copy / "charts/astra-crds/README.md").unlink()
    (copy / "charts/astra-crds/templates/other.yaml").write_text("kind: Other\n")
    assert main(["check", str(copy)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("/charts/astra-crds/")[1] for line in lines] == [
        "values.yaml: differs from the models; run 'make generate'",
        "README.md: differs from the models; run 'make generate'",
        "templates/other.yaml: is not made from the models; remove it",
    ]
    assert main(["write", str(copy)]) == 0
    (copy / "charts/astra-crds/templates/other.yaml").unlink()
    assert main(["check", str(copy)]) == 0


def test_a_new_version_of_the_package_is_one_of_the_charts(copy: Path) -> None:
    (copy / "pyproject.toml").write_text(PROJECT.replace('version = "0.1.0"', 'version = "9.8.7"', 1))
    assert main(["check", str(copy)]) == 1
    assert main(["write", str(copy)]) == 0
    for chart in CHARTS:
        found = load((copy / "charts" / chart.name / "Chart.yaml").read_text())
        assert isinstance(found, dict)
        assert (found["version"], found["appVersion"], found["name"]) == ("9.8.7", "9.8.7", chart.name)


@charts
def test_the_values_are_the_models_defaults(chart: Chart) -> None:
    found = load(generated(PROJECT)[f"charts/{chart.name}/values.yaml"])
    assert found == chart.model().model_dump(mode="json", by_alias=True)


@charts
def test_the_schema_takes_the_defaults_and_no_other_key(chart: Chart) -> None:
    told = schema(chart)
    Draft202012Validator.check_schema(told)
    judge = Draft202012Validator(told)
    good = chart.model().model_dump(mode="json", by_alias=True)
    judge.validate(good)
    assert [error.message for error in judge.iter_errors({**good, "nmae": 1})] == [
        "Additional properties are not allowed ('nmae' was unexpected)"
    ]


@charts
def test_the_readme_has_a_row_for_each_value(chart: Chart) -> None:
    text = generated(PROJECT)[f"charts/{chart.name}/README.md"]
    for row in rows(chart.model()):
        assert row in text.splitlines()
        assert row.split("|")[-2].strip(), f"no meaning: {row}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_charts_definitions_are_those_of_crds(kind: str) -> None:
    found = load(generated(PROJECT)[f"charts/astra-crds/templates/{NAMES[kind].plural}.yaml"])
    assert isinstance(found, dict)
    metadata = found.pop("metadata")
    wanted = crd(kind)
    assert metadata["name"] == wanted.pop("metadata")["name"]
    assert metadata["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert found == json.loads(json.dumps(wanted))


class Inner(Values):
    """A part."""

    few: int = value(3, about="how many", unit="items", ge=1, le=9)


class Outer(Values):
    """Values of a chart that is not there."""

    inner: Inner = value(Inner, about="a part")
    words: list[str] = value(lambda: ["a"], about="some words | more")
    some_parts: list[Inner] = value(lambda: [Inner()], about="several parts")


def test_a_part_is_told_by_its_values_and_a_bar_does_not_break_the_table() -> None:
    assert list(rows(Outer())) == [
        "| `inner.few` | whole number | `3` | at least 1, at most 9 | how many (items) |",
        '| `words` | list of text | `["a"]` |  | some words \\| more |',
        '| `someParts` | list of object | `[{"few": 3}]` |  | several parts |',
    ]
