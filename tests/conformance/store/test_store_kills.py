"""kill -9 before any step that touches the store: afterwards it holds the old state or the new one, and goes on."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.request import StoreSettings
from astra_jobs.runtime.checkpoints import StoreCheckpoints
from astra_jobs.runtime.journal import StoreJournal
from astra_jobs.runtime.store import Draft, open_store
from astra_jobs.runtime.writer import State

SEED = 20260128
KEY = digest_of("killed work")
MakeFolder = Callable[..., Path]
Committer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def made(folder_of: MakeFolder) -> Path:
    return folder_of(a_jsonl=b'{"a":1}\n', model__weights_bin=bytes(range(256)) * 64)


def points(settings: StoreSettings, steps: int) -> list[int]:
    """Two seeded steps, and the last two: the commit is among those."""
    drawn = random.Random(digest_of([SEED, settings.url.split(":")[0]])).sample(range(1, steps - 1), 2)
    return sorted({*drawn, steps - 1, steps})


def run(committer: Committer, settings: StoreSettings, what: str, argument: object, kill_at: int, key: str = KEY) -> tuple[int, list[str]]:
    done = committer(what, settings.url, settings.endpoint or "", key, argument, kill_at)
    assert done.returncode in {0, -9}, done.stderr
    return done.returncode, done.stdout.splitlines()


def undisturbed(committer: Committer, settings: StoreSettings, what: str, argument: object) -> int:
    """Return how many steps a run takes in a store that has been used before."""
    for key in ("first", "second"):
        code, lines = run(committer, settings, what, argument, 0, key=key)
        assert code == 0
    return steps_of(lines)


def steps_of(lines: list[str]) -> int:
    return int(lines[-1].removeprefix("steps "))


def test_a_killed_commit_is_whole_or_absent_and_is_done_again(
    settings: StoreSettings, made: Path, committer: Committer, tmp_path: Path
) -> None:
    steps = undisturbed(committer, settings, "commit", made)
    wanted = {path.name: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    for kill_at in points(settings, steps):
        key = digest_of(["killed at", kill_at])
        code, _ = run(committer, settings, "commit", made, kill_at, key=key)
        assert code == -9, f"seed {SEED}: step {kill_at} was not reached"
        store = open_store(settings)
        before = store.find(key)
        after = store.commit(Draft(key=key, kind="Test", stage="test"), made)
        assert before in {None, after}, f"seed {SEED}: killed at step {kill_at}"
        fetched = store.fetch(after, tmp_path / str(kill_at))
        assert {path.name: path.read_bytes() for path in fetched.rglob("*") if path.is_file()} == wanted


def test_a_killed_journal_keeps_every_item_it_called_durable(settings: StoreSettings, committer: Committer) -> None:
    steps = undisturbed(committer, settings, "journal", 4)
    for kill_at in points(settings, steps):
        key = f"killed-{kill_at}"
        code, said = run(committer, settings, "journal", 4, kill_at, key=key)
        assert code == -9, f"seed {SEED}: step {kill_at} was not reached"
        durable = [int(line.split()[1]) for line in said if line.startswith("durable")]
        state = State(open_store(settings).backend, f"state/{key}/owner", attempt=1, restart=1)
        state.start()
        replayed = [item["number"] for item in StoreJournal(state).items()]
        assert replayed[: len(durable)] == durable, f"seed {SEED}: killed at step {kill_at}"
        assert replayed == list(range(len(replayed)))
        assert len(replayed) - len(durable) in {0, 1}, "at most the group whose commit was cut off before it could say so"


def test_a_killed_save_leaves_the_checkpoint_before_it(settings: StoreSettings, made: Path, committer: Committer, tmp_path: Path) -> None:
    steps = undisturbed(committer, settings, "checkpoint", made)
    for kill_at in points(settings, steps):
        key = f"killed-{kill_at}"
        code, said = run(committer, settings, "checkpoint", made, kill_at, key=key)
        assert code == -9, f"seed {SEED}: step {kill_at} was not reached"
        durable = max((int(line.split()[1]) for line in said if line.startswith("durable")), default=0)
        state = State(open_store(settings).backend, f"state/{key}/owner", attempt=1, restart=1)
        state.start()
        found = StoreCheckpoints(state, tmp_path / key).latest()
        step = found[0] if found else 0
        assert step in {durable, durable + 1}, f"seed {SEED}: killed at step {kill_at}"
        if found:
            assert (found[1] / "model/weights.bin").read_bytes() == (made / "model/weights.bin").read_bytes()
