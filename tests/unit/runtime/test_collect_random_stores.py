"""Random stores and random lists of live ones: what is referred to, directly or through what it was made from, is never removed."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import digest_of
from astra_jobs.api.live import LiveList, LiveRun
from astra_jobs.runtime.collect import collect
from astra_jobs.runtime.folder import FolderBackend
from astra_jobs.runtime.places import first_place, retire
from astra_jobs.runtime.store import Draft, Store

DAY = 86_400.0


@dataclass(frozen=True)
class Made:
    """An artifact: the numbers of earlier ones that it was made from, its age, and what a killed writer or collection has left of it."""

    inputs: tuple[int, ...]
    days: int
    loser: bool
    headless: bool
    retired: bool


def made(number: int) -> st.SearchStrategy[Made]:
    earlier = st.lists(st.integers(0, number - 1), max_size=3).map(tuple) if number else st.just(())
    rare = st.integers(0, 7).map(lambda drawn: drawn == 0)
    return st.builds(Made, earlier, st.integers(0, 20), st.booleans(), rare, rare)


stores = st.integers(1, 8).flatmap(lambda count: st.tuples(*(made(number) for number in range(count))))


def build(folder: Path, store: Store, plan: tuple[Made, ...]) -> list[Artifact]:
    """Commit everything, and let it be as old as planned."""
    artifacts: list[Artifact] = []
    store.enter("team")
    for number, item in enumerate(plan):
        source = folder / f"made-{number}"
        source.mkdir()
        (source / "data").write_text(str(number))
        key = digest_of(number)
        draft = Draft(key, "Test", "test", inputs=tuple(artifacts[index].digest for index in item.inputs))
        artifacts.append(store.commit(draft, source))
        if item.loser:
            store.backend.upload(source / "data", f"work/{first_place(key)}/9/loser/data")
        if item.retired:
            retire(store.backend, first_place(key))
        if item.headless:
            store.backend.remove(f"artifacts/{first_place(key)}/manifest.json")
        past = time.time() - item.days * DAY
        for path in [*folder.glob(f"store/*/{first_place(key)}/**/*")]:
            os.utime(path, (past, past))
    return artifacts


def needed(plan: tuple[Made, ...], roots: set[int]) -> set[int]:
    """Return what an independent reading of the rules keeps: the roots, what they were made from, and so on."""
    found: set[int] = set()
    edge = roots
    while edge:
        found |= edge
        edge = {index for number in edge if not plan[number].headless for index in plan[number].inputs} - found
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(plan=stores, data=st.data())
def test_exactly_what_nothing_refers_to_and_is_old_goes(plan: tuple[Made, ...], data: st.DataObject) -> None:
    numbers = st.sets(st.integers(0, len(plan) - 1))
    by_key, by_digest, by_place = data.draw(numbers), data.draw(numbers), data.draw(numbers)
    least = data.draw(st.integers(1, 15))
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        store = Store(FolderBackend(folder / "store"))
        artifacts = build(folder, store, plan)
        pointers = [artifacts[number] for number in by_digest]
        pointers += [Artifact(uri=artifacts[number].uri, digest=digest_of(["unknown", number])) for number in by_place]
        keys = [digest_of(number) for number in by_key]
        live = LiveList(namespace="team", time=time.time(), runs=[LiveRun(uid="u", name="r")], keys=keys, artifacts=pointers)
        collect(store, live, (least - 0.5) * DAY, remove=True)
        young = {number for number, item in enumerate(plan) if item.days < least or (item.loser and item.days < least)}
        kept = needed(plan, {number for number in by_key if not plan[number].retired} | by_digest | by_place | young)
        for number, (item, artifact) in enumerate(zip(plan, artifacts, strict=True)):
            files = list(folder.glob(f"store/*/{first_place(digest_of(number))}/**/*.json")) + list(
                folder.glob(f"store/work/{first_place(digest_of(number))}/*/*/data")
            )
            left = [path for path in files if path.name != "retired.json"]
            if number not in kept:
                assert left == [], f"{number} is old and nothing refers to it"
            elif not item.headless:
                assert (store.fetch(artifact, folder / "fetched") / "data").read_text() == str(number)
                assert (not [path for path in left if "loser" in path.parts]) == (not item.loser or item.days >= least)
