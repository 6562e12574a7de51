"""The supervisor's end of a session's process: writes requests, checks every reply, never blocks.

The process is untrusted. A reply that is not the answer to the oldest request, is too long, is no UTF-8 or names an
unknown outcome ends it, as do bytes that nobody asked for.
"""

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING, Protocol

from astra_jobs.sandbox.inside.frames import CODES, OK, REPLY, REQUEST
from astra_jobs.sandbox.pool.records import Pending, Session

if TYPE_CHECKING:
    from astra_jobs.sandbox.pool.environment import Zygote
    from astra_jobs.sandbox.pool.watchdog import Window

WINDOW = 64
"""Most requests with a process at a time."""
MESSAGE = 4096
"""Most characters of a reply that is no value."""
_CHUNK = 1 << 16
_HEAD = REPLY.size


class Watcher(Protocol):
    """Whoever owns processes."""

    def answered(self, process: "Process", pending: Pending, code: int, cpu: int, text: str) -> None:
        """Take a reply that is well-formed; ``cpu`` in microseconds, as the process says."""

    def breached(self, process: "Process") -> None:
        """End a process that broke the protocol."""

    def hung_up(self, process: "Process") -> None:
        """Learn that a process closed its socket; how it ended is reported by its zygote."""


class Process:
    """A live session process."""

    __slots__ = (
        "_buffer",
        "_loop",
        "_most",
        "_number",
        "_on_answer",
        "_on_breach",
        "_on_hangup",
        "_outbox",
        "_writing",
        "again",
        "characters",
        "cpu_mark",
        "gone",
        "hung_up",
        "inflight",
        "look",
        "number",
        "pid",
        "replayed",
        "rest",
        "session",
        "since",
        "socket",
        "status",
        "user",
        "worked",
        "zygote",
    )  # fmt: skip

    def __init__(self, session: Session, zygote: "Zygote", number: int, user: int, characters: int) -> None:
        self.session = session
        self.zygote = zygote
        self.number = number
        self.user = user
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        self.inflight: deque[Pending] = deque()
        self.again = False
        """More than one call found it, or it counts as if."""
        self.replayed = 0
        """Entries of the session's log that were sent."""
        self.pid = 0
        self.status: int | None = None
        self.since = 0.0
        """When the oldest request began to run, on the loop's clock."""
        self.cpu_mark: float | None = None
        self.rest: tuple[float, float, bool] | None = None
        """When it was last looked at to see whether it stands still, its CPU seconds then, and whether it did."""
        self.worked = 0.0
        """Seconds in which it had requests to answer."""
        self.look: Window | None = None
        """What the watchdog saw since it began to look closely at the running call."""
        self.gone = False
        self.hung_up = 0.0
        """When the process closed its socket; 0 while it has not."""
        self.characters = characters
        self._most = 4 * characters + 4096
        self._number = 0
        self._buffer = b""
        self._outbox = b""
        self._writing = False
        self._loop = asyncio.get_running_loop()
        zygote.spawn(self, theirs)

    def attach(self, watcher: "Watcher") -> None:
        """Say who takes answers, and who hears of a process that broke the protocol or closed its socket."""
        self._on_answer, self._on_breach, self._on_hangup = watcher.answered, watcher.breached, watcher.hung_up
        self._loop.add_reader(self.socket.fileno(), self.readable)

    @property
    def room(self) -> int:
        """How many more requests may be sent now."""
        return 0 if self._outbox else WINDOW - len(self.inflight)

    @property
    def asked(self) -> int:
        """How many requests were sent."""
        return self._number

    def send(self, calls: list[Pending]) -> None:
        """Write requests at once, in order; calls that have a result already only keep their place."""
        parts: list[bytes] = []
        if not self.inflight:
            self.since, self.cpu_mark, self.look, self.rest = self._loop.time(), None, None, None
        for pending in calls:
            self.inflight.append(pending)
            if pending.result is None or pending.expected is not None:
                self._number = pending.number = (self._number + 1) & 0xFFFFFFFF
                parts += (REQUEST.pack(len(pending.body), self._number), pending.body)
        self._outbox += b"".join(parts)
        if self._outbox:
            self._writable()

    def _writable(self) -> None:
        if self.gone:
            return
        try:
            sent = self.socket.send(self._outbox)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(self._outbox)  # a process that went away shows at the reply
        self._outbox = self._outbox[sent:]
        if self._outbox and not self._writing:
            self._loop.add_writer(self.socket.fileno(), self._writable)
        elif self._writing and not self._outbox:
            self._loop.remove_writer(self.socket.fileno())
        self._writing = bool(self._outbox)

    def readable(self) -> bool:
        """Take what has come; return False when there is no more to come now."""
        if self.gone or self.hung_up:
            return False
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.hung_up = self._loop.time()
            self._loop.remove_reader(self.socket.fileno())
            self._on_hangup(self)
            return False
        self._buffer = self._take(self._buffer + data if self._buffer else data)
        return True

    def _take(self, data: bytes) -> bytes:
        """Hand out whole replies; return the rest."""
        at, end = 0, len(data)
        while end - at >= _HEAD:
            length, number, code, cpu = REPLY.unpack_from(data, at)
            if not self.inflight or self.inflight[0].number != number or length > self._most or code >= len(CODES):
                self._on_breach(self)
                return b""
            if end - at - _HEAD < length:
                break
            at += _HEAD + length
            try:
                text = str(data[at - length : at], "utf-8")
            except UnicodeDecodeError:
                self._on_breach(self)
                return b""
            if len(text) > (self.characters if code == OK else MESSAGE):
                self._on_breach(self)
                return b""
            self._on_answer(self, self.inflight.popleft(), code, cpu, text)
            if self.gone:
                return b""
        return data[at:]

    def close(self) -> None:
        """Close the socket, at which an idle process leaves."""
        if not self.gone:
            self.gone = True
            if not self.hung_up:
                self._loop.remove_reader(self.socket.fileno())
            self._loop.remove_writer(self.socket.fileno())
            self.socket.close()

    def kill(self) -> None:
        """End a process that may be busy."""
        self.close()
        self.zygote.kill(self)
