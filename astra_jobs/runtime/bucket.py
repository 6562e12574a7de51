"""A store in an S3 bucket, through s3fs. ``create`` is S3's conditional put (If-None-Match: *).

Credentials and region come from the process's AWS_* variables, which the AWS client reads itself; the endpoint comes
from the request. Listings are never cached: another pod may have committed a moment ago.
"""

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from astra_jobs.api.errors import BadInput
from astra_jobs.runtime.backend import Entry, named_failures

_TAKEN = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})


class BucketBackend:
    """The operations of ``backend.Backend`` on ``s3://bucket/prefix``."""

    def __init__(self, url: str, endpoint: str | None) -> None:
        self.url = url
        self._root = url.removeprefix("s3://").rstrip("/")
        self._files = _connect(endpoint)

    def read(self, path: str) -> bytes | None:
        """Return an object's bytes, or None."""
        with self._named(f"reading {path}"):
            try:
                data: bytes = self._files.cat_file(self._at(path))
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return None
            return data

    def create(self, path: str, data: bytes) -> bool:
        """Put only if absent."""
        with self._named(f"writing {path}"):
            try:
                self._files.pipe_file(self._at(path), data, mode="create")
            except OSError as error:
                if isinstance(error, FileExistsError) or _code(error) in _TAKEN:
                    return False
                raise
            return True

    def replace(self, path: str, data: bytes) -> None:
        """Put over whatever is there; S3 puts are atomic."""
        with self._named(f"writing {path}"):
            self._files.pipe_file(self._at(path), data)

    def upload(self, source: Path, path: str) -> None:
        """Copy a local file in, in parts when it is large."""
        with self._named(f"writing {path}"):
            self._files.put_file(str(source), self._at(path))

    def sizes(self, folder: str) -> dict[str, int]:
        """Return sizes by relative path."""
        return {path: entry.size for path, entry in self.entries(folder).items()}

    def entries(self, folder: str) -> dict[str, Entry]:
        """Return sizes and times by relative path."""
        with self._named(f"listing {folder}"):
            root = self._at(folder)
            try:
                found: dict[str, Any] = self._files.find(root, detail=True, refresh=True)
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return {}
            return {name.removeprefix(root + "/"): _entry(item) for name, item in found.items()}

    def remove(self, folder: str) -> None:
        """Remove everything below a folder."""
        with self._named(f"removing {folder}"):
            try:
                self._files.rm(self._at(folder), recursive=True)
            except FileNotFoundError:
                return

    def download(self, folder: str, paths: list[str], target: Path) -> Path:
        """Fetch files into ``target``."""
        for path in paths:
            local = target / path
            local.parent.mkdir(parents=True, exist_ok=True)
            with self._named(f"reading {folder}/{path}"):
                self._files.get_file(self._at(f"{folder}/{path}"), str(local))
        return target

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _named(self, doing: str) -> AbstractContextManager[None]:
        return _client_failures(self.url, doing)


@contextmanager
def _client_failures(url: str, doing: str) -> Iterator[None]:
    """Name the failures of the AWS client too: its own errors (no answer, no credentials) are not OSErrors."""
    from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError

    with named_failures(url, doing):
        try:
            yield
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise PermissionError(errno.EACCES, f"{error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
        except BotoCoreError as error:
            raise OSError(errno.EIO, str(error)) from error


def _entry(item: dict[str, Any]) -> Entry:
    return Entry(int(item["size"]), item["LastModified"].timestamp(), str(item["ETag"]))


def _code(error: OSError) -> str:
    response = getattr(error.__cause__, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _connect(endpoint: str | None) -> Any:
    try:
        import s3fs
    except ImportError:
        raise BadInput("store.url", "StoreUnavailable", "s3:// needs the s3 extra; install astra-on-kubernetes[s3]") from None
    # s3fs tries each request five times itself.
    retries = {"retries": {"max_attempts": 1}, "connect_timeout": 10, "read_timeout": 60}
    return s3fs.S3FileSystem(endpoint_url=endpoint, config_kwargs=retries, use_listings_cache=False, skip_instance_cache=True)
