"""The data card of the selected conversations: yields with Wilson intervals, drop reasons, what the samples hold (SPEC 2.10)."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from astra_jobs.records.conversation import Conversation
from astra_jobs.records.funnel import FilterCount

Z95 = 1.959963984540054


def wilson(hits: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """Return the Wilson score interval of a share; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, spread = hits / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def make_card(samples: Sequence[Conversation], funnel: Sequence[FilterCount], numbers: dict[str, float]) -> dict[str, Any]:
    """Return the card as JSON data."""
    tools = [tool for sample in samples for tool in sample.tools]
    return {
        "version": 1,
        "kind": "ChainSynthesis",
        "samples": len(samples),
        "servers": len({sample.server for sample in samples}),
        "yields": [_yield(row) for row in funnel],
        "endToEnd": _share(int(numbers.get("selected", 0)), int(numbers.get("conversations", 0))),
        "axes": _axes(samples),
        "turns": _histogram(sum(message.role == "assistant" for message in sample.messages) for sample in samples),
        "calls": _histogram(len(sample.calls) for sample in samples),
        "parallelTurns": sum(any(len(message.tool_calls) > 1 for message in sample.messages) for sample in samples),
        "recovered": sum(is_recovered(sample) for sample in samples),
        "variants": _histogram(sample.id.rsplit("-", 1)[-1] for sample in samples),
        "labels": _histogram(f"{key}={value}" for sample in samples for key, value in sample.labels.items()),
        "sources": _histogram(tool.source or "unknown" for tool in tools),
        "licences": _histogram(tool.licence or "none stated" for tool in tools),
        "numbers": dict(sorted(numbers.items())),
    }


def is_recovered(sample: Conversation) -> bool:
    """Tell whether a conversation holds an injected fault."""
    return any(call.fault is not None for call in sample.calls)


def _yield(row: FilterCount) -> dict[str, Any]:
    return {"filter": row.filter, "reasons": row.reasons, **_share(row.seen - row.dropped, row.seen)}


def _share(hits: int, trials: int) -> dict[str, Any]:
    low, high = wilson(hits, trials)
    return {"kept": hits, "seen": trials, "low": round(low, 6), "high": round(high, 6)}


def _axes(samples: Sequence[Conversation]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for sample in samples:
        for axis, value in sample.scores.items():
            values.setdefault(axis, []).append(value)
    return {axis: round(fmean(scores), 6) for axis, scores in sorted(values.items())}


def _histogram(items: Any) -> dict[str, int]:
    return {str(key): count for key, count in sorted(Counter(items).items(), key=lambda pair: (isinstance(pair[0], str), pair[0]))}
