"""Running an instance's tools in the sandbox that training will use: every call that verification asks for.

Two sandboxes differ in what must not matter: the process, the hash seed, the session seed and the clock. A result that
infrastructure lost is asked for again, and then ends the job for another try; it is never a verdict.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from astra_jobs.api.errors import Transient
from astra_jobs.envs.alter import alter_data
from astra_jobs.envs.build import Draft
from astra_jobs.records.episode import INFRASTRUCTURE
from astra_jobs.sandbox.protocol import CallResult, Sandbox, ToolCode

Call = tuple[str, dict[str, Any]]
ATTEMPTS = 3


@dataclass(frozen=True)
class Sandboxes:
    """The sandbox of record, and one with another hash seed and clock."""

    first: Sandbox
    second: Sandbox


@dataclass
class Play:
    """One session of an instance; calls run one after the other."""

    sandbox: Sandbox
    tools: list[ToolCode]
    seed: int
    name: str | None = None
    made: int = 0

    async def run(self, calls: Sequence[Call]) -> list[CallResult]:
        """Run calls in order; stop at the first that meets a limit, because a runaway tool would meet it again."""
        if self.name is None:
            self.name = await self.sandbox.open(await self.sandbox.put(self.tools), self.seed)
        results: list[CallResult] = []
        for _ in range(ATTEMPTS):
            rest = calls[len(results) :]
            results += await self.sandbox.call_many(self.name, self.made + len(results), rest) if rest else []
            if not results or results[-1].outcome not in INFRASTRUCTURE:
                self.made += len(calls)
                return results
            lost = results.pop()
        raise Transient("sandbox", "Failed", f"a call of {calls[len(results)][0]} was lost {ATTEMPTS} times: {lost.text}")

    async def close(self) -> None:
        """End the session."""
        if self.name is not None:
            await self.sandbox.close(self.name)


@dataclass
class Probes:
    """Results of one draft's calls. ``limit`` names the first call of the instance that met a limit."""

    main: CallResult
    others: list[CallResult] = field(default_factory=list)
    unknown: list[CallResult] = field(default_factory=list)
    wrong_typed: list[CallResult] = field(default_factory=list)
    altered: CallResult | None = None
    unstable: str = ""


def tool_codes(drafts: Sequence[Draft]) -> list[ToolCode]:
    """Return drafts as a sandbox takes them; drafts that share a merged tool give it once."""
    return [ToolCode(name=draft.tool.name, parameters=draft.tool.parameters, code=draft.code) for draft in drafts if _first(drafts, draft)]


def altered_codes(drafts: Sequence[Draft]) -> list[ToolCode]:
    """Return the tools with all answers that they hold replaced in their data."""
    codes = {draft.tool.name: draft.code for draft in drafts}
    for draft in drafts:
        codes[draft.tool.name] = alter_data(codes[draft.tool.name], draft.context.node.answer)
    return [tool.model_copy(update={"code": codes[tool.name]}) for tool in tool_codes(drafts)]


def _first(drafts: Sequence[Draft], draft: Draft) -> bool:
    return next(one for one in drafts if one.tool.name == draft.tool.name) is draft


def unknown_arguments(draft: Draft) -> list[dict[str, Any]]:
    """Return the call with each text argument replaced by one that no table holds; enumerations are the schema's."""
    schemas = draft.tool.parameters.get("properties", {})
    return [
        {**draft.arguments, name: "no such entry 0"}
        for name, value in draft.arguments.items()
        if isinstance(value, str) and "enum" not in schemas.get(name, {})
    ]


def wrong_typed_arguments(draft: Draft) -> list[dict[str, Any]]:
    """Return the call with each argument replaced by one of another type, and one with an argument too many."""
    swapped = [{**draft.arguments, name: 7 if isinstance(value, str) else {"a": "b"}} for name, value in draft.arguments.items()]
    return [*swapped, {**draft.arguments, "no_such_argument": 1}]


class LimitMet(Exception):
    """A call met a limit; holds its tool and result."""

    def __init__(self, tool: str, result: CallResult) -> None:
        super().__init__(tool)
        self.tool = tool
        self.result = result


async def _run(play: Play, calls: Sequence[Call]) -> list[CallResult]:
    results = await play.run(calls)
    if results and results[-1].outcome.startswith("limit_"):
        raise LimitMet(calls[len(results) - 1][0], results[-1])
    return results


async def probe(drafts: Sequence[Draft], sandboxes: Sandboxes) -> list[Probes]:
    """Run everything; raise LimitMet at the first call that is over a limit."""
    mains: list[Call] = [(draft.tool.name, draft.arguments) for draft in drafts]
    asked = [_asked(draft) for draft in drafts]
    flat = [call for calls in asked for call in calls]
    first = Play(sandboxes.first, tool_codes(drafts), 0)
    second = Play(sandboxes.second, tool_codes(drafts), 1)
    altered = Play(sandboxes.first, altered_codes(drafts), 0)
    try:
        shown = await _run(first, mains)
        runs = _run(first, flat), _run(second, [*mains, *flat]), altered.run(mains)
        rest, again, changed = _unless_failed(await asyncio.gather(*runs, return_exceptions=True))
    finally:
        await asyncio.gather(first.close(), second.close(), altered.close())
    return _sorted(drafts, [*shown, *rest], again, changed)


def _unless_failed(results: Sequence[list[CallResult] | BaseException]) -> list[list[CallResult]]:
    """Raise the first failure only after all runs have ended, so that none goes on behind a verdict."""
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def _asked(draft: Draft) -> list[Call]:
    sets = [*draft.others, *unknown_arguments(draft), *wrong_typed_arguments(draft)]
    return [(draft.tool.name, arguments) for arguments in sets]


def _sorted(drafts: Sequence[Draft], results: list[CallResult], again: list[CallResult], changed: list[CallResult]) -> list[Probes]:
    """Give the flat results back to their drafts."""
    probes = [Probes(main=result) for result in results[: len(drafts)]]
    for probe_, main in zip(probes, again, strict=False):
        _compare(probe_, probe_.main, main)
    for probe_, result in zip(probes, changed, strict=False):
        probe_.altered = result
    at = len(drafts)
    for draft, probe_ in zip(drafts, probes, strict=True):
        for kind, count in (("others", draft.others), ("unknown", unknown_arguments(draft)), ("wrong_typed", wrong_typed_arguments(draft))):
            part = slice(at, at + len(count))
            setattr(probe_, kind, results[part])
            for one, other in zip(results[part], again[part], strict=True):
                _compare(probe_, one, other)
            at += len(count)
    return probes


def _compare(found: Probes, one: CallResult, other: CallResult) -> None:
    if (one.outcome, one.text) != (other.outcome, other.text) and not found.unstable:
        found.unstable = f"{one.text[:60]} against {other.text[:60]}"
