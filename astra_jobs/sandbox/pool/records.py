"""What a pool remembers: environments, sessions and their calls. Data and the rules on it; no sockets, no processes."""

from collections import deque
from collections.abc import Callable, Iterator
from hashlib import blake2b
from json import encoder as _encoder
from typing import TYPE_CHECKING, Any

import msgspec

from astra_jobs.sandbox.protocol import CallOutcome, CallResult, ToolCode
from astra_jobs.schemas import Check

if TYPE_CHECKING:
    from astra_jobs.sandbox.pool.process import Process

MIB = 1 << 20
Done = Callable[[CallResult], None]
LogEntry = tuple[str, dict[str, Any], str, str]
"""A call to be replayed: tool, arguments, outcome, text."""

_READ = msgspec.json.Decoder().decode
_write = _encoder.c_make_encoder(None, None, _encoder.encode_basestring, None, ":", ",", True, False, False)  # type: ignore[attr-defined]


def payload_of(tool: str, arguments: dict[str, Any]) -> bytes | None:
    """Return the canonical JSON of a call, which is also what is sent; None for arguments that are not JSON."""
    try:
        return "".join(_write([tool, arguments], 0)).encode()
    except (ValueError, TypeError, RecursionError):
        return None


def is_json(text: str) -> bool:
    """Tell whether a text is JSON: finite numbers, whole letters. The encoder makes no other; who sends it forged it."""
    try:
        _READ(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


class Bundle:
    """A registered environment: digest, tools, and the check of each tool's arguments."""

    __slots__ = ("checks", "digest", "held", "pending", "tools")

    def __init__(self, digest: str, tools: list[ToolCode], checks: dict[str, Check]) -> None:
        self.digest = digest
        self.tools = tools
        self.checks = checks
        self.pending = 0
        """Calls of its sessions that wait or run."""
        self.held = 0
        """Bytes of memory that its sessions' calls take."""


class Batch:
    """Calls of which the rest is not to be run once one met a limit or was lost."""

    __slots__ = ("stopped",)

    def __init__(self) -> None:
        self.stopped = False


class Pending:
    """A call: waiting, sent, or answered."""

    __slots__ = ("attempts", "batch", "body", "deadline", "done", "expected", "number", "result", "seq", "waiting")

    def __init__(self, seq: int, body: bytes, deadline: float, done: Done | None) -> None:
        self.seq = seq
        self.body = body
        self.deadline = deadline
        """On the loop's clock; 0 for none."""
        self.done: list[Done] = [done] if done else []
        self.result: CallResult | None = None
        self.expected: tuple[str, str] | None = None
        """Outcome and text that a replay of this call has to give; None while it is no replay."""
        self.batch: Batch | None = None
        self.waiting = True
        """Not answered yet; a result may be there already, whose turn has not come."""
        self.attempts = 0
        self.number = 0


class Session:
    """One conversation with one environment."""

    __slots__ = (
        "bundle", "busy", "deaths", "died_at", "expires", "given", "held", "id", "in_line", "lease", "log", "log_bytes", "origin",
        "process", "queue", "results", "seed", "state", "used", "waiting",
    )  # fmt: skip

    def __init__(self, name: str, bundle: Bundle, seed: int, lease: float | None) -> None:
        self.id = name
        self.bundle = bundle
        self.seed = seed
        self.lease = lease
        self.expires = 0.0
        self.origin: bytes = b""
        """What the session was created with, to recognise the same request."""
        self.given = 0
        """Entries of the log that came with the session, without call numbers."""
        self.state = blake2b(f"{bundle.digest}/{seed}".encode(), digest_size=16).digest()
        self.log: list[Pending] = []
        self.log_bytes = 0
        """Arguments and texts of the log, bytes and characters."""
        self.waiting = 0
        """Arguments of calls that have no result yet, bytes."""
        self.held = 0
        """Bytes of memory that its calls take."""
        self.used = 0
        """When a call was last asked of it, counted in calls."""
        self.results: dict[int, Pending] = {}
        self.queue: deque[Pending] = deque()
        self.process: Process | None = None
        self.busy = False
        """Has calls with its process."""
        self.in_line = False
        """Waits for room."""
        self.deaths = 0
        """Deaths of its processes in a row that no call's outcome tells."""
        self.died_at = 0
        """Length of the log at the last of them."""

    def append(self, pending: Pending, outcome: CallOutcome, text: str) -> None:
        """Add a call to the history and chain the state."""
        self.log.append(pending)
        self.log_bytes += len(pending.body) + len(text)
        chain = blake2b(self.state, digest_size=16)
        chain.update(pending.body)
        chain.update(b"\0" + outcome.encode() + b"\0" + text.encode())
        self.state = chain.digest()

    def give(self, log: Iterator[tuple[bytes, CallOutcome, str]]) -> None:
        """Take over a history of applied calls."""
        for body, outcome, text in log:
            pending = Pending(-1, body, 0.0, None)
            pending.result = CallResult(outcome, text=text)
            self.append(pending, outcome, text)
        self.given = len(self.log)
        self.origin = self.state
