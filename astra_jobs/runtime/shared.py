"""Artifacts keyed by what they are made from and shared between runs: an evaluation of one model, say."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from astra_jobs.api.base import digest_of
from astra_jobs.api.job import Metrics
from astra_jobs.runtime.store import Draft, Store


class StoreShared:
    """``api.job.SharedArtifacts`` in the store. ``taken`` are the digests of those that were asked for: what a stage was made from too."""

    def __init__(self, store: Store, scratch: Path) -> None:
        self.store = store
        self.taken: set[str] = set()
        self._scratch = scratch

    def get_or_make(self, purpose: str, key: Mapping[str, Any], make: Callable[[Path], Metrics]) -> Path:
        """Return the committed folder; when another writer was faster, it is the other's."""
        name = digest_of(["shared", purpose, dict(key)])
        short = name.removeprefix("sha256:")[:24]
        artifact = self.store.claim(name)
        if artifact is None:
            made = self._scratch / "made" / short
            made.mkdir(parents=True)
            metrics = strings(make(made))
            artifact = self.store.commit(Draft(key=name, kind=purpose, stage="shared", metrics=metrics), made)
        self.taken.add(artifact.digest)
        return self.store.fetch(artifact, self._scratch / "fetched" / short)


def strings(metrics: Metrics) -> dict[str, str]:
    """Write metrics as short strings: at most 32, numbers with six significant digits."""
    return {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in list(metrics.items())[:32]}
