"""ToolCorpus over the real servers of the quickstart: one stays, two fall to the three-tool filter, with the reason."""

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
from astra_jobs.toolcorpus.job import collect

REAL = [{"name": name, "mcp": {"command": [f"mcp-server-{name}"], "licence": "MIT"}} for name in ("git", "time", "fetch")]
WORLDS = {"name": "worlds", "procedural": {"servers": 40, "defects": 0.2}}


class Silent:
    def update(self, step: int, total: int, message: str = "", metrics: object = None) -> None:
        assert 0 <= step <= total


def run(folder: Path, sources: list[dict[str, Any]]) -> Path:
    (folder / "scratch").mkdir(parents=True)
    (folder / "out").mkdir()
    spec = ToolCorpusSpec.model_validate({"sources": sources}).to_dict()
    request = StageRequest(
        kind="ToolCorpus",
        name="t",
        namespace="default",
        attempt=1,
        digest="sha256:0",
        stage="collect",
        spec=spec,
        store=StoreSettings(url="file:///nowhere"),
    )
    nothing = cast(Any, None)
    collect(request, Inputs({}), folder / "out", JobContext(0, 0, Silent(), nothing, nothing, nothing, folder / "scratch"))
    return folder / "out"


def test_git_stays_and_the_small_ones_are_dropped_with_their_reason(tmp_path: Path) -> None:
    out = run(tmp_path / "a", [*REAL, WORLDS])
    servers = {server.name: server for server in read_lines(out / "servers.jsonl", Server)}
    git = servers["git"]
    assert (git.origin, git.domain, git.program and git.program.name, len(git.tools)) == ("Mcp", "git", "mcp-server-git", 12)
    assert {(tool.source, tool.licence) for tool in git.tools} == {("mcp:mcp-git", "MIT")}
    assert all(tool.version for tool in git.tools)
    assert len(servers) == 1 + 40 - 4
    dropped = [item for item in read_lines(out / "dropped.jsonl", Dropped) if not item.labels]
    assert {(item.name, item.filter, item.reason) for item in dropped} == {
        ("time", "toolsPerServer", "TooFewTools"),
        ("fetch", "toolsPerServer", "TooFewTools"),
    }
    report = StageReport.model_validate_json((out / "report.json").read_bytes())
    assert {row.filter: row.dropped - row.planted for row in report.funnel} == {
        "reachable": 0,
        "schema": 0,
        "description": 0,
        "toolsPerServer": 2,
        "duplicates": 0,
    }
    assert "time (TooFewTools: 2 sound tools, 3 needed)" in report.notes[0]
    assert all(row.planted == row.planted_dropped == (row.filter != "reachable") * 2 and row.clean_dropped == 0 for row in report.funnel)


def test_two_runs_over_real_servers_give_equal_bytes(tmp_path: Path) -> None:
    one, two = run(tmp_path / "a", [*REAL, WORLDS]), run(tmp_path / "b", [*REAL, WORLDS])
    for path in sorted(one.iterdir()):
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name


def test_a_server_that_does_not_start_names_its_place_in_the_spec(tmp_path: Path) -> None:
    broken = {"name": "broken", "mcp": {"command": ["no-such-server", "--fast"]}}
    with pytest.raises(BadInput) as refused:
        run(tmp_path, [WORLDS, *REAL[:1], broken])
    assert refused.value.where == "sources[2].mcp.command"
    assert refused.value.reason == "ToolServerUnavailable"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_server_that_is_read_twice_is_kept_once(tmp_path: Path) -> None:
    again = {"name": "copy", "mcp": {"command": ["mcp-server-git"], "licence": "MIT"}}
    out = run(tmp_path, [REAL[0], again])
    assert [server.name for server in read_lines(out / "servers.jsonl", Server)] == ["git"]
    assert [item.reason for item in read_lines(out / "dropped.jsonl", Dropped) if item.what == "server"] == ["SameTools"]
