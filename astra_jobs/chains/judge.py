"""The seven axes of a conversation and its selection (paper 3.4, SPEC 2.9).

The author judges the parts (each round, each call); this file makes axes of them. Whether an axis applies follows from the
structure alone: no second round, no response understanding nor planning by context; no call, no call status nor
conciseness. Calls that failed by an injected fault are left out of these two, so that recoveries survive. A part that
applies and has no readable value makes the whole conversation unscored, which never passes: the authors' code puts 1.0
there, and a nonsense trajectory scores 1.0.
"""

from collections.abc import Sequence
from statistics import fmean

from astra_jobs.api.v1alpha1.chains import Judging
from astra_jobs.authors.base import Author
from astra_jobs.authors.chain_requests import ConversationVerdict, JudgeConversation
from astra_jobs.chains.asking import ask_readable
from astra_jobs.chains.funnel import AXES
from astra_jobs.chains.verify import Reason
from astra_jobs.records.conversation import CallRecord, Message
from astra_jobs.records.tool import Server, Tool


async def judge(
    server: Server, tools: list[Tool], messages: list[Message], calls: Sequence[CallRecord], author: Author
) -> dict[str, float] | None:
    """Return the value of each axis that applies, or None when the judge's answers cannot be read."""
    verdict = await ask_readable(
        author,
        lambda attempt: JudgeConversation(server=server, tools=tools, messages=messages, attempt=attempt),
        lambda answer: complete(answer, messages),
    )
    return None if verdict is None else axes_of(verdict, calls)


def complete(verdict: ConversationVerdict, messages: Sequence[Message]) -> bool:
    """Tell whether a verdict has one value in range for each part that the conversation's structure has."""
    rounds = [message for message in messages if message.role == "assistant" and message.tool_calls]
    calls = sum(len(message.tool_calls) for message in rounds)
    later = max(0, len(rounds) - 1)
    parts = (verdict.understanding, later), (verdict.planning, later), (verdict.status, calls), (verdict.needed, calls)
    if any(len(values) != count for values, count in parts):
        return False
    singles = [verdict.query_understanding, verdict.query_planning, verdict.relevance, verdict.faithfulness]
    return all(value is not None and 0.0 <= value <= 1.0 for value in sum((values for values, _ in parts), singles))


def axes_of(verdict: ConversationVerdict, calls: Sequence[CallRecord]) -> dict[str, float]:
    """Make the applicable axes of a complete verdict."""
    own = [index for index, call in enumerate(calls) if call.fault is None]
    parts: dict[str, list[float | None]] = {
        "queryUnderstanding": [verdict.query_understanding],
        "queryPlanning": [verdict.query_planning],
        "responseUnderstanding": verdict.understanding,
        "contextPlanning": verdict.planning,
        "callStatus": [verdict.status[index] for index in own],
        "conciseness": [verdict.needed[index] for index in own],
        "finalAnswer": [verdict.relevance, verdict.faithfulness],
    }
    return {axis: round(fmean(v for v in values if v is not None), 6) for axis, values in parts.items() if values}


def select(scores: dict[str, float] | None, settings: Judging) -> list[tuple[str, Reason | None]]:
    """Return the filters that a conversation meets in order, each with the reason if it drops; the first drop ends it."""
    if scores is None:
        return [("queryUnderstanding", ("Unscored", "the judge's answers could not be read"))]
    met: list[tuple[str, Reason | None]] = []
    for axis in AXES:
        if axis not in scores:
            continue  # not applicable: seen by no filter
        if scores[axis] < settings.min_axis:
            return [*met, (axis, ("LowAxis", f"{scores[axis]:.3f} of at least {settings.min_axis}"))]
        met.append((axis, None))
    mean = fmean(scores.values())
    low = mean < settings.min_mean
    return [*met, ("meanScore", ("LowMean", f"{mean:.3f} of at least {settings.min_mean}") if low else None)]
