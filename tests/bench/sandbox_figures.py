"""What the sandbox's benches read from the system and ask of a server over one connection, and where their results go."""

import asyncio
import contextlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any

from astra_jobs.api.base import digest_of
from tests.bench.machine import machine
from tests.bench.sandbox_load import Figures, below, environment, exchange, percentiles, request

RESULTS = Path(__file__).parent / "results"
PATIENCE = 60.0
SPIN = "def spin():\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n"
NAP = "import select\ndef nap():\n    select.select([], [], [])\n"
NOTHING = {"type": "object", "properties": {}}


def record(name: str, **numbers: Any) -> None:
    """Append one line of raw numbers to a file of results, with machine, date and load, and print it."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(machine() | numbers) + "\n")
    print(f"\n{name}:", *(f"  {key}: {json.dumps(value)}" for key, value in numbers.items()), sep="\n")


def load() -> float:
    """Return the machine's load of the last minute."""
    return round(os.getloadavg()[0], 2)


def pss(pid: int) -> int:
    """Return a process's proportional share of memory in bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) << 10 if found else 0
    return 0


def own_memory(pid: int) -> int:
    """Return what a process alone would give back: its private pages, in bytes."""
    for name in ("smaps_rollup", "smaps"):  # gVisor has the long one only
        try:
            text = Path(f"/proc/{pid}/{name}").read_text()
        except OSError:
            continue
        return sum(int(size) << 10 for size in re.findall(r"^(?:Private_Clean|Private_Dirty):\s+(\d+) kB", text, re.MULTILINE))
    return 0


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def zombies(pids: set[int]) -> int:
    """Return how many of these processes have ended and are still there."""
    count = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            count += Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return count


async def opened(port: int, digest: str, tools: Any, names: list[str]) -> None:
    """Register an environment and open sessions of it."""
    await exchange(port, request("PUT", f"/v1/envs/{digest}", {"tools": tools}))
    wanted = [{"session": name, "environment": digest, "seed": 0} for name in names]
    await exchange(port, request("POST", "/v1/sessions", {"sessions": wanted}))


async def called(port: int, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make calls in one request; return their results."""
    results: list[dict[str, Any]] = json.loads(await exchange(port, request("POST", "/v1/calls", {"calls": calls})))["results"]
    return results


async def measure_memory(port: int, pid: int, count: int) -> Figures:
    """Return KiB of one live session that has made a call: the share of everything, and of it the processes of sessions."""
    digest, tools = environment()
    names = [f"memory-{time.monotonic_ns()}-{number}" for number in range(count + 1)]
    await opened(port, digest, tools, names)
    calls = [{"session": name, "seq": 0, "tool": "echo", "arguments": {"x": 1}} for name in names]
    await called(port, calls[:1])
    standing = below(pid)
    before = pss(pid) + sum(map(pss, standing))
    await called(port, calls[1:])
    live = below(pid) - standing
    after, sessions, private = pss(pid) + sum(map(pss, standing | live)), sum(map(pss, live)), sum(map(own_memory, live))
    for name in names:
        await exchange(port, request("DELETE", f"/v1/sessions/{name}"))
    each = {"all_pss_kib": after - before, "session_pss_kib": sessions, "session_private_kib": private}
    return {"what": "memory a session", "sessions": len(live), **{name: round(size / count / 1024) for name, size in each.items()}}


async def measure_kills(port: int, pid: int, seconds: float, spins: int, naps: int) -> Figures:
    """Return milliseconds from a limit to the answer, for a tool that works, one at a time, and for many that wait at once.

    ``gone`` says when none of the processes that waited was left.
    """
    tools = [{"name": name, "parameters": NOTHING, "code": code} for name, code in (("spin", SPIN), ("nap", NAP))]
    prefix, digest = f"kill-{time.monotonic_ns()}", digest_of(tools)
    names = [f"{prefix}-{number}" for number in range(spins + naps)]
    await opened(port, digest, tools, names)

    async def killed(name: str, tool: str, limit: float) -> float:
        began = time.perf_counter()
        (result,) = await called(port, [{"session": name, "seq": 0, "tool": tool, "arguments": {}}])
        assert result["outcome"] == "limit_time", result
        return time.perf_counter() - began - limit

    await called(port, [{"session": names[0], "seq": 9, "tool": "none", "arguments": {}}])
    working = [await killed(name, "spin", seconds) for name in names[:spins]]
    wall, standing, began = 1.0 + 5.0 * seconds, len(below(pid)), time.perf_counter()
    waiting = await asyncio.gather(*(killed(name, "nap", wall) for name in names[spins:]))
    while len(below(pid)) > standing:
        assert time.perf_counter() - began < PATIENCE
        await asyncio.sleep(0.002)
    gone = time.perf_counter() - began - wall
    return {
        "what": "limit to kill", "cpu_limit_s": seconds, "wall_limit_s": wall, "working": {"count": spins, **percentiles(working)},
        "waiting": {"count": naps, **percentiles(waiting), "gone_ms": round(1000 * gone, 1)},
    }  # fmt: skip
