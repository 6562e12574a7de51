"""Collections among those who commit and take up: random schedules of every step that touches the store, and what they leave.

The store is a folder; a bucket differs in nothing that matters here: each step is one operation of ``backend``, and a read sees every
put that has returned.
"""

import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.errors import BadInput
from astra_jobs.runtime import collect as collection
from astra_jobs.runtime.collect import collect
from astra_jobs.runtime.folder import FolderBackend
from astra_jobs.runtime.store import Store
from tests.conformance.store.litter import key_of, leave, listed, put
from tests.patience import patience

DAY = 86_400.0
SEED = 20260130
SCHEDULES = 40


class Gate:
    """Lets one operation of the store happen at a time, of whom a random schedule says."""

    def __init__(self, seed: int, actors: int) -> None:
        self._random = random.Random(seed)
        self._waiting = threading.Condition()
        self._alive = set(range(actors))
        self._turn = self._random.randrange(actors)
        self._left = 0

    def step(self, actor: int, work: Callable[[], Any]) -> Any:
        with self._waiting:
            assert self._waiting.wait_for(lambda: self._turn == actor, timeout=patience())
            try:
                return work()
            finally:
                self._pass_on()

    def leave(self, actor: int) -> None:
        with self._waiting:
            self._alive.discard(actor)
            if self._turn == actor:
                self._left = 0
                self._pass_on()

    def _pass_on(self) -> None:
        """Give the turn to somebody for some steps: often one, now and then many, as a process that is paused meets it."""
        self._left -= 1
        if self._left <= 0 and self._alive:
            self._turn = self._random.choice(sorted(self._alive))
            self._left = self._random.choice([1, 1, 2, 5, 50])
        self._waiting.notify_all()


class Stepped:
    """A backend whose operations wait for their turn."""

    def __init__(self, backend: FolderBackend, gate: Gate, actor: int) -> None:
        self.url = backend.url
        self._backend, self._gate, self._actor = backend, gate, actor

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)
        return lambda *words: self._gate.step(self._actor, lambda: method(*words))


def play(seed: int, folder: Path, cast: list[Callable[[Store], Artifact | None]]) -> list[Any]:
    """Let everybody work on one store at once; return what each got, or the error that it met."""
    gate = Gate(seed, len(cast))
    results: list[Any] = [None] * len(cast)

    def work(actor: int) -> None:
        try:
            results[actor] = cast[actor](Store(Stepped(FolderBackend(folder / "store"), gate, actor)))
        except Exception as error:  # noqa: BLE001 -- told to the test
            results[actor] = error
        finally:
            gate.leave(actor)

    threads = [threading.Thread(target=work, args=(actor,)) for actor in range(len(cast))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def old_store(folder: Path, committed: bool) -> Store:
    """A store whose last use is a month ago: it holds what the story is about, or only what a killed commit of it left."""
    store = Store(FolderBackend(folder / "store"))
    put(store, folder / "made", "kept")
    put(store, folder / "made", "old")
    if not committed:
        (place,) = {path.split("/")[0] for path in store.backend.sizes("artifacts") if key_of("old").removeprefix("sha256:") in path}
        store.backend.remove(f"artifacts/{place}/manifest.json")
    leave(store, folder / "made")
    past = time.time() - 30 * DAY
    for path in (folder / "store").rglob("*"):
        if path.is_file():
            os.utime(path, (past, past))
    return store


def collector(store: Store) -> None:
    collect(store, listed(keys=["kept"], at=0), DAY, remove=True)


def fresh(store: Store, folder: Path) -> Artifact:
    """Do what a stage does whose attempt began after the list was made."""
    found = store.claim(key_of("old"))
    return found or put(store, folder / "made", "old")


def lost(seed: int, folder: Path, committed: bool) -> list[str]:
    """Play one schedule; return what of its end is not as it must be."""
    store = old_store(folder, committed)
    wanted = {path.name: path.read_bytes() for path in (folder / "made/old").rglob("*") if path.is_file()}
    users = [lambda store: fresh(store, folder), lambda store: fresh(store, folder)]
    results = play(seed, folder, [*users, collector, collector])
    failed = [result for result in results if isinstance(result, Exception)]
    if failed:
        return [f"seed {seed}: {error!r}" for error in failed]
    found = store.find(key_of("old"))  # none where a place was retired and then left, because somebody had taken up what is there
    problems = []
    for artifact in (*results[:2], *([found] if found else []), store.find(key_of("kept"))):
        assert artifact is not None
        try:
            fetched = store.fetch(artifact, folder / "unused")
        except BadInput as error:
            problems.append(f"seed {seed}: {error}")
            continue
        if artifact in results[:2] and {path.name: path.read_bytes() for path in fetched.rglob("*") if path.is_file()} != wanted:
            problems.append(f"seed {seed}: {artifact} holds something else")
    return problems


@pytest.mark.parametrize("committed", [True, False], ids=["found again", "made again"])
def test_whoever_commits_or_takes_up_meanwhile_loses_nothing(committed: bool, tmp_path: Path) -> None:
    for number in range(SCHEDULES):
        (tmp_path / "made").mkdir(parents=True)
        assert lost(SEED + number, tmp_path, committed) == []
        for path in tmp_path.iterdir():
            shutil.rmtree(path)


@pytest.mark.parametrize("without", ["the mark of retirement", "the last look"])
def test_without_either_half_of_the_agreement_something_is_lost(without: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: the schedules find what the two halves are for."""
    if without == "the mark of retirement":
        monkeypatch.setattr(collection, "retire", lambda backend, place: None)
    else:
        monkeypatch.setattr(collection, "_taken_up", lambda now, place: False)
    for number in range(20 * SCHEDULES):
        folder = tmp_path / str(number)
        (folder / "made").mkdir(parents=True)
        if lost(SEED + number, folder, committed=True):
            return
        shutil.rmtree(folder)
    pytest.fail(f"no schedule loses anything without {without}")
