"""A server holds after a million calls what it held after the first: descriptors, processes, memory.

This judges right and wrong, not speed. The small version runs with every test run, so that a leak of descriptors,
zombies or processes shows early; a slow leak of memory needs the large one.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import uvloop

from tests.bench.sandbox_figures import load, own_memory, record
from tests.bench.sandbox_load import below, pinned_server
from tests.bench.sandbox_soaking import SERVER, Sight, Size, Soak, rounds
from tests.gvisor import NoGvisor, inside

MIB = 1 << 20
LARGE = Size(rounds=25, warm=5, sessions=4_000, calls=10, front_band=12 * MIB, zygote_band=2 * MIB)
TENTH = Size(rounds=25, warm=8, sessions=400, calls=10, front_band=12 * MIB, zygote_band=2 * MIB)
GVISOR_BAND = 64 * MIB
"""Bytes by which all of gVisor's own processes may grow after the warm-up."""
SMALL = Size(rounds=4, warm=2, sessions=80, calls=7, front_band=6 * MIB, zygote_band=2 * MIB)


async def soak(port: int, pid: int, size: Size) -> tuple[Soak, list[Sight]]:
    """Do all rounds; return what was done, and what was seen after each."""
    work = Soak(port, pid, size.calls)
    return work, [sight async for sight in rounds(work, size.rounds, size.sessions)]


def judge(done: tuple[int, int, int], sights: list[Sight], size: Size) -> None:
    """Fail when something was left behind, or when memory left its band; ``done``: sessions, calls, calls that ended badly."""
    sessions, calls, bad = done
    assert (sessions, calls) == (size.rounds * size.sessions, size.rounds * size.sessions * size.calls)
    assert bad > 0
    warm, later = sights[: size.warm], sights[size.warm :]
    assert max(one.zombies for one in sights) == 0
    for name in ("processes", "front_descriptors", "zygote_descriptors"):
        assert max(getattr(one, name) for one in later) <= max(getattr(one, name) for one in warm), (name, sights)
    for name, band in (("front_memory", size.front_band), ("zygote_memory", size.zygote_band)):
        assert max(getattr(one, name) for one in later) <= max(getattr(one, name) for one in warm) + band, (name, sights)


def test_a_small_soak_leaves_nothing_behind() -> None:
    with pinned_server(None, *SERVER) as (port, pid):
        work, sights = uvloop.run(soak(port, pid, SMALL))
    judge((work.sessions, work.made, work.ended_badly), sights, SMALL)


@pytest.mark.bench
def test_a_million_calls_leave_nothing_behind() -> None:
    busy = load()
    with pinned_server(None, *SERVER) as (port, pid):
        work, sights = uvloop.run(soak(port, pid, LARGE))
    record(
        "sandbox-soak", load=busy, sessions=work.sessions, calls=work.made, endedBadly=work.ended_badly,
        bandsMib={"front": LARGE.front_band / MIB, "zygote": LARGE.zygote_band / MIB}, sights=[asdict(one) for one in sights],
    )  # fmt: skip
    judge((work.sessions, work.made, work.ended_badly), sights, LARGE)


@pytest.mark.bench
@pytest.mark.skipif(os.geteuid() != 0, reason="gVisor's runsc is run as root")
def test_a_tenth_in_gvisor_leaves_nothing_behind(tmp_path: Path) -> None:
    busy, told = load(), {"rounds": TENTH.rounds, "sessions": TENTH.sessions, "calls": TENTH.calls}
    soaking = [sys.executable, "-m", "tests.bench.sandbox_soaking", *(f"--{name}={value}" for name, value in told.items())]
    soaking += ["--parallel=2", "--seconds=2", "--lease-ms=10000", "--lease-seconds=50"]  # waiting for a CPU counts as CPU time in there
    try:
        command = inside(soaking, tmp_path)
    except NoGvisor as error:
        pytest.fail(str(error), pytrace=False)
    lines, outside = [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runsc:
        assert runsc.stdout is not None
        for line in runsc.stdout:
            lines.append(json.loads(line))
            outside.append(sum(map(own_memory, below(runsc.pid))))
    assert runsc.returncode == 0
    done, sights = lines[-1]["done"], [Sight(**line["sight"]) for line in lines]
    record(
        "sandbox-soak", where="gVisor (Debian's runsc, ptrace)", load=busy, sessions=done["sessions"], calls=done["made"],
        endedBadly=done["ended_badly"], sights=[asdict(one) for one in sights], gvisorMemory=outside,
    )  # fmt: skip
    judge((done["sessions"], done["made"], done["ended_badly"]), sights, TENTH)
    assert max(outside[TENTH.warm :]) <= max(outside[: TENTH.warm]) + GVISOR_BAND, outside
