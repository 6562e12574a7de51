"""Looking at processes whose call runs for long: CPU spent, blocked, or starved.

The kernel ends an honest call at its CPU limit; this is for the tool that disarmed its timer, and for the one that
waits instead of working. A process that never got its CPU time is not to blame: that is infrastructure.
"""

import os
import random
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
"""Seconds that a fork may take, and the news of a process's end."""
STILL = 0.05
"""Seconds between two looks at a process that may be standing still."""
SAMPLES = 16
"""Looks in a window, about evenly spread; when exactly, a tool cannot know."""
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
    disarmed: bool = False
    """The kernel's timer should have ended it before: the tool disarmed it, or works where no call runs."""


def look(pid: int) -> Sight | None:
    """Look at a process; None where the system does not tell."""
    try:
        fields = _read(f"/proc/{pid}/stat").decode("ascii", "replace").rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError, ValueError):
        return None
    try:
        ran, waited = _read(f"/proc/{pid}/schedstat").split()[:2]
        return Sight(int(ran) / 1e9 or cpu, int(waited) / 1e9, fields[0])
    except (OSError, IndexError, ValueError):
        return Sight(cpu, None, fields[0])


def _read(name: str) -> bytes:
    """Read a small file of /proc at a third of the system calls that ``open`` makes; many are read each second."""
    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 4096)
    finally:
        os.close(file)


def stopped(pid: int) -> bool:
    """Tell whether a process stands still because somebody stopped it; SIGKILL ends it all the same."""
    sight = look(pid) if pid else None
    return sight is not None and sight.state in "Tt"


class Window:
    """What was seen of a running call's process in half a wall limit."""

    def __init__(self, now: float, sight: Sight | None, number: int) -> None:
        self.start = self.at = now
        self.first = self.last = sight
        self.number = number
        self.due = now
        self.hungry = 0.0
        """Seconds in which it could have run and did not, as far as the system does not count them itself."""

    def add(self, now: float, sight: Sight | None) -> None:
        """Take a look. A delay is counted when a process gets its CPU: until then, no progress in state R is all there is."""
        past, self.at = now - self.at, now
        before, self.last = self.last, sight
        if before is not None and sight is not None and sight.state == "R":
            enough = past / 4 if sight.delay is None else 0.0
            self.hungry += past if sight.cpu - before.cpu <= enough else 0.0

    def waited(self) -> float | None:
        """Return the seconds that the process waited for a CPU; None where there is no evidence."""
        if self.first is None or self.last is None:
            return None
        told = 0.0 if self.first.delay is None or self.last.delay is None else self.last.delay - self.first.delay
        return max(told, self.hungry)


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
            return self._hung_up(process, now)
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
                    return Verdict("limit_time", f"the call used more than {self.seconds:g} s of CPU", disarmed=True)
        return self._blocked(process, now, age) if self.walls.wall else None

    def stands_still(self, process: Process, now: float) -> bool:
        """Tell whether the running call waits in the kernel: it used no CPU time between two looks, and asked for none."""
        if not process.pid or now - process.since < STILL:
            return False
        before = process.rest
        if before is not None and now - before[0] < STILL:
            return before[2]
        sight = look(process.pid)
        if sight is None:
            return False
        process.rest = now, sight.cpu, before is not None and sight.state != "R" and sight.cpu - before[1] < STILL / 50
        return process.rest[2]

    def _hung_up(self, process: Process, now: float) -> Verdict | None:
        """Give a process that closed its socket a moment to end, and its zygote time to tell how it ended."""
        if now - process.hung_up <= HANG_UP:
            return None
        sight = look(process.pid) if process.pid else None
        if sight is None or sight.state not in "ZX":
            return Verdict("tool_error", "the tool closed its session's socket")
        return Verdict("infra_error", "how the process ended was not told") if now - process.hung_up > START else None

    def _blocked(self, process: Process, now: float, age: float) -> Verdict | None:
        """Look now and then from half the wall limit on; decide when a window is over."""
        watch = process.look
        if age < self.window or (watch is not None and now < watch.due):
            return None
        sight = look(process.pid)
        if sight is not None and sight.state in "Tt" and self.walls.signals:
            return Verdict("infra_error", "somebody stopped the session's process")
        if watch is None:
            watch = process.look = Window(now, sight, 1)
        else:
            watch.add(now, sight)
        if now - watch.start >= self.window:
            waited = watch.waited()
            if waited is not None and waited < self.window / 4:
                return Verdict("limit_time", f"the call was blocked for {2 * self.window:g} s")
            if watch.number >= WINDOWS:
                return Verdict("infra_error", "the call got too little CPU time within its wall limit")
            watch = process.look = Window(now, sight, watch.number + 1)
        watch.due = min(watch.start + self.window, now + self.window / SAMPLES * random.uniform(0.5, 1.5))
        return None
