"""Calls made again by another process, under another load, give the same texts and states to the last bit.

The second process has other batches, more sessions at once, a busy machine, another hash seed of its own, and kills
session processes between batches, which then come back by replay. The small version runs with every test run.
"""

import time
from pathlib import Path

import pytest

from tests.bench.sandbox_figures import load, record
from tests.bench.sandbox_replaying import CALLS, ROW, differences, played

LARGE, SMALL = 10_000, 50
"""Sessions; each makes ``CALLS`` calls."""
KILL_EVERY = 25


def twice(folder: Path, sessions: int, hogs: int) -> dict[str, object]:
    """Play the plan twice; return what was seen."""
    first, second, began = folder / "first", folder / "second", time.monotonic()
    calm = played(first, sessions, at_once=3, batch=32)
    between = time.monotonic()
    busy = played(second, sessions, at_once=24, batch=9, kill_every=KILL_EVERY, hogs=hogs)
    assert first.stat().st_size == sessions * CALLS * ROW
    texts, states = differences(first.read_bytes(), second.read_bytes())
    seconds = [round(between - began, 1), round(time.monotonic() - between, 1)]
    return {
        "calls": sessions * CALLS,
        "differentTexts": texts,
        "differentStates": states,
        "first": calm,
        "second": busy,
        "seconds": seconds,
    }


def judge(found: dict[str, object]) -> None:
    """Fail on any difference, and where the calls were none that could differ."""
    assert (found["differentTexts"], found["differentStates"]) == (0, 0), found
    first, second = found["first"], found["second"]
    assert second["killed"] > 0
    assert {name: count for name, count in first.items() if name != "killed"} == {
        name: count for name, count in second.items() if name != "killed"
    }
    assert set(first) == {"ok", "tool_error", "unknown_tool", "invalid_args", "killed"}
    assert first["ok"] > 0.8 * found["calls"]


def test_five_thousand_calls_repeat_themselves(tmp_path: Path) -> None:
    judge(twice(tmp_path, SMALL, hogs=0))


def test_other_seeds_show_as_differences(tmp_path: Path) -> None:
    """The comparison can fail: sessions with other seeds give other texts, and other states in every call that ran."""
    played(tmp_path / "one", 2, at_once=1, batch=50)
    played(tmp_path / "two", 2, at_once=1, batch=50, shift=1)
    texts, states = differences((tmp_path / "one").read_bytes(), (tmp_path / "two").read_bytes())
    assert texts > 0.3 * 2 * CALLS
    assert states == 2 * CALLS


@pytest.mark.bench
def test_a_million_calls_repeat_themselves(tmp_path: Path) -> None:
    found = {"load": load()} | twice(tmp_path, LARGE, hogs=2)
    record("sandbox-replay", **found)
    judge(found)
