"""A store in a folder: every put is a synced temporary file that takes its name in one step.

``create`` links the temporary file to its name, which fails if the name is taken; ``replace`` renames over it. So a
kill at any instruction leaves the old state or the new one, and at worst a temporary file that nobody lists.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from astra_jobs.runtime.backend import Entry, named_failures

_TEMPORARY = ".put-"


class FolderBackend:
    """The operations of ``backend.Backend`` on a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = f"file://{root}"

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None."""
        with named_failures(self.url, f"reading {path}"):
            try:
                return (self.root / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def create(self, path: str, data: bytes) -> bool:
        """Put only if absent."""
        target = self.root / path
        with named_failures(self.url, f"writing {path}"), _temporary(target) as temporary:
            _write(temporary, data)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            _sync_folder(target.parent)
            return True

    def replace(self, path: str, data: bytes) -> None:
        """Put in one step, over whatever is there."""
        target = self.root / path
        with named_failures(self.url, f"writing {path}"), _temporary(target) as temporary:
            _write(temporary, data)
            temporary.replace(target)
            _sync_folder(target.parent)

    def upload(self, source: Path, path: str) -> None:
        """Copy a file in and sync it; the copy is made read-only, because artifacts are read in place."""
        target = self.root / path
        with named_failures(self.url, f"writing {path}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            with target.open("rb") as file:
                os.fsync(file.fileno())
            target.chmod(0o444)
            _sync_folder(target.parent)

    def sizes(self, folder: str) -> dict[str, int]:
        """Return sizes by relative path; temporary files of unfinished puts are left out."""
        return {path: entry.size for path, entry in self.entries(folder).items()}

    def entries(self, folder: str) -> dict[str, Entry]:
        """Return sizes and times by relative path; a file that goes while it is looked at is not there."""
        root = self.root / folder
        found: dict[str, Entry] = {}
        with named_failures(self.url, f"listing {folder}"):
            for parent, _, names in os.walk(root, onerror=_raise_unless_missing):
                for name in names:
                    if not name.startswith(_TEMPORARY):
                        path = Path(parent, name)
                        with suppress(FileNotFoundError):
                            known = path.stat()
                            found[path.relative_to(root).as_posix()] = Entry(
                                known.st_size, known.st_mtime, f"{known.st_ino}-{known.st_mtime_ns}"
                            )
        return found

    def remove(self, folder: str) -> None:
        """Remove a folder, or one file; what another process removes at the same time is as good as removed."""
        target = self.root / folder
        with named_failures(self.url, f"removing {folder}"):
            if target.is_dir():
                shutil.rmtree(target, onerror=_raise_unless_gone)
            else:
                target.unlink(missing_ok=True)

    def download(self, folder: str, paths: list[str], target: Path) -> Path:
        """Return the store's own folder: nothing is copied. ``paths`` and ``target`` are what a bucket needs."""
        return self.root / folder


def _raise_unless_gone(function: object, path: str, info: tuple[type[BaseException], BaseException, TracebackType]) -> None:
    if not isinstance(info[1], FileNotFoundError):
        raise info[1]


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    path = target.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a new name in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
