"""Calls that a process makes by a plan, and what each gave: run by two processes, their files have to be equal.

The plan follows from a number alone. The load does not: how many sessions at once, how many calls in a batch, which
processes are killed on the way, and what else the machine does. Tools use everything that must not matter: chance,
time, hash order, floats, garbage, memory of earlier calls.

    python -m tests.bench.sandbox_replaying FILE --sessions 100 --at-once 4 --batch 32
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from typing import Any

from astra_jobs.sandbox.pool import process_sandbox
from astra_jobs.sandbox.pool.engine import Engine
from astra_jobs.sandbox.protocol import SandboxLimits, ToolCode

CALLS = 100
"""Calls of one session."""
ENVIRONMENTS = 12
TEXT, STATE = 16, 16
"""Bytes of a call in a file: a hash of outcome and text, and the session's state."""
ROW = TEXT + STATE
HOG = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(200_000))\n"
NUMBER = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
IMPORTS = "import collections, datetime, decimal, hashlib, math, os, random, secrets, statistics, time, uuid\n"
PARTS = (
    "random.random() * {a}",
    "random.sample(range({a} + 50), 5)",
    "round(random.gauss(x, {b}), 9)",
    "time.time() - x",
    "time.monotonic_ns() % ({a} + 7)",
    "datetime.datetime.now().isoformat()",
    "str(uuid.uuid4())",
    "secrets.token_hex(4)",
    "os.urandom(3).hex()",
    "list({{str(x * k) for k in range({a} + 9)}})",
    "list({{k * 0.1: k for k in range({b} + 3)}})",
    "[hash(('a', x, {a})), hash(str(x))]",
    "list(set('sandbox and {a}') | {{str(x)}})",
    "math.sin(x) * math.exp(-{b} / 7) + math.fsum([0.1] * ({a} % 9 + 2))",
    "sum(1 / (k + 1 + {b}) for k in range(x % 40 + 3))",
    "statistics.fmean([x, {a}, {b} / 3])",
    "str(decimal.Decimal(x) / decimal.Decimal({a} + 3))",
    "collections.Counter(str(x ** {b})).most_common(3)",
    "hashlib.sha256(repr((x, SEEN[-3:])).encode()).hexdigest()[:8]",
    "len(SEEN) / ({a} + 0.3)",
    "repr({{'k%d' % k: {{k, str(k)}} for k in range(x % 4 + 1)}})",
    "(x * {a}) / (x % {c})",
)
"""Expressions of a tool; the last divides by zero now and then, whose message is a result too."""


def tool(draw: random.Random, name: str) -> ToolCode:
    """Return one generated tool: it remembers its calls, and returns what several expressions gave."""
    chosen = draw.sample(PARTS, 5)
    lines = [f"    found.append({part.format(a=draw.randint(1, 40), b=draw.randint(1, 9), c=draw.randint(3, 30))})" for part in chosen]
    sleep = ["    time.sleep(0.25)"] if draw.random() < 0.5 else []
    cycle = ["    ring = []", "    ring.append(ring)"] if draw.random() < 0.5 else []
    body = [f"def {name}(x):", "    found = []", "    SEEN.append(x)", *sleep, *cycle, *lines]
    last = f"    return json.loads(json.dumps({{'found': found, 'seen': len(SEEN), 'place': {draw.random()!r}}}))"
    return ToolCode(name=name, parameters=NUMBER, code="\n".join([IMPORTS + "import json", "SEEN = []", *body, last]) + "\n")


def environment(number: int) -> list[ToolCode]:
    """Return the tools of one environment."""
    draw = random.Random(f"environment {number}")
    return [tool(draw, f"tool{one}") for one in range(4)]


def calls_of(session: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the calls of one session; some are refused before they run."""
    draw = random.Random(f"session {session}")
    names = ["tool0", "tool1", "tool2", "tool3"]
    calls = [(draw.choice(names), {"x": draw.randint(0, 200)}) for _ in range(CALLS)]
    calls[draw.randrange(CALLS)] = ("nothing", {"x": 1})
    calls[draw.randrange(CALLS)] = ("tool0", {"x": "one"})
    return calls


class Player:
    """Makes all calls of the plan and writes a row for each, at its place."""

    def __init__(self, told: argparse.Namespace, file: Any) -> None:
        self.told, self.file = told, file
        self.outcomes: dict[str, int] = {}
        self.killed = 0

    async def play(self) -> None:
        limits = SandboxLimits(seconds=20.0, memory_mib=256, output_chars=8192)
        async with process_sandbox(limits, live=64, environments=ENVIRONMENTS) as engine:
            digests = [await engine.put(environment(number)) for number in range(ENVIRONMENTS)]
            sessions = iter(range(self.told.sessions))
            await asyncio.gather(*(self._worker(engine, digests, sessions) for _ in range(self.told.at_once)))

    async def _worker(self, engine: Engine, digests: list[str], sessions: Any) -> None:
        for session in sessions:
            rows = await self._session(engine, digests[session % ENVIRONMENTS], session)
            self.file.seek(session * CALLS * ROW)
            self.file.write(rows)

    async def _session(self, engine: Engine, digest: str, session: int) -> bytes:
        calls, rows = calls_of(session), []
        name = await engine.open(digest, session + self.told.shift)
        for first in range(0, CALLS, self.told.batch):
            results = await engine.call_many(name, first, calls[first : first + self.told.batch])
            for result in results:
                self.outcomes[result.outcome] = self.outcomes.get(result.outcome, 0) + 1
                said = blake2b(f"{result.outcome} {result.text}".encode(), digest_size=TEXT)
                rows.append(said.digest() + bytes.fromhex(result.state))
            if self.told.kill_every and session % self.told.kill_every == 0 and (pid := engine.pids().get(name)):
                with contextlib.suppress(ProcessLookupError):  # it has just made room for another, and nobody was told yet
                    os.kill(pid, signal.SIGKILL)
                    self.killed += 1
        await engine.close(name)
        assert len(rows) == CALLS
        return b"".join(rows)


def played(file: Path, sessions: int, *, at_once: int, batch: int, kill_every: int = 0, hogs: int = 0, shift: int = 0) -> dict[str, int]:
    """Play the plan in a process of its own; return its outcomes and how many processes were killed."""
    told = {"sessions": sessions, "at-once": at_once, "batch": batch, "kill-every": kill_every, "hogs": hogs, "shift": shift}
    command = [sys.executable, "-m", "tests.bench.sandbox_replaying", str(file), *(f"--{key}={value}" for key, value in told.items())]
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONHASHSEED": str(batch)})
    assert said.returncode == 0, said.stderr
    return {name: int(count) for name, count in (line.split() for line in said.stdout.splitlines())}


def differences(one: bytes, other: bytes) -> tuple[int, int]:
    """Return how many calls differ in outcome or text, and how many in state."""
    assert len(one) == len(other)
    if one == other:
        return 0, 0
    rows = range(0, len(one), ROW)
    texts = sum(one[at : at + TEXT] != other[at : at + TEXT] for at in rows)
    return texts, sum(one[at + TEXT : at + ROW] != other[at + TEXT : at + ROW] for at in rows)


def main() -> None:
    """Play, and print outcomes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    for name in ("sessions", "at-once", "batch", "kill-every", "hogs", "shift"):
        parser.add_argument(f"--{name}", type=int, default=0)
    told = parser.parse_args()
    hogs = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(told.hogs)]
    try:
        with told.file.open("wb") as file:
            player = Player(told, file)
            asyncio.run(player.play())
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    for name, count in sorted((player.outcomes | {"killed": player.killed}).items()):
        print(name, count)


if __name__ == "__main__":
    main()
