"""What a collection removes and what it never does, over a folder and over S3; and what is left when it is killed."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.api.live import LiveList
from astra_jobs.api.request import StoreSettings
from astra_jobs.runtime.collect import Outcome, collect
from astra_jobs.runtime.places import first_place, next_place
from astra_jobs.runtime.store import Store, open_store
from tests.conformance.store.litter import GONE_RUN, LIVE_RUN, NAMESPACE, key_of, leave, listed, put, whole

SEED = 20260129
Committer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def store(settings: StoreSettings) -> Store:
    return open_store(settings)


def sweep(store: Store, live: LiveList, minimum_age: float = 0.0) -> Outcome:
    return collect(store, live, minimum_age, remove=True)


def test_what_is_referred_to_stays_and_the_rest_goes(store: Store, tmp_path: Path) -> None:
    corpus = put(store, tmp_path, "corpus")
    chains = put(store, tmp_path, "chains", [corpus])
    model = put(store, tmp_path, "model", [chains])
    other = put(store, tmp_path, "other", [corpus])
    put(store, tmp_path, "gone")
    leave(store, tmp_path)
    live = listed(keys=["other"], artifacts=[model])
    before = store.backend.sizes("")
    planned = collect(store, live, 0.0, remove=False)
    assert store.backend.sizes("") == before, "a dry run changes nothing"
    assert sorted(item.what for item in planned.found) == ["artifact", "artifact", "logs", "state"]
    assert planned.removed == ()
    done = sweep(store, live)
    assert done.removed == planned.found
    assert (done.kept, done.missing) == (4, ())
    assert all(whole(store, artifact, tmp_path) for artifact in (corpus, chains, model, other))
    assert store.find(key_of("gone")) is None
    left = store.backend.sizes("")
    assert not [path for path in left if first_place(key_of("gone")) in path and not path.endswith("retired.json")]
    assert {path.split("/")[1] for path in left if path.startswith("logs/")} == {LIVE_RUN}
    assert len({path.split("/")[2] for path in left if path.startswith("state/")}) == 1
    assert not [path for path in left if path.endswith("half.bin")]
    assert sweep(store, live).found == (), "once is enough"


def test_what_is_young_stays_with_all_that_it_was_made_from(store: Store, tmp_path: Path) -> None:
    corpus = put(store, tmp_path, "corpus")
    live = listed(artifacts=[corpus], at=0)
    put(store, tmp_path, "young")
    leave(store, tmp_path)
    assert sweep(store, live, minimum_age=3600).found == ()


def test_what_was_removed_is_made_again_elsewhere_and_found_by_its_key(store: Store, tmp_path: Path) -> None:
    first = put(store, tmp_path, "again")
    kept = put(store, tmp_path, "kept")
    sweep(store, listed(artifacts=[kept]))
    assert store.claim(key_of("again")) is None
    with pytest.raises(BadInput, match="not in the store"):
        store.fetch(first, tmp_path / "first")
    second = put(store, tmp_path, "again")
    assert (second.digest, second.uri == first.uri) == (first.digest, False)
    assert store.find(key_of("again")) == store.claim(key_of("again")) == second
    assert sweep(store, listed(keys=["again"], artifacts=[kept])).found == ()
    assert sweep(store, listed(artifacts=[kept, second])).found == ()
    assert whole(store, second, tmp_path)
    sweep(store, listed(artifacts=[kept]))
    third = put(store, tmp_path, "again")
    assert third.uri.endswith(next_place(next_place(first_place(key_of("again")))))


def test_what_was_taken_up_since_the_list_was_made_stays(store: Store, tmp_path: Path) -> None:
    kept, taken = put(store, tmp_path, "kept"), put(store, tmp_path, "taken")
    live = listed(artifacts=[kept])
    assert [item.path for item in collect(store, live, 0.0, remove=False).found] == [first_place(key_of("taken"))]

    def take(item: object) -> None:
        assert store.claim(key_of("taken")) == taken

    done = collect(store, live, 0.0, remove=True, tell=take)
    assert (len(done.found), done.removed) == (1, ())
    assert whole(store, taken, tmp_path)


def test_data_of_writers_who_lost_goes_and_the_winners_stays(store: Store, tmp_path: Path) -> None:
    won = put(store, tmp_path, "won")
    store.backend.upload(tmp_path / "won/a.jsonl", f"work/{first_place(key_of('won'))}/3/loser/a.jsonl")
    done = sweep(store, listed(artifacts=[won]))
    assert [(item.what, item.path.rsplit("/", 1)[1]) for item in done.removed] == [("data", "loser")]
    assert whole(store, won, tmp_path)


def test_what_is_not_the_stores_is_left_alone(store: Store, tmp_path: Path) -> None:
    kept = put(store, tmp_path, "kept")
    strange = ["artifacts/note", "work/note", "work/a/b/note", "state/note", "state/a/note", "logs/note", "other/note", "note"]
    for path in strange:
        store.backend.create(path, b"somebody's")
    assert sweep(store, listed(artifacts=[kept])).found == ()
    assert set(strange) <= set(store.backend.sizes(""))


def test_it_refuses_a_list_that_cannot_be_all(store: Store, tmp_path: Path) -> None:
    kept = put(store, tmp_path, "kept")
    with pytest.raises(BadInput, match="lists no run of namespace team"):
        sweep(store, listed(artifacts=[kept], runs=[]))
    with pytest.raises(BadInput, match="whose runs have never used"):
        sweep(store, listed(artifacts=[kept]).model_copy(update={"namespace": "another"}))
    store.enter("another")
    with pytest.raises(BadInput, match="is used by namespace another too"):
        sweep(store, listed(artifacts=[kept]))
    assert whole(store, kept, tmp_path)


def test_it_refuses_when_a_manifest_that_is_referred_to_is_damaged(store: Store, tmp_path: Path) -> None:
    kept = put(store, tmp_path, "kept")
    put(store, tmp_path, "gone")
    for damage in (b"{", store.backend.read(f"artifacts/{first_place(key_of('gone'))}/manifest.json") or b""):
        store.backend.replace(f"artifacts/{first_place(key_of('kept'))}/manifest.json", damage)
        with pytest.raises(BadInput, match="what it was made from is unknown; nothing was removed"):
            sweep(store, listed(artifacts=[kept]))
        assert store.find(key_of("gone")) is not None


def test_what_is_referred_to_and_not_there_is_told(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path, "kept")
    lost = put(open_store(StoreSettings(url=f"file://{tmp_path}/elsewhere")), tmp_path, "lost")
    assert sweep(store, listed(keys=["kept"], artifacts=[lost])).missing == (lost.digest,)


def test_runs_of_a_stage_say_whose_they_are(store: Store) -> None:
    store.enter(NAMESPACE)
    store.enter(NAMESPACE)
    assert list(store.backend.sizes("tenants")) == [NAMESPACE]


def test_killed_anywhere_it_leaves_artifacts_whole_or_absent(settings: StoreSettings, committer: Committer, tmp_path: Path) -> None:
    names = [f"gone-{number}" for number in range(3)]
    steps = _killed(settings, committer, tmp_path / "steps", names, 0)
    drawn = random.Random(digest_of([SEED, settings.url.split(":")[0]])).sample(range(1, steps), 4)
    for kill_at in sorted({*drawn, steps}):
        _killed(settings, committer, tmp_path / str(kill_at), names, kill_at)


def _killed(settings: StoreSettings, committer: Committer, folder: Path, names: list[str], kill_at: int) -> int:
    """Let a collection be killed in a store of its own; return how many steps it took."""
    folder.mkdir()
    store = open_store(settings.model_copy(update={"url": f"{settings.url}-{kill_at}"}))
    corpus = put(store, folder, "corpus")
    kept = [corpus, put(store, folder, "kept", [corpus])]
    gone = {name: put(store, folder, name) for name in names}
    leave(store, folder)
    live = listed(artifacts=kept[1:])
    (folder / "live.json").write_text(live.model_dump_json(by_alias=True))
    done = committer("collect", store.url, settings.endpoint or "", "-", folder / "live.json", kill_at)
    assert done.returncode == (-9 if kill_at else 0), done.stderr
    assert all(whole(store, artifact, folder / "kept") for artifact in kept), f"seed {SEED}: killed at step {kill_at}"
    for name, artifact in gone.items():
        assert store.find(key_of(name)) is None or whole(store, artifact, folder / "found"), f"seed {SEED}: killed at step {kill_at}"
    sweep(store, live)
    left = [path for path in store.backend.sizes("") if not path.endswith("retired.json")]
    assert not [path for path in left if any(first_place(key_of(name)) in path for name in names) or GONE_RUN in path]
    assert {store.find(key_of(name)) for name in names} == {None}
    assert all(put(store, folder, name).digest == artifact.digest for name, artifact in gone.items()), "and all can be made again"
    return int(done.stdout.splitlines()[-1].removeprefix("steps ")) if not kill_at else 0
