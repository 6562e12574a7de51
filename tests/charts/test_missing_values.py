"""Values that are not there: left out by an older chart's (`--reuse-values`), removed by null, empty, or numbers where text was meant.

Each gives the default or is refused in a line that names it; nothing is ever rendered empty.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # kubernetes brings it
from pydantic import BaseModel

from astra_jobs.api.v1alpha1.quantities import parse
from astra_operator.crdgen.schema import unwrap
from tests.charts import test_operator_chart as operator
from tests.charts import test_team_chart as team
from tests.charts.chart_values import Path as ValuePath
from tests.charts.chart_values import get_at, leaves, set_at
from tests.charts.helm import CHARTS, helm, of_kind

Values = dict[str, Any]
STORE = ("settings", "storeUrl")
ON = {"astra-operator": operator.ON, "astra-team": team.ON}
MODELS: dict[str, BaseModel] = {"astra-operator": operator.OperatorValues(), "astra-team": team.TeamValues()}
each_chart = pytest.mark.parametrize("chart", MODELS)


def blocks(part: BaseModel, path: ValuePath = ()) -> Iterator[ValuePath]:
    """Give where each object of values is."""
    for name, info in type(part).model_fields.items():
        found, here = getattr(part, name), (*path, info.alias or name)
        if isinstance(found, BaseModel):
            yield here
            yield from blocks(found, here)


def without(values: Values, path: ValuePath) -> Values:
    head, *rest = path
    if rest:
        return {**values, head: without(values[head], tuple(rest))}
    return {name: value for name, value in values.items() if name != head}


def rendered(folder: Path, values: Values, check: bool = True) -> Any:
    """Return what helm says to a chart with nothing but these values."""
    file = folder.parent / f"{folder.name}.json"
    file.write_text(json.dumps(values))
    return helm("template", folder.name, str(folder), "--namespace", "there", "--values", str(file), check=check)


@pytest.fixture
def bare(chart: str, tmp_path: Path) -> Path:
    """The chart without any default of Helm's own, which is what ``--reuse-values`` makes of an older one."""
    shutil.copytree(CHARTS / chart, tmp_path / chart)
    (tmp_path / chart / "values.yaml").write_text("{}\n")
    return tmp_path / chart


@pytest.fixture
def place(bare: Path, chart: str, value: Any) -> Path:
    """The chart in which a value of that kind is missing: null takes away a default of Helm's own, where there is one."""
    if value is None:
        shutil.copy(CHARTS / chart / "values.yaml", bare)
    return bare


def expected(chart: str, paths: list[ValuePath]) -> Values:
    values = ON[chart]
    defaults = MODELS[chart].model_dump(mode="json", by_alias=True)
    for path in paths:
        values = set_at(values, path, get_at(defaults, path))
    return set_at(values, STORE, "s3://models/blue") if chart == "astra-team" else values


def empty(node: Any, path: str = "") -> Iterator[str]:
    """Give where a rendered object says nothing or null."""
    if node is None or node == "" or (isinstance(node, str) and "<no value>" in node):
        yield path
    for key, item in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key != "apiGroups":
            yield from empty(item, f"{path}.{key}")


def objects(text: str) -> list[Any]:
    return [item for item in yaml.load_all(text, yaml.CSafeLoader) if item]


@each_chart
@pytest.mark.parametrize("value", ["left out", None], ids=str)
def test_a_block_that_is_not_there_is_that_of_the_defaults(chart: str, place: Path, value: Any) -> None:
    for path in blocks(MODELS[chart]):
        values = without(ON[chart], path) if value else set_at(ON[chart], path, value)
        if path == STORE[:1]:
            done = rendered(place, values, check=False)
            assert "settings.storeUrl: it is not set; name the team's artifact store" in done.stderr
            values = set_at(values, path, {"storeUrl": "s3://models/blue"})
        assert objects(rendered(place, values).stdout) == objects(rendered(place, expected(chart, [path])).stdout), path


@each_chart
@pytest.mark.parametrize("value", ["left out", None], ids=str)
def test_values_that_are_not_there_are_the_defaults(chart: str, place: Path, value: Any) -> None:
    paths = [path for path, _, _ in leaves(MODELS[chart]) if path != STORE and path[-1] not in ("enabled", "mode", "namespaces")]
    values = ON[chart]
    for path in paths:
        values = without(values, path) if value else set_at(values, path, None)
    found = objects(rendered(place, values).stdout)
    assert found == objects(rendered(place, expected(chart, paths)).stdout)
    assert list(empty(found)) == []


@each_chart
def test_nothing_at_all_is_what_the_chart_is_by_itself(chart: str, bare: Path, tmp_path: Path) -> None:
    given = {"settings": {"storeUrl": "s3://models/blue"}} if chart == "astra-team" else {}
    whole = tmp_path / "whole" / chart
    shutil.copytree(CHARTS / chart, whole)
    assert rendered(bare, given).stdout == rendered(whole, given).stdout


@each_chart
def test_null_where_there_is_no_default_to_take_away_is_refused_by_name(chart: str, bare: Path) -> None:
    for path in blocks(MODELS[chart]):
        assert f"at '/{'/'.join(path)}': got null, want object" in rendered(bare, set_at(ON[chart], path, None), check=False).stderr


@each_chart
def test_empty_text_is_a_default_or_is_refused_by_name(chart: str, bare: Path) -> None:
    for path, info, _ in leaves(MODELS[chart]):
        if unwrap(info.annotation) is not str or path == STORE:
            continue
        done = rendered(bare, set_at(ON[chart], path, ""), check=False)
        if done.returncode:
            assert f"at '/{'/'.join(path)}'" in done.stderr, path
        else:
            assert list(empty(objects(done.stdout))) == [], path


@pytest.mark.parametrize("chart", ["astra-team"])
def test_amounts_are_numbers_or_text(chart: str, bare: Path) -> None:
    for written, amount in ((8, "8"), (0.5, "0.5"), (274877906944, "256Gi"), ("1e3", "1e3"), (".5", ".5"), ("2T", "2T"), (0, "0")):
        values = set_at(set_at(ON[chart], ("quota", "cpu"), written), ("quota", "more"), {"persistentvolumeclaims": written})
        (quota,) = of_kind(objects(rendered(bare, values).stdout), "ResourceQuota")
        for name in ("requests.cpu", "persistentvolumeclaims"):
            assert parse(str(quota["spec"]["hard"][name])) == parse(amount)
    for wrong in ("1_000", "-1", "8 cores", "", -1, True, [8]):
        done = rendered(bare, set_at(ON[chart], ("quota", "cpu"), wrong), check=False)
        assert "at '/quota/cpu'" in done.stderr, wrong


@pytest.mark.parametrize("chart", ["astra-team"])
def test_the_user_of_pods_is_a_number_or_text_and_one_everywhere(chart: str, bare: Path) -> None:
    for user, group, wanted in (
        (1000680000, "", {"runAsUser": 1000680000, "runAsGroup": 1000680000, "fsGroup": 1000680000}),
        ("65532", 0, {"runAsUser": 65532, "runAsGroup": 0, "fsGroup": 0}),
        ("Assigned", "", {}),
        ("Assigned", "2000", {"runAsGroup": 2000, "fsGroup": 2000}),
    ):
        values = set_at(set_at(ON[chart], ("settings", "podUser"), user), ("settings", "podGroup"), group)
        items = objects(rendered(bare, values).stdout)
        (cron,) = of_kind(items, "CronJob")
        context = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["securityContext"]
        fixed = {"runAsNonRoot", "seccompProfile", "fsGroupChangePolicy"}
        assert {name: value for name, value in context.items() if name not in fixed} == wanted
        (config,) = [item for item in of_kind(items, "ConfigMap") if item["metadata"]["name"] == "astra-team"]
        assert (config["data"]["podUser"], config["data"].get("podGroup", "")) == (str(user), str(group))


@pytest.mark.parametrize(("chart", "path"), [("astra-operator", ("image", "tag")), ("astra-team", ("collection", "image", "tag"))])
def test_a_tag_that_is_a_number_is_refused_by_name(chart: str, path: ValuePath, bare: Path) -> None:
    """1.10 is 1.1 to YAML: another image than was meant."""
    done = rendered(bare, set_at(ON[chart], path, 1.10), check=False)
    assert f"at '/{'/'.join(path)}': got number, want string" in done.stderr
