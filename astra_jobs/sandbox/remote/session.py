"""A session as the client keeps it: what is known, what was applied, what is still to be answered, and where it lives.

The log is the truth: a server's session is only a copy of it. Whenever the copy may have seen more than the log, or less,
or in another order, it is let go (``forget``) and made again from the log under a new name. Does no input or output.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from astra_jobs.sandbox.protocol import APPLIED, LIMITS, CallOutcome, CallResult, SequenceConflict, failure
from astra_jobs.sandbox.remote import state
from astra_jobs.sandbox.remote.lane import Lane
from astra_jobs.sandbox.remote.troubles import TOO_LARGE
from astra_jobs.sandbox.remote.wire import Arguments, CallAnswer

LOST = frozenset({"session_lost", "unknown_session"})


class Group:
    """Calls that are asked for together: after a limit, the rest of them is not run."""

    __slots__ = ("stopped",)

    def __init__(self) -> None:
        self.stopped = False


class Item:
    """A call to be answered. Its future gives None when its group was stopped before it."""

    __slots__ = ("arguments", "asked", "deadline", "future", "group", "sent", "seq", "tool")

    def __init__(self, seq: int, tool: str, arguments: Arguments, group: Group, deadline: float) -> None:
        self.seq, self.tool, self.arguments, self.group, self.deadline = seq, tool, arguments, group, deadline
        self.asked = time.monotonic()
        self.sent = False
        self.future: asyncio.Future[CallResult | None] = asyncio.get_running_loop().create_future()

    def is_same(self, tool: str, arguments: Arguments) -> bool:
        """Tell whether another call is this one."""
        return self.tool == tool and self.arguments.json == arguments.json

    @property
    def met_limit(self) -> bool:
        """Tell whether the call was answered with a limit."""
        if not self.future.done() or self.future.cancelled() or self.future.exception() is not None:
            return False
        result = self.future.result()
        return result is not None and result.outcome in LIMITS

    def answer(self, result: CallResult | None) -> None:
        """Answer whoever still waits."""
        if not self.future.done():
            self.future.set_result(result)


@dataclass(frozen=True)
class Setback:
    """Why the first call of the queue has no result yet."""

    outcome: CallOutcome
    message: str
    after: float | None = None


class Session:
    """One session. ``lane`` is the server that has it, ``name`` what it is called there, ``created`` whether it is known to be there."""

    def __init__(self, number: str, environment: str, seed: int) -> None:
        self.id, self.environment, self.seed = number, environment, seed
        self.lane: Lane | None = None
        self.name = ""
        self.created = False
        self.closed = False
        self.log: list[tuple[str, Arguments, str, str]] = []
        self.log_bytes = 0
        self.queue: deque[Item] = deque()
        self.serving: asyncio.Task[None] | None = None
        self.losses = 0
        self.used = time.monotonic()
        self.deadline = 0.0
        self.state = state.first(environment, seed)
        self._generation = 0
        self._items: dict[int, Item] = {}

    def item(self, seq: int, tool: str, arguments: Arguments, group: Group, deadline: float) -> Item:
        """Return the call of that number, which may be known or asked for already; SequenceConflict for another call."""
        before = self._items.get(seq)
        if before is None:
            return Item(seq, tool, arguments, group, deadline)
        if not before.is_same(tool, arguments):
            raise SequenceConflict(f"session {self.id}: call {seq} was made before with another tool or other arguments")
        return before

    def ask(self, item: Item) -> None:
        """Put a call at the end of the queue, unless it is there or answered already."""
        if item.seq not in self._items:
            self._items[item.seq] = item
            self.queue.append(item)

    def next(self, number: int, size: int) -> list[Item]:
        """Return the calls to be sent next: at least one, at most so many, with so many bytes of arguments."""
        items: list[Item] = []
        for item in self.queue:
            size -= len(item.arguments.json)
            if items and (len(items) == number or size < 0):
                break
            items.append(item)
        return items

    def move(self, lane: Lane) -> None:
        """Give the session to a server, under a name that was never used before."""
        self.forget()
        self._generation += 1
        self.name = f"{self.id}-{self._generation}"
        self.lane = lane
        lane.load += 1

    def forget(self, *, there: bool = True) -> None:
        """Let the server's copy go; the next call makes one from the log. ``there`` is False when the server has none."""
        if self.lane is not None:
            self.lane.load -= 1
            if there:
                self.lane.end(self.name)
        self.lane, self.created = None, False

    def settle(self, items: Sequence[Item], answers: Sequence[CallAnswer]) -> Setback | None:
        """Take the answers of calls that are the head of the queue, up to the first that gave no result; return why not.

        What was applied behind such a call, or behind the limit that stopped its group, is undone with the server's copy.
        """
        self.used = time.monotonic()
        try:
            return self._settle(items, answers)
        finally:
            for item in [item for item in self.queue if item.group.stopped]:
                self._skip(item)

    def _settle(self, items: Sequence[Item], answers: Sequence[CallAnswer]) -> Setback | None:
        surplus = False
        for index, (item, answer) in enumerate(zip(items, answers, strict=True)):
            if item.group.stopped:
                surplus |= answer.outcome in APPLIED
                self._skip(item)
                continue
            setback = setback_of(answer)
            if setback is not None:
                if setback.outcome != "overloaded" or any(later.outcome in APPLIED for later in answers[index + 1 :]):
                    self.forget()
                return setback
            if not self._take(item, answer):
                self.forget()
                return Setback("session_lost", "the session saw other calls than it was given, or in another order")
        if surplus:
            self.forget()
        return None

    def _take(self, item: Item, answer: CallAnswer) -> bool:
        """Take a call's result; False when it comes from another history than the log's."""
        result = result_of(answer)
        applied = result.outcome in APPLIED
        if result.outcome == "tool_error" and answer.state == self.state.hex():
            applied = False  # the tool ended its process, and what it had done went with it
        after = state.after(self.state, item.tool, item.arguments.json, result.outcome, answer.text) if applied else self.state
        if answer.state and answer.state != after.hex():
            return False
        self.queue.popleft()
        self.losses = 0
        if answer.error == "sequence_conflict":
            self._items.pop(item.seq)
            item.future.set_exception(SequenceConflict(f"session {self.id}: {answer.message}"))
            return True
        if applied:
            self.state = after
            self.log.append((item.tool, item.arguments, result.outcome, answer.text))
            self.log_bytes += len(item.arguments.json) + len(answer.text)
        elif result.outcome in LIMITS:
            item.group.stopped = True
        item.answer(result)
        return True

    def _skip(self, item: Item) -> None:
        self.queue.remove(item)
        self._items.pop(item.seq)
        item.answer(None)

    def fail(self, end: CallResult | BaseException) -> None:
        """Answer everything in the queue with a failure: what is behind a lost call must not be run in its place."""
        self.forget()
        self.losses = 0
        while self.queue:
            item = self.queue.popleft()
            self._items.pop(item.seq)
            if isinstance(end, CallResult):
                item.answer(end)
            elif not item.future.done():
                item.future.set_exception(end)


def setback_of(answer: CallAnswer) -> Setback | None:
    """Return why an answer is no result; None when it is one."""
    told = answer.message or answer.text
    if answer.outcome == "overloaded" or answer.error == "overloaded":
        return Setback("overloaded", told, None if answer.retry_after_ms is None else answer.retry_after_ms / 1000)
    if answer.outcome == "infra_error":
        return Setback("infra_error", told)
    if answer.outcome in LOST or answer.error in LOST:
        return Setback("session_lost", told)
    if answer.outcome is None and answer.error not in ("sequence_conflict", TOO_LARGE):
        return Setback("infra_error", f"{answer.error}: {told}")
    return None


def result_of(answer: CallAnswer) -> CallResult:
    """Return the result that an answer holds."""
    if answer.outcome is None:
        return failure("invalid_args", "the arguments are longer than a sandbox reads")
    return CallResult(answer.outcome, text=answer.text, cpu_seconds=answer.cpu_seconds, state=answer.state)
