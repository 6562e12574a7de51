"""A store with a past: artifacts made from each other, litter, states and logs; and the list of what is still referred to."""

import time
from collections.abc import Iterable
from pathlib import Path

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import digest_of
from astra_jobs.api.live import LiveList, LiveRun
from astra_jobs.runtime.store import Draft, Store
from astra_jobs.runtime.writer import owner_of

NAMESPACE = "team"
LIVE_RUN, GONE_RUN = "uid-live", "uid-gone"
SOON = 100_000.0
"""A list that is made so many seconds from now takes everything that is there for old."""


def key_of(name: str) -> str:
    return digest_of(["work", name])


def put(store: Store, folder: Path, name: str, inputs: Iterable[Artifact] = (), data: bytes | None = None) -> Artifact:
    """Commit an artifact of two files."""
    made = folder / name
    if not made.exists():
        (made / "in").mkdir(parents=True)
        (made / "a.jsonl").write_bytes(data or f'{{"name":"{name}"}}\n'.encode())
        (made / "in/b.bin").write_bytes(name.encode() * 50)
    store.enter(NAMESPACE)
    return store.commit(Draft(key_of(name), "Test", "test", inputs=tuple(item.digest for item in inputs)), made)


def listed(keys: Iterable[str] = (), artifacts: Iterable[Artifact] = (), at: float = SOON, runs: Iterable[str] = (LIVE_RUN,)) -> LiveList:
    """Return a list of live ones."""
    known = [LiveRun(uid=uid, name=f"run-{uid}") for uid in runs]
    return LiveList(namespace=NAMESPACE, time=time.time() + at, runs=known, keys=[key_of(name) for name in keys], artifacts=list(artifacts))


def leave(store: Store, folder: Path) -> None:
    """Leave what runs leave beside artifacts: of one that exists and of one that is gone."""
    for uid in (LIVE_RUN, GONE_RUN):
        state = f"state/{key_of('any').removeprefix('sha256:')}/{owner_of(uid, NAMESPACE, f'run-{uid}')}"
        store.backend.create(f"{state}/starts/00000001.json", b"{}")
        store.backend.create(f"{state}/snapshots/00000001-1/weights", b"w" * 100)
        store.backend.create(f"logs/{uid}/1/train/0/0/0001-ab/000000000000", b"log\n")
    litter = folder / "litter"
    litter.write_bytes(b"half")
    store.backend.upload(litter, f"work/{key_of('never committed').removeprefix('sha256:')}/0/abc/half.bin")


def whole(store: Store, artifact: Artifact, target: Path) -> bool:
    """Tell if an artifact can be fetched; every byte is checked by ``fetch``."""
    return (store.fetch(artifact, target / artifact.digest[-8:]) / "in/b.bin").exists()
