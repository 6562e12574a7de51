"""``astra-job collect``: what it prints, and which lists it refuses."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.request import StoreSettings
from astra_jobs.runtime import collecting
from astra_jobs.runtime.main import main
from astra_jobs.runtime.store import Draft, Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(StoreSettings(url=f"file://{tmp_path}/store"))
    store.enter("team")
    for name in ("kept", "gone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
        store.commit(Draft(digest_of(name), "Test", "test"), tmp_path / name)
    return store


def live(tmp_path: Path, text: str | None = None, **changes: Any) -> str:
    told = {"version": 1, "namespace": "team", "time": time.time(), "runs": [{"uid": "u", "name": "r"}], "keys": [], "artifacts": []}
    path = tmp_path / "live.json"
    path.write_text(json.dumps(told | {"keys": [digest_of("kept")]} | changes) if text is None else text)
    return str(path)


def call(tmp_path: Path, *words: str) -> int:
    return main(["collect", "--store", f"file://{tmp_path}/store", *words])


def test_without_remove_it_only_tells(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(tmp_path, "--live", live(tmp_path)) == 0
    assert capsys.readouterr().out == "would remove 0 things of 0 bytes; 2 artifacts are kept\n", "all is younger than the minimum age"
    now = time.time()
    monkeypatch.setattr(collecting.time, "time", lambda: now + 8 * 86_400)
    words = ("--live", live(tmp_path, time=now + 8 * 86_400))
    assert call(tmp_path, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"would remove artifact artifacts/{digest_of('gone')[7:]} (")
    assert lines[1].endswith("; 1 artifacts are kept")
    assert store.find(digest_of("gone")) is not None
    assert call(tmp_path, *words, "--days", "9") == 0
    assert capsys.readouterr().out.startswith("would remove 0 things")
    assert call(tmp_path, *words, "--remove") == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("removed 1 things of ")
    assert (store.find(digest_of("gone")), store.find(digest_of("kept")) is None) == (None, False)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"text": ""}, "is no whole list of live runs: "),
        ({"text": '{"version": 1, "namespace": "team", "time": 1.0, "runs": [{"uid"'}, "is no whole list of live runs: "),
        ({"runs": []}, "lists no run of namespace team, so nothing would be kept"),
        ({"keys": None}, "is no whole list of live runs: keys: "),
        ({"version": 2}, "is no whole list of live runs: version: "),
        ({"more": 1}, "is no whole list of live runs: more: "),
        ({"time": time.time() - 7200}, "minutes ago, and at most 60 are allowed; write another"),
        ({"time": time.time() + 7200}, "set the clocks of the machines right"),
        ({"namespace": "other"}, "is of namespace other, whose runs have never used"),
    ],
)
def test_a_list_that_may_not_be_all_is_refused(
    store: Store, tmp_path: Path, changes: dict[str, Any], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = store.backend.sizes("")
    assert call(tmp_path, "--live", live(tmp_path, **changes), "--remove") == 78
    told = capsys.readouterr()
    assert line in told.err
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert store.backend.sizes("") == before


@pytest.mark.parametrize("days", ["0.5", "week", "-1", "nan", "4000"])
def test_a_wrong_age_is_refused(store: Store, tmp_path: Path, days: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "--live", live(tmp_path), "--days", days) == 78
    assert f"argument --days: found '{days}'; give days from 1 to 3650" in capsys.readouterr().err


def test_without_a_list_nothing_is_done(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "--live", str(tmp_path / "nowhere.json")) == 78
    assert "let python -m astra_operator.collection write it" in capsys.readouterr().err
