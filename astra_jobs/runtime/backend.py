"""What the store asks of a place that keeps bytes: seven operations, two places (a folder, an S3 bucket).

The one that matters is ``create``: put only if absent, all or nothing, durable when it returns. Everything that counts
as committed (a manifest, a journal segment, a start of a writer) is made by it; nothing is ever renamed in a bucket.
Failures leave here already named: a place that is full or refuses us is the user's to mend (exit 78), a place that does
not answer may answer later (exit 75).
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from astra_jobs.api.errors import BadInput, JobError, Transient

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})
_FULL_CODES = frozenset({"InsufficientStorage", "XMinioStorageFull", "QuotaExceeded", "507"})


class Entry(NamedTuple):
    """What a listing tells of a file: bytes, and when it was last written, in seconds since the epoch by the store's clock.

    ``version`` differs whenever other bytes were put in its place, however soon.
    """

    size: int
    changed: float
    version: str


class Backend(Protocol):
    """A tree of named byte strings under ``url``; paths are relative and '/'-separated."""

    url: str

    def read(self, path: str) -> bytes | None:
        """Return the bytes, or None when there is nothing of that name."""

    def create(self, path: str, data: bytes) -> bool:
        """Put only if absent, durable on return; False when something of that name exists."""

    def replace(self, path: str, data: bytes) -> None:
        """Put whether or not it exists; readers see the old bytes or the new ones, never a mixture."""

    def upload(self, source: Path, path: str) -> None:
        """Copy a local file in, durable on return."""

    def entries(self, folder: str) -> dict[str, Entry]:
        """Return everything below a folder, by path relative to it."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size in bytes of everything below a folder, by path relative to it."""

    def remove(self, folder: str) -> None:
        """Remove a file, or everything below a folder; nothing there is no error."""

    def download(self, folder: str, paths: list[str], target: Path) -> Path:
        """Return a local folder that holds ``paths``: the store's own folder where it is local, else filled ``target``."""


@contextmanager
def named_failures(url: str, doing: str) -> Iterator[None]:
    """Turn an operating-system or client error of a store into a JobError that names ``store.url`` and the mend."""
    try:
        yield
    except JobError:
        raise
    except OSError as error:
        raise _named(url, doing, error) from error


def _named(url: str, doing: str, error: OSError) -> JobError:
    code = _service_code(error)
    if error.errno in _FULL or code in _FULL_CODES:
        return BadInput("store.url", "StoreUnavailable", f"{url} is full ({doing}); free space there or name another store, then run again")
    if error.errno in _REFUSED or isinstance(error, PermissionError):
        return BadInput(
            "store.url",
            "StoreUnavailable",
            f"{url} may not be written or read ({doing}: {_reason(error)}); grant access or name another store",
        )
    if error.errno in _MISSING or isinstance(error, FileNotFoundError):
        return BadInput("store.url", "StoreUnavailable", f"{url} does not exist ({doing}: {_reason(error)}); make it or correct the URL")
    return Transient(
        "store.url", "StoreUnavailable", f"{url} did not answer as it should ({doing}: {_reason(error)}); it will be tried again"
    )


def _service_code(error: OSError) -> str:
    response = getattr(error.__cause__, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
