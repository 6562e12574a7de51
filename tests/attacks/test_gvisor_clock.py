"""gVisor's CPU time of a process goes on while the process waits for a CPU: why a pool runs few calls at once.

A matter of how much others on this machine want its CPUs, so it is part of the bench.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gvisor import NoGvisor, inside
from tests.patience import patience

ROOT = Path(__file__).resolve().parents[2]
WORK, LIMIT = 0.05, 1.5
"""CPU seconds of a call, and what it may have: thirty times as much."""
CPUS = os.cpu_count() or 1
SESSIONS = 48 * CPUS


def rounds() -> int:
    """Return how many rounds of the work take that long here, where CPU time can be believed."""
    best = 1.0
    for _ in range(5):
        started, total = time.process_time(), 0
        for number in range(200_000):
            total += number
        best = min(best, time.process_time() - started)
    return int(200_000 * WORK / best)


def outcomes(parallel: int, state: Path | None) -> dict[str, int]:
    words = [sys.executable, "-m", "tests.attacks.crowd", str(SESSIONS), str(parallel), str(rounds()), str(LIMIT)]
    try:
        command = words if state is None else inside(words, state)
    except NoGvisor as error:
        pytest.fail(str(error), pytrace=False)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience(300), check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.bench
@pytest.mark.skipif(os.geteuid() != 0, reason="gVisor is started as root")
def test_honest_calls_meet_their_limit_in_a_crowd_and_not_as_a_pool_runs_them(tmp_path: Path) -> None:
    assert outcomes(CPUS + 1, tmp_path / "few") == {"ok": SESSIONS}
    crowded = outcomes(SESSIONS, tmp_path / "crowd")
    assert crowded.get("limit_time", 0) > SESSIONS // 4, crowded
    assert outcomes(SESSIONS, None) == {"ok": SESSIONS}, "outside gVisor, CPU time is CPU time"
