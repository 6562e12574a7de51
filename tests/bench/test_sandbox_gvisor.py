"""How fast the sandbox server is in gVisor, beside the same server without it, in one run.

Debian's gVisor is an old build that stops its programs by ptrace at every system call: a current one is faster. The
figures say what the server costs where the kernel is dear, not what a cluster's gVisor costs.
"""

import os

import pytest
import uvloop

from tests.bench.sandbox_figures import load, record
from tests.bench.sandbox_load import Figures, measure_calls, measure_creation, measure_front, pinned_server
from tests.bench.test_sandbox_speed import SHAPES, cores, shape
from tests.gvisor import NoGvisor, runsc

SECONDS, CREATIONS = 4.0, 100
GOALS = {"callsPerSecond": 2_000, "createP50Ms": 25}


async def figures(port: int, pid: int) -> Figures:
    """Measure one server."""
    return {
        "http": await measure_front(port, 1, 1.0),
        "calls": {shape(*one): await measure_calls(port, pid, one[1], one[0], SECONDS) for one in SHAPES},
        "create": await measure_creation(port, CREATIONS),
    }


@pytest.mark.bench
@pytest.mark.skipif(os.geteuid() != 0, reason="gVisor's runsc is run as root")
def test_speed_in_gvisor_beside_none() -> None:
    try:
        runsc()
    except NoGvisor as error:
        pytest.fail(str(error), pytrace=False)
    found: dict[str, Figures] = {}
    busy = load()
    with cores() as (core, _):
        for name, gvisor in (("none", False), ("gvisor", True)):
            with pinned_server(core, "--drain-seconds", "0", gvisor=gvisor) as (port, pid):
                found[name] = uvloop.run(figures(port, pid))
    rates = {name: {one: calls["calls_per_second"] for one, calls in each["calls"].items()} for name, each in found.items()}
    ratios = {one: round(rates["none"][one] / max(1, rate), 2) for one, rate in rates["gvisor"].items()}
    record("sandbox-gvisor", goals=GOALS, load=busy, **found, timesSlowerThanNone=ratios)
    assert [calls for each in found.values() for calls in each["calls"].values() if calls["errors"] or not calls["calls"]] == []
