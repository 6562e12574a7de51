"""Calls that no process needs to see, and logs that cannot have happened."""

from collections.abc import Iterator, Sequence
from typing import Any

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.pool.records import MIB, Bundle, LogEntry, payload_of
from astra_jobs.sandbox.protocol import APPLIED, CallOutcome, CallResult, failure

ARGUMENTS = 4 << 20
"""Most bytes of a call's arguments."""


def refused(bundle: Bundle, body: bytes, tool: str, arguments: dict[str, Any]) -> CallResult | None:
    """Return the result of a call that no process needs to see."""
    if not body:
        return failure("invalid_args", "the arguments are not JSON")
    check = bundle.checks.get(tool)
    if check is None:
        return failure("unknown_tool", f"unknown tool {tool}")
    too_many = len(body) > ARGUMENTS
    fault = f"the arguments are longer than {ARGUMENTS} bytes" if too_many else check.fault(arguments, len(body))
    return failure("invalid_args", fault) if fault else None


def too_long(most: int) -> CallResult:
    """Return the result of a call with which a session's history would be longer than so many MiB."""
    return failure("invalid_args", f"the session's calls hold more than {most} MiB of arguments and results")


def given(bundle: Bundle, log: Sequence[LogEntry], most: int) -> Iterator[tuple[bytes, CallOutcome, str]]:
    """Check a log that came with a request; BadInput names the entry that cannot have happened.

    It may hold twice what a session's calls may: that bound counts calls before their results are known.
    """
    size = 0
    for number, (tool, arguments, outcome, text) in enumerate(log):
        if outcome not in APPLIED:
            continue
        body = payload_of(tool, arguments) or b""
        if refused(bundle, body, tool, arguments) is not None:
            raise BadInput(f"log[{number}]", "BadInput", f"{tool} cannot have been called like this")
        size += len(body) + len(text)
        if size > 2 * most * MIB:
            raise BadInput(f"log[{number}]", "BadInput", f"with it the log holds more than {2 * most} MiB of arguments and results")
        yield body, outcome, text  # type: ignore[misc]
