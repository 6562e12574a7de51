"""The verdict on an instance's tools (SPEC 3.5), from the runs of ``probes``.

Order: static gate, limits, stability, answer, echo. The paper's rule, the answer as a substring of what is printed, is
counted beside the typed comparison and decides nothing.
"""

from collections.abc import Sequence

from astra_jobs.envs import gate
from astra_jobs.envs.build import Draft
from astra_jobs.envs.funnel import Refused
from astra_jobs.envs.probes import LimitMet, Probes, Sandboxes, probe
from astra_jobs.episodes.match import echoed, equals, leaf_at
from astra_jobs.records.environment import Answer
from astra_jobs.sandbox.protocol import CallResult

CHECKS = (
    "staticGate", "withinLimits", "stable", "typedAnswer", "structuredErrors", "otherArgumentsDiffer", "answerNotInArguments",
    "dataDecides",
)  # fmt: skip
"""What a kept environment's verification record says yes to."""


async def verify(drafts: Sequence[Draft], sandboxes: Sandboxes, numbers: dict[str, int]) -> list[Probes]:
    """Return the runs of tools that pass everything; Refused names the first filter that one fails."""
    for draft in drafts:
        gate.check(draft.tool, draft.code)
    try:
        probes = await probe(drafts, sandboxes)
    except LimitMet as met:
        reason = {"limit_time": "Time", "limit_memory": "Memory", "limit_output": "Output"}[met.result.outcome]
        raise Refused("limits", reason, f"{met.tool}: {met.result.text}") from None
    pairs = list(zip(drafts, probes, strict=True))
    for draft, found in pairs:
        if found.unstable:
            raise Refused("stability", "RunsDiffer", f"{draft.tool.name}: {found.unstable}")
    for draft, found in pairs:
        numbers["toolsRun"] = numbers.get("toolsRun", 0) + 1
        typed, printed = answered(draft, found.main), substring(draft.context.node.answer, found.main)
        numbers["acceptedByType"] = numbers.get("acceptedByType", 0) + typed
        numbers["acceptedBySubstring"] = numbers.get("acceptedBySubstring", 0) + printed
    for draft, found in pairs:
        if not answered(draft, found.main):
            raise Refused("answer", "NotTheAnswer", f"{draft.tool.name}: {found.main.text[:80]}")
    for draft, found in pairs:
        _check_echo(draft, found)
    return probes


def answered(draft: Draft, result: CallResult) -> bool:
    """Tell whether a result holds the node's answer at the draft's path."""
    return result.outcome == "ok" and equals(draft.context.node.answer, leaf_at(result.value, draft.answer_path))


def substring(answer: Answer, result: CallResult) -> bool:
    """Tell what the paper's rule says: every plain value of the answer is a substring of what is printed."""
    return result.outcome == "ok" and all(str(value) in str(result.value) for value in answer.items())


def _check_echo(draft: Draft, found: Probes) -> None:
    name, answer = draft.tool.name, draft.context.node.answer
    if echoed(answer, draft.arguments):
        raise Refused("echo", "AnswerInArguments", name)
    for result in (*found.unknown, *found.wrong_typed):
        if not structured_error(result) or answered(draft, result):
            raise Refused("echo", "NoStructuredError", f"{name}: {result.text[:80]}")
    if not any(_sensible(draft, found.main, result) for result in found.others):
        raise Refused("echo", "SameForOtherArguments", name)
    if found.altered is None or answered(draft, found.altered):
        raise Refused("echo", "DataDoesNotDecide", name)


def structured_error(result: CallResult) -> bool:
    """Tell whether a result says that the call was refused: an error outcome, or an object with ``error`` in it."""
    if result.outcome in ("tool_error", "invalid_args"):
        return True
    return result.outcome == "ok" and isinstance(result.value, dict) and "error" in result.value


def _sensible(draft: Draft, main: CallResult, result: CallResult) -> bool:
    """Tell whether another argument gave another value of the same type at the answer's place."""
    leaf = leaf_at(result.value, draft.answer_path)
    same_type = type(leaf) is type(leaf_at(main.value, draft.answer_path))
    return result.outcome == "ok" and same_type and not equals(draft.context.node.answer, leaf)
