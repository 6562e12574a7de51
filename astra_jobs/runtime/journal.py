"""A durable log of finished items as immutable segments, so that a killed job does not do them again.

Items are buffered and committed as a group at most one second after the first of them. A segment is one object whose
first line counts and digests the rest, put only if absent: it is there whole or not at all. A segment that does not fit
its first line is damage of the store, and is refused rather than skipped, because a skipped item would be done twice.
"""

import json
import threading
from collections.abc import Iterator
from typing import Any

from astra_jobs.api.base import as_declared, canonical, digest_of
from astra_jobs.api.errors import BadInput, JobError
from astra_jobs.runtime.writer import State

GROUP_SECONDS = 0.5
_GROUP_BYTES = 4 * 2**20


class StoreJournal:
    """``api.job.Journal`` in the store. Thread-safe; close it to commit the rest."""

    def __init__(self, state: State, group_seconds: float = GROUP_SECONDS) -> None:
        self._state = state
        self._seconds = group_seconds
        self._buffer: list[bytes] = []
        self._bytes = 0
        self._segments = 0
        self._failure: Exception | None = None
        self._closed = False
        self._wake = threading.Condition()
        self._committing = threading.Lock()
        self._thread: threading.Thread | None = None

    def items(self) -> Iterator[dict[str, Any]]:
        """Yield the items of earlier starts, oldest first; only what the following start sealed."""
        starts = self._state.starts()
        own = self._state.own.number if self._state.own else starts[-1].number + 1 if starts else 1
        for start, following in zip(starts, [*starts[1:], None], strict=True):
            if start.number >= own:
                return
            names = self._state.segments(start.number)
            for name in names if following is None else names[: following.journal]:
                yield from self._read(name)

    def append(self, item: dict[str, Any]) -> None:
        """Add an item; raise what an earlier group commit met."""
        line = as_declared(item)
        with self._wake:
            self._raise_failure()
            self._buffer.append(line)
            self._bytes += len(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._commit_groups, name="journal", daemon=True)
                self._thread.start()
            self._wake.notify()
            full = self._bytes >= _GROUP_BYTES
        if full:
            self.flush()

    def flush(self) -> None:
        """Commit everything appended so far."""
        with self._committing:
            with self._wake:
                self._raise_failure()
                lines, self._buffer, self._bytes = self._buffer, [], 0
            if not lines:
                return
            try:
                self._commit(lines)
            except (JobError, RuntimeError, OSError) as error:
                # Sticky: the items are out of the buffer, so nothing may seem durable after this.
                self._failure = error
                raise

    def close(self) -> None:
        """Commit the rest and end the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _commit(self, lines: list[bytes]) -> None:
        start = self._state.check()
        head = canonical({"count": len(lines), "sha256": digest_of([line.decode() for line in lines])})
        name = f"{start.number:08d}-{self._segments:06d}.jsonl"
        if not self._state.backend.create(f"{self._state.root}/journal/{name}", b"\n".join([head, *lines]) + b"\n"):
            raise RuntimeError(f"journal segment {name} exists already; two writers share a start")
        self._segments += 1

    def _commit_groups(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._buffer or self._closed)
                if self._closed:
                    return
                self._wake.wait_for(lambda: self._closed, timeout=self._seconds)
            try:
                self.flush()
            except (JobError, RuntimeError, OSError):
                return  # kept in self._failure: the next append, flush or close raises it

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _read(self, name: str) -> Iterator[dict[str, Any]]:
        path = f"{self._state.root}/journal/{name}"
        data = self._state.backend.read(path) or b""
        lines = data.split(b"\n")
        try:
            head = json.loads(lines[0])
            body = [line.decode() for line in lines[1:-1]]
            whole = lines[-1] == b"" and head == {"count": len(body), "sha256": digest_of(body)}
        except (ValueError, UnicodeDecodeError):
            whole = False
        if not whole:
            raise BadInput(
                f"{self._state.backend.url}/{path}",
                "InputUnavailable",
                f"journal segment is damaged ({len(data)} bytes); delete the folder {self._state.root} to begin the stage anew",
            )
        for line in body:
            yield json.loads(line)
