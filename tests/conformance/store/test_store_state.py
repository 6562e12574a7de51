"""Journal, checkpoints and the order of writers, over a folder and over S3."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput, Transient
from astra_jobs.api.request import StoreSettings
from astra_jobs.runtime.checkpoints import StoreCheckpoints
from astra_jobs.runtime.journal import StoreJournal
from astra_jobs.runtime.shared import StoreShared
from astra_jobs.runtime.store import open_store
from astra_jobs.runtime.writer import State
from tests.patience import patience

MakeFolder = Callable[..., Path]


def state(settings: StoreSettings, attempt: int = 1, restart: int = 0) -> State:
    return State(open_store(settings).backend, "state/key/owner", attempt, restart)


def started(settings: StoreSettings, attempt: int = 1, restart: int = 0) -> State:
    found = state(settings, attempt, restart)
    found.start()
    return found


def numbers(settings: StoreSettings) -> list[Any]:
    return [item["number"] for item in StoreJournal(started(settings)).items()]


def test_an_older_restart_is_refused_and_a_newer_one_is_not(settings: StoreSettings) -> None:
    started(settings, restart=1)
    with pytest.raises(Transient, match="restart 1 of attempt 1 has taken over") as refused:
        started(settings, restart=0)
    assert refused.value.reason == "Superseded"
    started(settings, restart=2)
    started(settings, attempt=2, restart=0)


def test_a_writer_that_was_overtaken_may_not_write_any_more(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    slow = started(settings)
    started(settings, restart=1)
    journal = StoreJournal(slow)
    journal.append({"number": 1})
    with pytest.raises(Transient, match="taken over"):
        journal.flush()
    with pytest.raises(Transient, match="taken over"):
        StoreCheckpoints(slow, tmp_path / "scratch").save(1, folder_of(a_txt=b"1"))
    with pytest.raises(Transient, match="taken over"):
        slow.check()


def test_two_starts_of_one_restart_get_different_numbers(settings: StoreSettings) -> None:
    assert [started(settings).start().number for _ in range(2)] == [2, 4]


def test_only_rank_0_writes(settings: StoreSettings) -> None:
    with pytest.raises(RuntimeError, match="only rank 0"):
        state(settings).check()


def test_the_journal_replays_what_was_flushed_and_only_that(settings: StoreSettings) -> None:
    journal = StoreJournal(started(settings), group_seconds=3600)
    for number in range(5):
        journal.append({"number": number})
    journal.flush()
    journal.append({"number": 5})
    assert list(journal.items()) == [], "items are those of earlier incarnations"
    assert numbers(settings) == [0, 1, 2, 3, 4]


def test_a_group_is_committed_without_being_asked(settings: StoreSettings) -> None:
    own = started(settings)
    create, committed = own.backend.create, threading.Event()

    def told(path: str, data: bytes) -> bool:
        done = create(path, data)
        committed.set()
        return done

    own.backend.create = told  # type: ignore[method-assign]
    journal = StoreJournal(own, group_seconds=0.01)
    journal.append({"number": 7})
    assert committed.wait(timeout=patience())
    assert numbers(settings) == [7]


def test_closing_commits_the_rest(settings: StoreSettings) -> None:
    journal = StoreJournal(started(settings), group_seconds=3600)
    journal.append({"number": 1})
    journal.close()
    assert numbers(settings) == [1]


def test_items_of_all_starts_come_in_order(settings: StoreSettings) -> None:
    for start in range(3):
        journal = StoreJournal(started(settings), group_seconds=3600)
        for number in range(3):
            journal.append({"number": 3 * start + number})
            journal.flush()
    assert numbers(settings) == list(range(9))


def test_a_write_that_slips_past_the_check_is_never_read(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    """The successor starts between the predecessor's check and its put: the one race that a check cannot close."""
    slow = started(settings)
    journal = StoreJournal(slow, group_seconds=3600)
    journal.append({"number": 0})
    journal.flush()
    StoreCheckpoints(slow, tmp_path / "slow").save(10, folder_of("ten", a_txt=b"10"))
    successor = started(settings, restart=1)
    slow.check = lambda: slow.own  # type: ignore[method-assign,assignment,return-value]
    journal.append({"number": 1})
    journal.flush()
    StoreCheckpoints(slow, tmp_path / "slow").save(99, folder_of("late", a_txt=b"99"))
    assert [item["number"] for item in StoreJournal(successor).items()] == [0]
    later = started(settings, restart=2)
    assert [item["number"] for item in StoreJournal(later).items()] == [0]
    found = StoreCheckpoints(later, tmp_path / "later").latest()
    assert found is not None
    assert found[0] == 10


@pytest.mark.parametrize("keep", [0, 10, -1], ids=["emptied", "cut-in-the-head", "last-byte-lost"])
def test_a_half_written_segment_is_refused(settings: StoreSettings, keep: int) -> None:
    journal = StoreJournal(started(settings), group_seconds=3600)
    journal.append({"number": 0})
    journal.flush()
    backend = open_store(settings).backend
    path = "state/key/owner/journal/00000001-000000.jsonl"
    backend.replace(path, (backend.read(path) or b"")[:keep])
    with pytest.raises(BadInput, match=r"journal segment is damaged.*delete the folder") as refused:
        numbers(settings)
    assert refused.value.where.endswith(path)


def test_checkpoints_begin_with_none(settings: StoreSettings, tmp_path: Path) -> None:
    assert StoreCheckpoints(started(settings), tmp_path).latest() is None


def test_the_last_two_checkpoints_are_kept_and_the_newest_is_given(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    told: list[int] = []
    checkpoints = StoreCheckpoints(started(settings), tmp_path / "scratch", told.append)
    for step in (1, 2, 3):
        checkpoints.save(step, folder_of(f"at{step}", state__weights_bin=bytes([step])))
    assert told == [1, 2, 3]
    kept = {path.split("/")[0] for path in open_store(settings).backend.sizes("state/key/owner/snapshots")}
    assert kept == {"00000001-0000000002", "00000001-0000000003"}
    for reader in (
        checkpoints,
        StoreCheckpoints(started(settings), tmp_path / "next"),
        StoreCheckpoints(state(settings), tmp_path / "rank1"),
    ):
        found = reader.latest()
        assert found is not None
        assert (found[0], (found[1] / "state/weights.bin").read_bytes()) == (3, b"\x03")


def test_a_start_without_a_checkpoint_of_its_own_hands_on_what_it_found(
    settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path
) -> None:
    StoreCheckpoints(started(settings), tmp_path / "one").save(4, folder_of(a_txt=b"4"))
    started(settings)
    found = StoreCheckpoints(started(settings), tmp_path / "three").latest()
    assert found is not None
    assert found[0] == 4


def test_a_damaged_checkpoint_is_refused(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    StoreCheckpoints(started(settings), tmp_path / "one").save(4, folder_of(a_txt=b"4"))
    open_store(settings).backend.replace("state/key/owner/snapshots/00000001-0000000004/a.txt", b"5")
    with pytest.raises(BadInput, match=r"a\.txt: checkpoint is damaged"):
        StoreCheckpoints(started(settings), tmp_path / "two").latest()


def test_state_is_cleared_but_keeps_refusing(settings: StoreSettings) -> None:
    own = started(settings, restart=3)
    journal = StoreJournal(own, group_seconds=3600)
    journal.append({"number": 0})
    journal.close()
    own.clear()
    assert list(StoreJournal(started(settings, restart=3)).items()) == []
    with pytest.raises(Transient, match="taken over"):
        started(settings, restart=2)


def test_shared_artifacts_are_made_once(settings: StoreSettings, tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> dict[str, float]:
        made.append(folder)
        (folder / "evaluation.json").write_text("{}")
        return {"reward": 0.5}

    key = {"model": digest_of("model"), "episodes": 400}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        found = StoreShared(open_store(settings), tmp_path / name).get_or_make("evaluation", key, make)
        assert (found / "evaluation.json").read_text() == "{}"
    assert len(made) == 1
    (tmp_path / "third").mkdir()
    StoreShared(open_store(settings), tmp_path / "third").get_or_make("evaluation", {**key, "episodes": 401}, make)
    assert len(made) == 2
