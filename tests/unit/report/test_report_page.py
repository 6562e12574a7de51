"""The report: complete, self-contained, escaped, well-formed, and honest about what is missing."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.runtime.main import main

VOID = {"meta", "br", "rect", "line", "circle", "polyline"}
Finished = Callable[..., Any]


class Reader(HTMLParser):
    """Checks nesting and gathers elements, ids, links and text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def written(pipeline: Any, tmp_path: Path) -> str:
    out = tmp_path / "report.html"
    assert main(["inspect", "report", "--store", pipeline.url, "--runs", str(pipeline.runs_file()), "--out", str(out)]) == 0
    return out.read_text(encoding="utf-8")


def test_it_is_well_formed_and_loads_nothing(finished: Finished, tmp_path: Path) -> None:
    page = written(finished(), tmp_path)
    reader = read(page)
    names = {name for name, _ in reader.elements}
    assert not names & {"link", "img", "iframe", "object", "embed", "base"}
    assert not re.search(r"https?://|url\(|@import", page)
    for name, attributes in reader.elements:
        assert "src" not in attributes, name
        assert not [key for key in attributes if key.startswith("on")], name
        assert (attributes.get("href") or "#").startswith("#"), name
    policy = next(attributes["content"] for _, attributes in reader.elements if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline'; script" in policy, "style may be inline, script only by its digest"


def test_links_lead_somewhere_and_ids_are_unique(finished: Finished, tmp_path: Path) -> None:
    reader = read(written(finished(), tmp_path))
    ids = [attributes["id"] for _, attributes in reader.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    links = {(attributes.get("href") or "")[1:] for name, attributes in reader.elements if name == "a"}
    assert links <= set(ids)


def test_everything_that_was_asked_for_is_there(finished: Finished, tmp_path: Path) -> None:
    pipeline = finished()
    reader = read(written(pipeline, tmp_path))
    text = " ".join(reader.text)
    for words in ("5 of 5 runs succeeded", "0.61 [0.57, 0.65]", "1 min 42 s", "argument provenance", "broken argument", "Random argument"):
        assert words in text, words
    for body in pipeline.bodies:
        for artifact in body["status"]["artifacts"].values():
            assert artifact["digest"] in text
            assert artifact["uri"] in text
    charts = [attributes for name, attributes in reader.elements if name == "svg" and attributes.get("role") == "img"]
    assert len(charts) == 2 + 4 + 2 + 3
    assert sum(name == "title" for name, _ in reader.elements) == len(charts) + 1
    assert sum(name == "desc" for name, _ in reader.elements) == len(charts)
    transcripts = [attributes for name, attributes in reader.elements if attributes.get("class") == "transcript"]
    assert len(transcripts) == 10


def test_the_healthy_funnel_says_so_and_a_miss_is_flagged(finished: Finished, tmp_path: Path) -> None:
    page = written(finished(), tmp_path)
    assert "177 of 177 planted defects were dropped by the filter meant for them; no clean item was dropped by these filters." in page
    assert 'class="flagged"' not in page


EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"' & </details></style>"


def test_nothing_from_data_becomes_markup(finished: Finished, tmp_path: Path) -> None:
    pipeline = finished(said=EVIL)
    pipeline.bodies[0]["metadata"]["name"] = f"tools{EVIL}"
    pipeline.bodies[0]["spec"]["note"] = EVIL
    pipeline.bodies[1]["status"]["conditions"][0]["reason"] = EVIL
    page = written(pipeline, tmp_path)
    reader = read(page)
    assert sum(name == "script" for name, _ in reader.elements) == 1
    assert not any(name == "img" for name, _ in reader.elements)
    assert sum(EVIL in part for part in reader.text) >= 2
    assert page.count("<script") == 1


def test_equal_runs_give_equal_bytes_in_any_order(finished: Finished, tmp_path: Path) -> None:
    pipeline = finished()
    first = written(pipeline, tmp_path)
    pipeline.bodies.reverse()
    assert written(pipeline, tmp_path) == first


def test_what_is_missing_is_said(unfinished: Any, tmp_path: Path) -> None:
    text = " ".join(read(written(unfinished, tmp_path)).text)
    for words in (
        "3 of 5 runs succeeded",
        "No curve yet: running, stage train",
        "Not measured yet: base, astra",
        "No artifact yet: train, evaluate",
        "No episodes have been kept yet",
    ):
        assert words in text, words


def test_a_report_of_nothing_is_a_page(tmp_path: Path) -> None:
    (tmp_path / "runs.json").write_text("[]")
    out = tmp_path / "report.html"
    assert main(["inspect", "report", "--store", f"file://{tmp_path}/store", "--runs", f"{tmp_path}/runs.json", "--out", str(out)]) == 0
    read(out.read_text())


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ("{", "is no JSON"),
        ("{}", "is no list of run objects"),
        ('[{"kind": "ToolCorpus", "metadata": {"name": "t"}, "status": {"artifacts": {"collect": {"uri": 1}}}}]', "status.artifacts: uri"),
        (None, "cannot be read"),
    ],
)
def test_bad_run_files_are_refused_in_one_line(tmp_path: Path, runs: str | None, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.json"
    if runs is not None:
        path.write_text(runs)
    assert main(["inspect", "report", "--store", f"file://{tmp_path}/store", "--runs", str(path), "--out", f"{tmp_path}/r.html"]) == 78
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("arguments", [[], ["report"], ["report", "--store"], ["what"]])
def test_bad_arguments_of_inspect_exit_78(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *arguments]) == 78
    assert len(capfd.readouterr().err.strip().splitlines()) == 1


def test_a_damaged_artifact_stops_the_report(finished: Finished, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pipeline = finished()
    path = next(path for path in pipeline.store.backend.sizes("") if path.endswith("evaluation.json"))
    pipeline.store.backend.replace(path, b"{}")
    assert main(["inspect", "report", "--store", pipeline.url, "--runs", str(pipeline.runs_file()), "--out", f"{tmp_path}/r.html"]) == 78
    assert "evaluation.json is damaged" in capfd.readouterr().err.replace(": is damaged", " is damaged")


def test_a_filter_that_misses_is_flagged(finished: Finished, tmp_path: Path) -> None:
    pipeline = finished()
    missed = {"filter": "answer", "seen": 90, "dropped": 7, "reasons": {"Wrong": 7}, "planted": 8, "plantedDropped": 5, "cleanDropped": 2}
    report = json.dumps({"version": 1, "kind": "EnvSynthesis", "funnel": [missed], "numbers": {}, "notes": []})
    artifact = pipeline.stage("EnvSynthesis", "again", report__json=report.encode())
    pipeline.bodies[2]["status"]["artifacts"] = {"merge": artifact.to_dict()}
    page = written(pipeline, tmp_path)
    assert "✕ </span>5 of 8 planted defects were dropped by the filter meant for them; 2 clean items were dropped by those filters." in page
    row = page[page.index('class="flagged"') :].split("</tr>")[0]
    assert re.findall(r">([\d,]+)</td>", row) == ["5", "3", "2", "80"]


def test_a_damaged_curve_is_named_by_line(finished: Finished, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pipeline = finished()
    artifact = pipeline.stage("SFTRun", "again", curve__jsonl=b'{"step":1,"loss":2.0}\n{"step":2,"lo\n')
    pipeline.bodies[3]["status"]["artifacts"] = {"train": artifact.to_dict()}
    assert main(["inspect", "report", "--store", pipeline.url, "--runs", str(pipeline.runs_file()), "--out", f"{tmp_path}/r.html"]) == 78
    assert "curve.jsonl:2: is no line of a curve" in capfd.readouterr().err
