"""A server holds after a million calls what it held after the first: descriptors, processes, memory.

This judges right and wrong, not speed. The small version runs with every test run, so that a leak of descriptors,
zombies or processes shows early; a slow leak of memory needs the large one.
"""

from dataclasses import asdict
from typing import NamedTuple

import pytest
import uvloop

from tests.bench.sandbox_figures import load, record
from tests.bench.sandbox_load import pinned_server
from tests.bench.sandbox_soaking import SERVER, Sight, Soak

MIB = 1 << 20


class Size(NamedTuple):
    """Rounds of so many sessions with so many calls each; the first rounds warm the server up."""

    rounds: int
    warm: int
    sessions: int
    calls: int
    front_band: int
    """Bytes by which the front's memory may be above the most of the warm-up."""
    zygote_band: int


LARGE = Size(rounds=25, warm=5, sessions=4_000, calls=10, front_band=12 * MIB, zygote_band=2 * MIB)
SMALL = Size(rounds=4, warm=2, sessions=80, calls=7, front_band=6 * MIB, zygote_band=2 * MIB)


async def soak(port: int, pid: int, size: Size) -> tuple[Soak, list[Sight]]:
    """Do all rounds; return what was done, and what was seen after each."""
    work = Soak(port, pid, size.calls)
    return work, [await work.round(number, size.sessions) for number in range(size.rounds)]


def judge(work: Soak, sights: list[Sight], size: Size) -> None:
    """Fail when something was left behind, or when memory left its band."""
    assert (work.sessions, work.made) == (size.rounds * size.sessions, size.rounds * size.sessions * size.calls)
    assert work.ended_badly > 0
    warm, later = sights[: size.warm], sights[size.warm :]
    assert max(one.zombies for one in sights) == 0
    for name in ("processes", "front_descriptors", "zygote_descriptors"):
        assert max(getattr(one, name) for one in later) <= max(getattr(one, name) for one in warm), (name, sights)
    for name, band in (("front_memory", size.front_band), ("zygote_memory", size.zygote_band)):
        assert max(getattr(one, name) for one in later) <= max(getattr(one, name) for one in warm) + band, (name, sights)


def test_a_small_soak_leaves_nothing_behind() -> None:
    with pinned_server(None, *SERVER) as (port, pid):
        work, sights = uvloop.run(soak(port, pid, SMALL))
    judge(work, sights, SMALL)


@pytest.mark.bench
def test_a_million_calls_leave_nothing_behind() -> None:
    busy = load()
    with pinned_server(None, *SERVER) as (port, pid):
        work, sights = uvloop.run(soak(port, pid, LARGE))
    record(
        "sandbox-soak", load=busy, sessions=work.sessions, calls=work.made, endedBadly=work.ended_badly,
        bandsMib={"front": LARGE.front_band / MIB, "zygote": LARGE.zygote_band / MIB}, sights=[asdict(one) for one in sights],
    )  # fmt: skip
    judge(work, sights, LARGE)
