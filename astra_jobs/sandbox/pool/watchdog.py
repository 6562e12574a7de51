"""Looking at processes whose call runs for long: CPU spent, blocked, or starved.

The kernel ends an honest call at its CPU limit; this is for the tool that disarmed its timer, and for the one that
waits instead of working. A process that never got its CPU time is not to blame: that is infrastructure.
"""

import os
from typing import NamedTuple

from astra_jobs.sandbox.pool.process import Process
from astra_jobs.sandbox.pool.settings import PoolSettings

WINDOWS = 20
"""Half wall limits that a call may take while its process waits for a CPU."""
HANG_UP = 0.5
"""Seconds that a process may live on after it closed its socket."""
FIRST_LOOK = 0.02
"""Seconds after which a call's CPU time begins to be watched."""
SLACK = 0.02
"""CPU seconds over the limit that clock ticks may be wrong by."""
START = 30.0
"""Seconds that a fork may take."""
_TICKS = os.sysconf("SC_CLK_TCK")


class Sight(NamedTuple):
    """What the system tells of a process: CPU seconds, seconds it waited for a CPU (None: not told), state letter."""

    cpu: float
    delay: float | None
    state: str


class Verdict(NamedTuple):
    """How a call ends from outside."""

    outcome: str
    message: str


def look(pid: int) -> Sight | None:
    """Look at a process; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError, ValueError):
        return None
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            ran, waited = file.read().split()[:2]
        return Sight(int(ran) / 1e9 or cpu, int(waited) / 1e9, fields[0])
    except (OSError, IndexError, ValueError):
        return Sight(cpu, None, fields[0])


class Watchdog:
    """Decides on the processes of a pool."""

    def __init__(self, settings: PoolSettings) -> None:
        self.seconds = settings.limits.seconds
        self.walls = settings.walls
        self.window = (1.0 + 5.0 * settings.limits.seconds) / 2

    def judge(self, process: Process, now: float) -> Verdict | None:
        """Return how the running call has to end; None while it may go on."""
        age = now - process.since
        if process.hung_up:
            return Verdict("tool_error", "the tool closed its session's socket") if now - process.hung_up > HANG_UP else None
        if age < FIRST_LOOK:
            return None
        if not process.pid:
            return Verdict("infra_error", "the session's process was not forked in time") if age > START else None
        if self.walls.cpu and (process.cpu_mark is None or age >= self.seconds):
            sight = look(process.pid)
            if sight is not None:
                if process.cpu_mark is None:
                    process.cpu_mark = sight.cpu
                elif sight.cpu - process.cpu_mark > self.seconds + SLACK:
                    return Verdict("limit_time", f"the call used more than {self.seconds:g} s of CPU")
        return self._blocked(process, now, age) if self.walls.wall else None

    def _blocked(self, process: Process, now: float, age: float) -> Verdict | None:
        """Compare two looks that lie a window apart, from half the wall limit on."""
        if age < self.window:
            return None
        if process.look is None:
            process.look = (now, look(process.pid), 1)
            return None
        then, before, number = process.look
        if now - then < self.window:
            return None
        after = look(process.pid)
        if before is not None and after is not None and after.state != "R":
            waited = (after.delay - before.delay) if after.delay is not None and before.delay is not None else 0.0
            if waited < self.window / 4:
                return Verdict("limit_time", f"the call was blocked for {2 * self.window:g} s")
        if number >= WINDOWS:
            return Verdict("infra_error", "the call got too little CPU time within its wall limit")
        process.look = (now, after, number + 1)
        return None
