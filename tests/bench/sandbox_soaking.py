"""Rounds of sessions and calls against a real server process, and a look at what it holds between them.

Sessions end in every way: by request, by their lease, by a limit, by a crash of their tool; connections are cut in the
middle of a request and before its answer. Every result is compared with the only right one. Nothing here is timed.

    python -m tests.bench.sandbox_soaking --rounds 4 --sessions 80 --calls 7
"""

import argparse
import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import uvloop

from astra_jobs.api.base import digest_of
from tests.bench.sandbox_figures import NOTHING, descriptors, own_memory, zombies
from tests.bench.sandbox_load import below, exchange, pinned_server, request

WORKERS = 8
GROUP = 8
"""Sessions that a worker opens at once; one of them is left to its lease."""
ENVIRONMENTS = 6
WARM = 4
"""Environments that the server keeps: fewer than there are, so that zygotes go and come back."""
SERVER = (
    "--seconds",
    "0.2",
    "--memory-mib",
    "128",
    "--live",
    "64",
    "--environments",
    str(WARM),
    "--lease-seconds",
    "10",
    "--drain-seconds",
    "0",
)
LEASE_MS = 2_000
"""Lease of sessions that are left to it; no longer than a round can wait, no shorter than a busy machine needs for a batch.

Those that are closed have five times as long.
"""
PATIENCE = 60.0
TROUBLE = 49
"""Every so many sessions end with a call that meets a wall, but for those whose lease is short."""
ENDS = (
    ("crash", "import os\ndef crash():\n    os._exit(3)\n", "tool_error"),
    ("long", "def long():\n    return 'x' * 100_000\n", "limit_output"),
    ("large", "def large():\n    return len(bytearray(1 << 30))\n", "limit_memory"),
    ("wrong", "def wrong():\n    raise KeyError('no')\n", "tool_error"),
    ("spin", "def spin():\n    while True: pass\n", "limit_time"),
)
COUNT = "N = [0]\ndef count(x):\n    N[0] += 1\n    return [x, N[0]]\n"
NUMBER = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


@dataclass(frozen=True)
class Sight:
    """What a server holds while no session is open; memory is of private pages, in bytes, the largest zygote's."""

    processes: int
    zombies: int
    front_descriptors: int
    zygote_descriptors: int
    front_memory: int
    zygote_memory: int


class Size(NamedTuple):
    """Rounds of so many sessions with so many calls each; the first rounds warm the server up."""

    rounds: int
    warm: int
    sessions: int
    calls: int
    front_band: int
    """Bytes by which the front's memory may be above the most of the warm-up."""
    zygote_band: int


def tools(number: int) -> list[dict[str, Any]]:
    """Return the tools of one of the environments."""
    counting = {"name": "count", "parameters": NUMBER, "code": f"{COUNT}\n# {number}\n"}
    return [counting, *({"name": name, "parameters": NOTHING, "code": code} for name, code, _ in ENDS)]


class Line:
    """One connection that is kept: asks, and reads the whole answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return what the JSON of an answer says; None for an empty one."""
        data = await self.read(method, path, body)
        return json.loads(data) if data else None

    async def read(self, method: str, path: str, body: Any = None) -> bytes:
        """Return an answer's body."""
        self.writer.write(request(method, path, body))
        head = await self.reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        data = await self.reader.readexactly(int(found[1]) if found else 0)
        assert head.split(b" ", 2)[1] in (b"200", b"204"), (head, data[:300])
        return data

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def line(port: int) -> Line:
    """Connect."""
    return Line(*await asyncio.open_connection("127.0.0.1", port))


class Soak:
    """One server under rounds of work."""

    def __init__(self, port: int, pid: int, calls: int, lease_ms: int = LEASE_MS) -> None:
        self.port, self.pid, self.calls, self.lease_ms = port, pid, calls, lease_ms
        self.sessions = self.made = self.ended_badly = 0
        self.bare = descriptors(pid) - len(below(pid))
        """The front's descriptors before any work: it holds one more for each process, and one for each connection."""

    async def round(self, number: int, sessions: int) -> Sight:
        """Do one round's work over new connections; return what is there when all sessions have gone."""
        groups = iter(range(sessions // GROUP))
        await asyncio.gather(*(self._worker(number, worker, groups) for worker in range(WORKERS)), self._cut(number))
        own = await line(self.port)
        await self._quiet(own)
        sight = self._look()
        await own.close()
        return sight

    async def _worker(self, number: int, worker: int, groups: Any) -> None:
        own = await line(self.port)
        set_of = tools((number + worker % 3) % ENVIRONMENTS)
        digest = digest_of(set_of)
        await own.ask("PUT", f"/v1/envs/{digest}", {"tools": set_of})
        for group in groups:
            await self._group(own, digest, [f"soak-{number}-{group}-{one}" for one in range(GROUP)])
        await own.close()

    async def _group(self, own: Line, digest: str, names: list[str]) -> None:
        wanted = [{"session": name, "environment": digest, "seed": 0, "lease_ms": 5 * self.lease_ms} for name in names[:-1]]
        wanted.append({"session": names[-1], "environment": digest, "seed": 0, "lease_ms": self.lease_ms})
        await own.ask("POST", "/v1/sessions", {"sessions": wanted})
        half = self.calls // 2
        for seqs in (range(half), range(half, self.calls)):
            calls = [{"session": name, "seq": seq, "tool": "count", "arguments": {"x": seq}} for seq in seqs for name in names]
            results = (await own.ask("POST", "/v1/calls", {"calls": calls}))["results"]
            found = [(one.get("outcome"), one.get("text")) for one in results]
            assert found == [("ok", f"[{seq},{seq + 1}]") for seq in seqs for _ in names], found
            self.made += len(calls)
        for name in names:
            self.sessions += 1
            if self.sessions % TROUBLE == 0 and name != names[-1]:
                await self._trouble(own, name)
        for name in names[:-1]:
            await own.ask("DELETE", f"/v1/sessions/{name}")

    async def _trouble(self, own: Line, session: str) -> None:
        tool, _, outcome = ENDS[self.sessions // TROUBLE % len(ENDS)]
        call = {"session": session, "seq": self.calls, "tool": tool, "arguments": {}}
        (result,) = (await own.ask("POST", "/v1/calls", {"calls": [call]}))["results"]
        assert result["outcome"] == outcome, (tool, result)
        self.ended_badly += 1

    async def _cut(self, number: int) -> None:
        """Cut one connection within a request and one before the answer; the session of the second is left to its lease."""
        digest, name = digest_of(tools(number % ENVIRONMENTS)), f"cut-{number}"
        wanted = {"session": name, "environment": digest, "seed": 0, "lease_ms": self.lease_ms}
        await exchange(self.port, request("PUT", f"/v1/envs/{digest}", {"tools": tools(number % ENVIRONMENTS)}))
        await exchange(self.port, request("POST", "/v1/sessions", {"sessions": [wanted]}))
        call = request("POST", "/v1/calls", {"calls": [{"session": name, "seq": 0, "tool": "count", "arguments": {"x": 0}}]})
        for data in (call[: len(call) - 9], call):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(data)
            await writer.drain()
            writer.transport.abort()

    async def _quiet(self, own: Line) -> None:
        """Wait until no session is open, none of their processes is left, and no connection but the one that asks.

        A process can be gone a moment before the front closes its channel to it: what is not closed in the end is a leak.
        """
        until = time.monotonic() + PATIENCE
        while True:
            text = (await own.read("GET", "/metrics")).decode()
            figures = dict(re.findall(r"^astra_sandbox_(\w+) (\S+)$", text, re.MULTILINE))
            held = [float(figures[f"pool_{name}"]) for name in ("sessions", "processes", "busy", "calls_pending")]
            held.append(float(figures["http_connections"]) - 1)
            processes = below(self.pid)
            spare = descriptors(self.pid) - len(processes) - self.bare - 1
            if not any(held) and len(processes) <= 1 + WARM and not zombies(processes) and not spare:
                return
            assert time.monotonic() < until, (held, processes, zombies(processes), spare)
            await asyncio.sleep(0.05)

    def _look(self) -> Sight:
        processes = below(self.pid)
        return Sight(
            processes=len(processes),
            zombies=zombies(processes),
            front_descriptors=descriptors(self.pid),
            zygote_descriptors=max(map(descriptors, processes)),
            front_memory=own_memory(self.pid),
            zygote_memory=max(map(own_memory, processes)),
        )


async def rounds(work: Soak, count: int, sessions: int) -> AsyncIterator[Sight]:
    """Do so many rounds; give what was seen after each."""
    for number in range(count):
        yield await work.round(number, sessions)


async def _tell(port: int, pid: int, told: argparse.Namespace) -> None:
    work = Soak(port, pid, told.calls, told.lease_ms)
    async for sight in rounds(work, told.rounds, told.sessions):
        done = {"sessions": work.sessions, "made": work.made, "ended_badly": work.ended_badly}
        print(json.dumps({"done": done, "sight": asdict(sight)}), flush=True)


def main() -> None:
    """Soak a server of its own; print what was done and seen after each round. What is not known here are options of the server."""
    parser = argparse.ArgumentParser()
    for name in ("rounds", "sessions", "calls"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--lease-ms", type=int, default=LEASE_MS)
    told, server = parser.parse_known_args()
    with pinned_server(None, *SERVER, *server) as (port, pid):
        uvloop.run(_tell(port, pid, told))


if __name__ == "__main__":
    main()
