"""Committing, finding and fetching artifacts, over a folder and over S3."""

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput, Transient
from astra_jobs.api.request import StoreSettings
from astra_jobs.runtime.store import Draft, open_store

KEY = digest_of("some work")
MakeFolder = Callable[..., Path]


def draft(key: str = KEY, restart: int = 0) -> Draft:
    return Draft(key=key, kind="ToolCorpus", stage="collect", metrics={"kept": "3"}, inputs=("sha256:0",), restart=restart)


def test_a_committed_artifact_comes_back_byte_for_byte(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    store = open_store(settings)
    made = folder_of(servers_jsonl=b'{"a":1}\n{"a":2}\n', model__weights_bin=bytes(range(256)))
    artifact = store.commit(draft(), made)
    assert store.find(KEY) == artifact
    manifest = store.manifest(artifact)
    assert [(entry.path, entry.size, entry.records) for entry in manifest.files] == [
        ("model/weights.bin", 256, None),
        ("servers.jsonl", 16, 2),
    ]
    fetched = open_store(settings).fetch(artifact, tmp_path / "fetched")
    assert (fetched / "servers.jsonl").read_bytes() == b'{"a":1}\n{"a":2}\n'
    assert (fetched / "model/weights.bin").read_bytes() == bytes(range(256))


def test_what_is_not_committed_is_not_found(settings: StoreSettings) -> None:
    assert open_store(settings).find(KEY) is None


def test_equal_bytes_give_equal_digests_whatever_restart_and_store(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    made = folder_of(a_txt=b"same")
    here = open_store(settings).commit(draft(restart=0), made)
    elsewhere = open_store(StoreSettings(url=f"file://{tmp_path}/elsewhere")).commit(draft(restart=7), made)
    assert here.digest == elsewhere.digest


@pytest.mark.parametrize("size", [0, 50 * 2**20], ids=["empty-file", "50MB"])
def test_sizes_at_both_ends(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path, size: int) -> None:
    store = open_store(settings)
    data = random.Random(5).randbytes(size)
    artifact = store.commit(draft(), folder_of(data_bin=data))
    assert (store.fetch(artifact, tmp_path / "fetched") / "data.bin").read_bytes() == data


def test_an_artifact_without_files_is_an_artifact(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    store = open_store(settings)
    artifact = store.commit(draft(), folder_of())
    store.fetch(artifact, tmp_path / "fetched")
    assert store.find(KEY) == artifact
    assert store.manifest(artifact).files == []


def test_one_of_many_committers_wins_and_the_others_see_it(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    folders = [folder_of(f"made{number}", who_txt=f"writer {number}".encode()) for number in range(6)]
    gate = threading.Barrier(len(folders))
    results: dict[int, Artifact] = {}

    def commit(number: int) -> None:
        store = open_store(settings)
        gate.wait()
        results[number] = store.commit(draft(), folders[number])

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(len(folders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(folders)
    assert len({artifact.digest for artifact in results.values()}) == 1
    store = open_store(settings)
    winner = (store.fetch(results[0], tmp_path / "fetched") / "who.txt").read_text()
    assert winner in {f"writer {number}" for number in range(6)}
    left = {path.split("/")[2] for path in store.backend.sizes("work")}
    assert len(left) == 1, "the losers' data was given back"


def test_a_second_commit_of_equal_bytes_changes_nothing(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    store = open_store(settings)
    made = folder_of(a_txt=b"same")
    first = store.commit(draft(), made)
    assert store.commit(draft(restart=1), made) == first
    assert (store.fetch(first, tmp_path / "fetched") / "a.txt").read_bytes() == b"same"


def stored_file(settings: StoreSettings, name: str) -> str:
    found = [path for path in open_store(settings).backend.sizes("") if path.endswith(name)]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("damage", [b"", b"sane", b"same but longer"], ids=["emptied", "changed", "grown"])
def test_a_damaged_file_is_named_with_the_mend(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path, damage: bytes) -> None:
    store = open_store(settings)
    artifact = store.commit(draft(), folder_of(a_txt=b"same"))
    store.backend.replace(stored_file(settings, "a.txt"), damage)
    with pytest.raises(BadInput) as refused:
        open_store(settings).fetch(artifact, tmp_path / "fetched")
    assert refused.value.reason == "InputUnavailable"
    assert refused.value.where.endswith("/a.txt")
    assert "run what made it again" in refused.value.message
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused_already_at_look_up(settings: StoreSettings, folder_of: MakeFolder) -> None:
    store = open_store(settings)
    store.commit(draft(), folder_of(a_txt=b"same", b_txt=b"other"))
    store.backend.remove(stored_file(settings, "b.txt"))
    with pytest.raises(BadInput, match=r"b\.txt.*damaged"):
        store.find(KEY)


def test_a_truncated_manifest_is_refused(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    store = open_store(settings)
    artifact = store.commit(draft(), folder_of(a_txt=b"same"))
    path = stored_file(settings, "manifest.json")
    whole = store.backend.read(path) or b""
    store.backend.replace(path, whole[: len(whole) // 2])
    for look in (lambda: store.fetch(artifact, tmp_path / "fetched"), lambda: store.find(KEY)):
        with pytest.raises(BadInput, match=r"manifest\.json.*damaged"):
            look()


def test_a_lost_artifact_is_refused(settings: StoreSettings, folder_of: MakeFolder, tmp_path: Path) -> None:
    store = open_store(settings)
    artifact = store.commit(draft(), folder_of(a_txt=b"same"))
    store.backend.remove("artifacts")
    with pytest.raises(BadInput, match="not in the store"):
        store.fetch(artifact, tmp_path / "fetched")


def test_times_and_hosts_are_in_the_sidecar_only(settings: StoreSettings, folder_of: MakeFolder) -> None:
    store = open_store(settings)
    artifact = store.commit(draft(), folder_of(a_txt=b"same"))
    folder = artifact.uri.removeprefix(store.url + "/")
    manifest = json.loads(store.backend.read(f"{folder}/manifest.json") or b"")
    sidecar = json.loads(store.backend.read(f"{folder}/{artifact.digest.removeprefix('sha256:')}.json") or b"")
    assert set(sidecar) == {"data", "host", "restart", "time"}
    assert not set(sidecar) & set(manifest)


@pytest.mark.parametrize("url", ["store", "file://relative/path", "http://host/x", "s3://", ""])
def test_an_url_that_no_store_has_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match=r"^store\.url: found .*write file:///"):
        open_store(StoreSettings(url=url))


def test_a_server_that_does_not_answer_is_transient(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Transient, match="did not answer"):
        open_store(StoreSettings(url="s3://astra/x", endpoint="http://127.0.0.1:9")).find(KEY)


def test_a_bucket_that_does_not_exist_is_the_users_to_mend(s3_endpoint: str, folder_of: MakeFolder) -> None:
    store = open_store(StoreSettings(url="s3://no-such-bucket/x", endpoint=s3_endpoint))
    with pytest.raises(BadInput, match=r"store\.url: s3://no-such-bucket/x does not exist"):
        store.commit(draft(), folder_of(a_txt=b"same"))
