"""One request's calls: handed to the engine together, answered together, in order.

No task and no future: the engine calls back with each result, and the last one sends the answer. A result's text goes
from the session's process into the answer as it is.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from astra_jobs.sandbox.protocol import CallResult, SequenceConflict
from astra_jobs.sandbox.server.exchange import JSON, Exchange
from astra_jobs.sandbox.server.metrics import CallMetrics
from astra_jobs.sandbox.server.wire import Call, Refusal, Result, Results

OVERLOADED = "overloaded"
RETRY_MS = 1000
"""What a client is told to wait where the engine does not say."""


class Submitter(Protocol):
    """The part of an engine that runs calls."""

    def submit(
        self, session: str, seq: int, tool: str, arguments: dict[str, Any], deadline: float | None, done: Callable[[CallResult], None]
    ) -> None:
        """Queue a call."""

    def flush(self) -> None:
        """Send queued calls to their sessions."""


class Batch:
    """The calls of one exchange; ``left`` counts results that have not come, ``odd`` those that may change the answer's status."""

    __slots__ = ("began", "exchange", "left", "metrics", "now", "odd", "results")

    def __init__(self, exchange: Exchange, count: int, metrics: CallMetrics, now: Callable[[], float]) -> None:
        self.exchange = exchange
        self.results: list[Result | Refusal | None] = [None] * count
        self.left = count
        self.odd = 0
        self.metrics = metrics
        self.now = now
        self.began = now()

    def run(self, engine: Submitter, calls: list[Call]) -> None:
        """Submit every call in order; some may be answered before this returns."""
        self.left += 1  # until all are submitted, so that early results do not end the batch
        for index, call in enumerate(calls):
            deadline = None if call.deadline_ms is None else self.began + call.deadline_ms / 1000
            try:
                engine.submit(call.session, call.seq, call.tool, call.arguments, deadline, partial(self.done, index))
            except SequenceConflict as conflict:
                self.refused(index, conflict)
        engine.flush()
        self.left -= 1
        if self.left == 0:
            self.finish()

    def done(self, index: int, result: CallResult) -> None:
        """Take one result; called once for a call."""
        outcome = result.outcome
        retry = None
        if outcome == OVERLOADED:
            retry = retry_ms(result.retry_after)
            self.odd += 1
        self.results[index] = Result(outcome, result.text, result.cpu_seconds, result.state, retry)
        self.metrics.add(outcome, self.now() - self.began)
        self.left -= 1
        if self.left == 0:
            self.finish()

    def refused(self, index: int, conflict: SequenceConflict) -> None:
        """Answer one call with the caller's mistake; the others go on."""
        self.results[index] = Refusal("sequence_conflict", str(conflict))
        self.metrics.add("sequence_conflict", 0.0)
        self.odd += 1
        self.left -= 1

    def finish(self) -> None:
        """Answer the exchange; 409 and 429 only where they are true of the whole request."""
        exchange, form = self.exchange, self.exchange.answer_form
        results = cast(list[Result | Refusal], self.results)
        if self.odd and len(results) == 1 and isinstance(results[0], Refusal):
            exchange.answer(409, form.encode(results[0]), form.kind)
        elif self.odd == len(results) > 0 and all(isinstance(result, Result) for result in results):
            refuse_overloaded(exchange, max(result.retry_after_ms or 0 for result in results))
        else:
            exchange.answer(200, form.encode(Results(results)), JSON if form.kind == JSON else form.kind)


def retry_ms(seconds: float) -> int:
    """Return seconds as milliseconds; 0 is no answer to when."""
    return math.ceil(seconds * 1000) or RETRY_MS


def refuse_overloaded(exchange: Exchange, milliseconds: int, message: str = "nothing of this request was run; ask again later") -> None:
    """Answer 429 with the time to wait, in whole seconds for those who read headers and exactly for those who read bodies."""
    refusal = Refusal(OVERLOADED, message, milliseconds)
    header = b"retry-after: %d\r\n" % max(1, math.ceil(milliseconds / 1000))
    exchange.answer(429, exchange.answer_form.encode(refusal), exchange.answer_form.kind, header)
