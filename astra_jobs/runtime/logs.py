"""Logs of pods, kept in the store by the pods themselves: a cluster forgets a pod's log with the pod (DESIGN 3).

    logs/<run UID>/<attempt>/<stage>/<restart>/<pod>/<start>/<offset>   one piece of one process's output

``pod`` is the shard or the rank; ``start`` is when the process began, because a shard that is tried again inside one restart is
another pod. A piece is named by its offset, so that what was left out between two pieces shows by itself. Of each process
the first and the last ``PART_BYTES`` are kept. It is a convenience: a store that is away costs pieces of a log and never the job.
"""

import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from astra_jobs.api.errors import BadInput, JobError
from astra_jobs.api.request import StageRequest, StoreSettings
from astra_jobs.runtime.backend import Backend
from astra_jobs.runtime.store import open_store

PIECE_BYTES = 65_536
PART_BYTES = 8 * PIECE_BYTES
FLUSH_SECONDS = 3.0
LAST_TRIES, LAST_SECONDS = 3, 10.0
"""How often the last pieces are tried, and the longest time that a process's end waits for them."""
_SAFE = re.compile(r"[^A-Za-z0-9._-]")


class Section(NamedTuple):
    """One process whose log is in the store."""

    stage: str
    restart: int
    pod: int
    start: str


@dataclass(frozen=True)
class Place:
    """Where a process's log is kept."""

    store: StoreSettings
    folder: str


@dataclass
class _Piece:
    offset: int
    data: bytearray = field(default_factory=bytearray)
    changed: bool = False
    stored: bool = False


class Pieces:
    """The output so far as pieces of bounded number: the first ones, and the newest ones."""

    def __init__(self) -> None:
        self._first: list[_Piece] = []
        self._last: deque[_Piece] = deque()
        self._size = 0
        self._dropped: list[int] = []

    def add(self, data: bytes) -> None:
        """Append output; what falls out of the middle is dropped."""
        while data:
            piece = self._open()
            room = PIECE_BYTES - len(piece.data)
            piece.data += data[:room]
            piece.changed = True
            self._size += min(room, len(data))
            data = data[room:]

    def _open(self) -> _Piece:
        """Return the piece to write into."""
        newest = self._last[-1] if self._last else self._first[-1] if self._first else None
        if newest is not None and len(newest.data) < PIECE_BYTES:
            return newest
        piece = _Piece(self._size)
        if len(self._first) * PIECE_BYTES < PART_BYTES:
            self._first.append(piece)
            return piece
        self._last.append(piece)
        if (len(self._last) - 1) * PIECE_BYTES > PART_BYTES:
            old = self._last.popleft()
            self._dropped += [old.offset] if old.stored else []
        return piece

    def take(self) -> tuple[list[tuple[int, bytes]], list[int]]:
        """Return the pieces that have changed since they were last taken, and the offsets of stored ones to remove."""
        changed = [piece for piece in (*self._first, *self._last) if piece.changed]
        for piece in changed:
            piece.changed, piece.stored = False, True
        dropped, self._dropped = self._dropped, []
        return [(piece.offset, bytes(piece.data)) for piece in changed], dropped

    def give_back(self, offsets: Iterable[int], dropped: Iterable[int]) -> None:
        """Take back what could not be stored or removed, to be tried again."""
        again = set(offsets)
        for piece in (*self._first, *self._last):
            piece.changed |= piece.offset in again
        self._dropped += dropped


class Keeper:
    """Writes a process's output to the store every few seconds, in a thread of its own that never holds up ``add``."""

    def __init__(self, place: Place, tell: Callable[[str], None], seconds: float = FLUSH_SECONDS) -> None:
        self._place = place
        self._tell = tell
        self._seconds = seconds
        self._pieces = Pieces()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._backend: Backend | None = None
        self._thread: threading.Thread | None = None
        self._told = False

    def add(self, data: bytes) -> None:
        """Keep output."""
        with self._lock:
            self._pieces.add(data)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="logs", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what is left, as long as that takes no more than ``LAST_SECONDS``."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)

    def _work(self) -> None:
        while not self._end.wait(self._seconds):
            self._write()
        for _ in range(LAST_TRIES):
            if self._write():
                return
            time.sleep(self._seconds / LAST_TRIES)

    def _write(self) -> bool:
        """Bring the store up to date; return whether it is."""
        with self._lock:
            changed, dropped = self._pieces.take()
        try:
            if self._backend is None:
                self._backend = open_store(self._place.store).backend
            while changed:
                self._backend.replace(_path(self._place.folder, changed[0][0]), changed[0][1])
                changed.pop(0)
            while dropped:
                self._backend.remove(_path(self._place.folder, dropped[0]))
                dropped.pop(0)
            return True
        except (JobError, OSError) as error:
            with self._lock:
                self._pieces.give_back([offset for offset, _ in changed], dropped)
            if not self._told:
                self._told = True
                self._tell(f"astra-job: this log cannot be kept in the store now; the job goes on ({error})")
            return False


def place_of(request: StageRequest, pod: int) -> Place:
    """Return where a new process of a stage keeps its log; ``pod`` is its shard or rank."""
    owner = _SAFE.sub("_", request.uid or f"{request.namespace}.{request.name}")
    start = f"{time.time_ns() // 1_000_000:013d}-{secrets.token_hex(2)}"
    return Place(request.store, f"logs/{owner}/{request.attempt}/{request.stage}/{request.restart}/{pod}/{start}")


def sections(backend: Backend, run: str, attempt: int) -> dict[Section, dict[int, int]]:
    """Return the logs of an attempt, oldest process first: for each its pieces' sizes by offset."""
    found: dict[Section, dict[int, int]] = {}
    for path, size in backend.sizes(f"logs/{run}/{attempt}").items():
        stage, restart, pod, start, offset = path.split("/")
        found.setdefault(Section(stage, int(restart), int(pod), start), {})[int(offset)] = size
    return dict(sorted(found.items(), key=lambda item: (item[0].start, item[0])))


def attempts(backend: Backend, run: str) -> list[int]:
    """Return the attempts of a run that have logs."""
    return sorted({int(path.split("/")[0]) for path in backend.sizes(f"logs/{run}")})


def text_of(backend: Backend, run: str, attempt: int, section: Section, pieces: dict[int, int]) -> bytes:
    """Return one process's log; what was left out is marked, and lines that it cut are left out whole."""
    folder = f"logs/{run}/{attempt}/{section.stage}/{section.restart}/{section.pod}/{section.start}"
    parts: list[tuple[int, bytearray]] = []
    for offset in sorted(pieces):
        data = backend.read(_path(folder, offset)) or b""  # one that was dropped since it was listed is a gap like any other
        if parts and parts[-1][0] + len(parts[-1][1]) >= offset:
            parts[-1][1].extend(data)
        else:
            parts.append((offset, bytearray(data)))
    return b"".join(_joined(parts))


def _joined(parts: list[tuple[int, bytearray]]) -> Iterator[bytes]:
    """Yield parts with marks between them."""
    end = 0
    for number, (start, data) in enumerate(parts, 1):
        first = data.find(b"\n") + 1 if start else 0
        last = data.rfind(b"\n") + 1 if number < len(parts) else len(data)
        if start + first > end:
            yield f"[... {start + first - end} bytes left out ...]\n".encode()
        yield bytes(data[first:last])
        end = start + last


def _path(folder: str, offset: int) -> str:
    return f"{folder}/{offset:012d}"


def checked_run(run: str) -> str:
    """Return a run's UID as it names a folder; raises ``BadInput`` for what is none."""
    if not run or _SAFE.search(run) or run.strip(".") == "":
        raise BadInput("--run", "BadInput", f"found {run!r}; give the UID of a run (metadata.uid)")
    return run
