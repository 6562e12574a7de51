"""The stage as a whole on procedural sources: files, determinism, speed, and the error when nothing is left."""

import json
import time
from pathlib import Path
from typing import Any, cast

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.api.job import Inputs, JobContext
from astra_jobs.api.request import StageRequest, StoreSettings
from astra_jobs.api.v1alpha1.corpus import ToolCorpusSpec
from astra_jobs.records.funnel import Dropped, StageReport
from astra_jobs.records.lines import read_lines
from astra_jobs.records.tool import Server
from astra_jobs.toolcorpus.duplicates import DuplicateCluster
from astra_jobs.toolcorpus.job import collect


class Silent:
    def update(self, step: int, total: int, message: str = "", metrics: object = None) -> None:
        assert 0 <= step <= total


def run(folder: Path, seed: int = 0, **spec: Any) -> dict[str, Any]:
    (folder / "scratch").mkdir(parents=True)
    (folder / "out").mkdir()
    full = ToolCorpusSpec.model_validate({"sources": [], **spec}).to_dict()
    store = StoreSettings(url="file:///nowhere")
    request = StageRequest(
        kind="ToolCorpus", name="t", namespace="default", attempt=1, digest="sha256:0", stage="collect", spec=full, store=store
    )
    nothing = cast(Any, None)
    ctx = JobContext(seed, 0, Silent(), nothing, nothing, nothing, folder / "scratch")
    return dict(collect(request, Inputs({}), folder / "out", ctx))


def procedural(name: str = "worlds", servers: int = 100, defects: float = 0.2, **worlds: int) -> dict[str, Any]:
    return {"name": name, "procedural": {"servers": servers, "defects": defects, "worlds": worlds}}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out").iterdir())}


def test_the_artifact_reads_back_and_adds_up(tmp_path: Path) -> None:
    metrics = run(tmp_path, sources=[procedural(), procedural("more", 50, 0.0)])
    servers = list(read_lines(tmp_path / "out/servers.jsonl", Server))
    dropped = list(read_lines(tmp_path / "out/dropped.jsonl", Dropped))
    clusters = list(read_lines(tmp_path / "out/duplicates.jsonl", DuplicateCluster))
    report = StageReport.model_validate_json((tmp_path / "out/report.json").read_bytes())
    assert metrics["servers"] == len(servers) == 150 - 10
    assert metrics["dropped"] == len(dropped) == 20
    assert metrics["tools"] == sum(len(server.tools) for server in servers)
    assert metrics["duplicateClusters"] == len(clusters) > 0
    assert len({server.name for server in servers}) == len(servers)
    planted = dict.fromkeys(["schema", "description", "toolsPerServer", "duplicates"], 5)
    assert {row.filter: row.dropped for row in report.funnel} == {"reachable": 0, **planted}
    assert all(tool.licence and tool.source == "procedural" for server in servers for tool in server.tools)
    assert all(server.labels == {"origin": "procedural"} for server in servers), "a planted tool is gone, and its label with it"


def test_equal_requests_give_equal_bytes_and_another_seed_other_worlds(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path / name, seed, sources=[procedural()])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a")["servers.jsonl"] != contents(tmp_path / "c")["servers.jsonl"]


def test_a_source_does_not_change_with_those_beside_it(tmp_path: Path) -> None:
    run(tmp_path / "alone", sources=[procedural()])
    run(tmp_path / "beside", sources=[procedural("other", 30, 0.0), procedural()])
    alone = contents(tmp_path / "alone")["servers.jsonl"].splitlines()
    beside = [line for line in contents(tmp_path / "beside")["servers.jsonl"].splitlines() if b'"name":"worlds.' in line]
    assert alone == beside


@pytest.mark.bench
def test_a_thousand_servers_take_seconds(tmp_path: Path) -> None:
    start = time.process_time()
    run(tmp_path, sources=[procedural(servers=1000)])
    assert time.process_time() - start < 5


def test_nothing_left_is_bad_input_that_says_which_filter_did_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        run(tmp_path, sources=[procedural(servers=5, defects=0.0)], filters={"minToolsPerServer": 50})
    assert (refused.value.where, refused.value.reason, refused.value.exit_code) == ("filters", "NothingKept", 78)
    assert "toolsPerServer dropped 5 of 5" in refused.value.message
    assert list((tmp_path / "out").iterdir()) == []


def test_the_report_is_canonical_json(tmp_path: Path) -> None:
    run(tmp_path, sources=[procedural()])
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["kind"] == "ToolCorpus"
    assert all(row["plantedDropped"] == row["planted"] and row["cleanDropped"] == 0 for row in report["funnel"])
