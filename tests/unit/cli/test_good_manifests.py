"""What a good manifest becomes, and what the samples hold."""

from pathlib import Path

import pytest

from astra_cli.main import main
from astra_cli.manifests import BadManifests, load, value_path, without_nulls
from astra_cli.yaml12 import read
from astra_jobs.api.artifact import KINDS
from astra_jobs.api.errors import BadInput
from astra_jobs.api.v1alpha1 import ToolCorpus
from astra_operator.settings import TEAM_CONFIG, parse_team

ROOT = Path(__file__).parents[3]


def test_samples_are_one_smallest_run_of_each_kind() -> None:
    manifests = load([ROOT / "manifests" / "samples"])
    assert [run["kind"] for run in manifests.runs] == list(KINDS)


PLATFORM = {"policies"}
RUNS = sorted(path for path in (ROOT / "manifests").iterdir() if path.name not in PLATFORM and any(path.glob("*.yaml")))


@pytest.mark.parametrize("folder", RUNS)
def test_every_folder_of_manifests_loads(folder: Path) -> None:
    assert load([folder]).runs


def test_order_is_the_pipelines_and_numbers_are_numbers(tmp_path: Path) -> None:
    manifests = load([ROOT / "manifests" / "quickstart"])
    assert [run["kind"] for run in manifests.runs] == list(KINDS)
    assert manifests.team == {"storeUrl": ".astra/store", "isolation": "Process"}
    rate = manifests.runs[3]["spec"]["training"]["optimizer"]["learningRate"]
    assert isinstance(rate, float)


@pytest.mark.parametrize("folder", RUNS)
def test_no_folder_of_manifests_changes_a_teams_settings_in_a_cluster(folder: Path) -> None:
    found = [document.value for file in folder.rglob("*.yaml") for document in read(file.read_text()) if isinstance(document.value, dict)]
    assert TEAM_CONFIG not in [item["metadata"]["name"] for item in found if item.get("kind") == "ConfigMap"]


@pytest.mark.parametrize("names", [("astra-laptop", "astra-team"), ("astra-team", "astra-laptop")])
def test_a_laptop_prefers_its_own_settings(tmp_path: Path, names: tuple[str, str]) -> None:
    corpus = (ROOT / "manifests" / "samples" / "toolcorpus.yaml").read_text()
    config = "\n---\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: NAME}\ndata: {storeUrl: NAME}\n"
    (tmp_path / "all.yaml").write_text(corpus + "".join(config.replace("NAME", name) for name in names))
    assert load([tmp_path]).team == {"storeUrl": "astra-laptop"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (".astra/store", "a relative path leads nowhere in a pod; write s3://BUCKET/TEAM, or file:///PATH"),
        ("/store", "a relative path leads nowhere in a pod"),
        ("file://.astra/store", "a folder's URL has three slashes"),
        ("://x", "a relative path"),
    ],
)
def test_a_store_that_only_a_laptop_has_is_refused_in_a_cluster(url: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        parse_team({"storeUrl": url}, "blue")
    line = str(refused.value)
    assert "ConfigMap blue/astra-team" in line
    assert f'storeUrl: found "{url}"' in line
    assert "\n" not in line
    for good in ("s3://b/team", "file:///store", "gs://b", "memory://x"):
        assert parse_team({"storeUrl": good}, "blue").store_url == good


def test_reference_may_name_a_stored_run(tmp_path: Path) -> None:
    file = ROOT / "manifests" / "samples" / "chainsynthesis.yaml"
    with pytest.raises(BadManifests):
        load([file])
    stored = [{"kind": "ToolCorpus", "metadata": {"name": "tools", "namespace": "default"}, "spec": {}}]
    assert len(load([file], stored).runs) == 1


def test_reference_to_another_namespace_does_not_count() -> None:
    stored = [{"kind": "ToolCorpus", "metadata": {"name": "tools", "namespace": "other"}, "spec": {}}]
    with pytest.raises(BadManifests):
        load([ROOT / "manifests" / "samples" / "chainsynthesis.yaml"], stored)


def test_null_means_not_set() -> None:
    assert without_nulls({"a": None, "b": [{"c": None, "d": 1}, None]}) == {"b": [{"d": 1}, None]}
    nulls = {"spec": {"seed": None, "sed": None, "pod": {"image": None, "nodeSelector": {"a": None}, "x": None}}, "status": None}
    assert without_nulls(nulls, ToolCorpus) == {"spec": {"sed": None, "pod": {"nodeSelector": {}, "x": None}}}


def test_paths_of_fields() -> None:
    assert value_path("spec.data[10].name") == ("spec", "data", 10, "name")


def test_render_prints_every_object_with_placeholders(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--state", str(tmp_path), "render", str(ROOT / "manifests" / "quickstart")]) == 0
    text = capsys.readouterr().out
    assert text.count("kind: PyTorchJob") == 2
    assert "completionMode: Indexed" in text
    assert '"digest": "<digest of ToolCorpus tools>"' in text
    assert f"file://{tmp_path}" in text or "file://" in text
    assert not list(tmp_path.iterdir()), "render stores nothing"
