"""Whole-state snapshots, manifest last: a checkpoint is there whole or not at all, and the last two are kept.

    state/<key>/<owner>/snapshots/<start>-<step>/…   data
    state/<key>/<owner>/checkpoints/<start>-<step>.json   the commit: step, files with size and SHA-256

Which one to go on from is decided when a start is announced (``writer``), not by the greatest step: a predecessor that
still runs and saves late must not pull its successor back on another branch of the same training.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from astra_jobs.api.artifact import FileEntry
from astra_jobs.api.base import canonical
from astra_jobs.api.errors import BadInput
from astra_jobs.runtime.writer import State

_KEPT = 2
_FILES = TypeAdapter(list[FileEntry])


class StoreCheckpoints:
    """``api.job.Checkpoints`` in the store. Ranks other than 0 read only. ``note`` is told the newest step."""

    def __init__(self, state: State, scratch: Path, note: Callable[[int], None] = lambda step: None) -> None:
        self._note = note
        self._state = state
        self._scratch = scratch
        self._saved: list[str] = []

    def latest(self) -> tuple[int, Path] | None:
        """Return step and checked local folder of the checkpoint to go on from."""
        name = self._newest()
        if not name:
            return None
        step, files = self._manifest(name)
        folder = f"{self._state.root}/snapshots/{name}"
        sizes = self._state.backend.sizes(folder)
        for entry in files:
            if sizes.get(entry.path) != entry.size:
                raise self._damaged(name, entry.path)
        target = self._scratch / name
        target.mkdir(parents=True, exist_ok=True)
        local = self._state.backend.download(folder, [entry.path for entry in files], target)
        for entry in files:
            if _hash(local / entry.path) != entry.sha256:
                raise self._damaged(name, entry.path)
        self._note(step)
        return step, local

    def save(self, step: int, folder: Path) -> None:
        """Commit a folder; when a step is saved twice in one start, the first stands."""
        start = self._state.check()
        name = f"{start.number:08d}-{step:010d}"
        if name in self._saved:
            return
        backend, root = self._state.backend, self._state.root
        files = []
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            relative = path.relative_to(folder).as_posix()
            backend.upload(path, f"{root}/snapshots/{name}/{relative}")
            files.append(FileEntry(path=relative, size=path.stat().st_size, sha256=_hash(path)))
        self._state.check()
        backend.create(f"{root}/checkpoints/{name}.json", canonical({"step": step, "files": [entry.to_dict() for entry in files]}))
        self._saved.append(name)
        self._note(step)
        self._prune(start.checkpoint)

    def _newest(self) -> str:
        if self._saved:
            return self._saved[-1]
        if self._state.own is not None:
            return self._state.own.checkpoint
        starts = self._state.starts()
        return self._state.newest_checkpoint(starts[-1]) if starts else ""

    def _prune(self, inherited: str) -> None:
        """Keep the last two. Manifest first, so that a kill in between leaves litter and no half checkpoint."""
        line = ([inherited] if inherited else []) + self._saved
        for name in line[:-_KEPT]:
            self._state.backend.remove(f"{self._state.root}/checkpoints/{name}.json")
            self._state.backend.remove(f"{self._state.root}/snapshots/{name}")
            shutil.rmtree(self._scratch / name, ignore_errors=True)
        self._saved = self._saved[-_KEPT:]

    def _manifest(self, name: str) -> tuple[int, list[FileEntry]]:
        data = self._state.backend.read(f"{self._state.root}/checkpoints/{name}.json")
        try:
            found = json.loads(data or b"")
            return int(found["step"]), _FILES.validate_python(found["files"])
        except (ValueError, KeyError, TypeError, ValidationError):
            raise self._damaged(name, "manifest") from None

    def _damaged(self, name: str, path: str) -> BadInput:
        where = f"{self._state.backend.url}/{self._state.root}/snapshots/{name}/{path}"
        return BadInput(where, "InputUnavailable", f"checkpoint is damaged; delete the folder {self._state.root} to begin the stage anew")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
