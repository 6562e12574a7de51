"""Load for a sandbox server: raw connections that send the next request when the last is answered, and count every answer.

It is as light as Python allows, so that the server is what is measured; run it on another core than the server's. Every
answer is looked at: a call that did not give its own number back is an error, and errors are part of the figures.

    python -m tests.bench.sandbox_load --server-cpu 0 --load-cpu 1 --seconds 5
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop

from astra_jobs.api.base import digest_of
from tests.bench.machine import machine
from tests.gvisor import inside

KEY = "key-of-the-load-0123456789"
SESSIONS = 64
"""Sessions of one measurement, shared out among its connections."""
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
ECHO = {"name": "echo", "parameters": SCHEMA, "code": "def echo(x):\n    return {'x': x, 'rooms': ['a', 'b'], 'free': True}\n"}
LENGTH = re.compile(rb"content-length: (\d+)")
X = re.compile(rb'\{\\"x\\":(\d+)')
Figures = dict[str, Any]


def environment(number: int = 0) -> tuple[str, list[dict[str, Any]]]:
    """Return digest and tools of one of many environments."""
    tools = [{**ECHO, "code": f"{ECHO['code']}\n# environment {number}\n"}]
    return digest_of(tools), tools


def request(method: str, path: str, body: Any = None, key: str = KEY) -> bytes:
    """Return a whole request."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data


def below(pid: int) -> set[int]:
    """Return the processes below one, zombies included."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    wave = {pid}
    while wave:
        wave = {one for one, parent in parents.items() if parent in wave}
        found |= wave
    return found


def cpu_of(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of a process, and of those below it, the ended ones included: what a busy machine hardly changes."""
    return _cpu(pid), sum(map(_cpu, below(pid)))


def _cpu(pid: int) -> float:
    try:
        own = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return own + (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # and of children that were waited for


class Connection(asyncio.Protocol):
    """Sends what ``step`` gives after each whole answer, until it gives nothing."""

    def __init__(self, step: Callable[[bytes | None], bytes | None]) -> None:
        self.step = step
        self.buffer = b""
        self.times: list[float] = []
        self.sent = 0.0
        self.finished = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._next(None)

    def _next(self, answer: bytes | None) -> None:
        data = self.step(answer)
        if data is None:
            self.transport.close()
            if not self.finished.done():
                self.finished.set_result(None)
            return
        self.sent = time.perf_counter()
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer = self.buffer + data if self.buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = LENGTH.search(buffer, 0, end)
        size = end + 4 + (int(found[1]) if found else 0)
        if len(buffer) >= size:
            self.times.append(time.perf_counter() - self.sent)
            self.buffer = b""
            self._next(buffer)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_exception(error or ConnectionError("the server closed the connection"))


async def exchange(port: int, data: bytes) -> bytes:
    """Send one request; return the body of its answer, which must be fine."""
    answers: list[bytes] = []

    def step(answer: bytes | None) -> bytes | None:
        if answer is None:
            return data
        answers.append(answer)
        return None

    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(step), "127.0.0.1", port)
    await connection.finished
    head, _, body = answers[0].partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] in (b"200", b"204"), answers[0]
    return body


class Caller:
    """One connection's calls: batches over its sessions, numbers counted for each."""

    def __init__(self, sessions: list[str], batch: int, until: float) -> None:
        self.sessions = sessions
        self.batch = batch
        self.until = until
        self.number = 0
        self.calls = self.errors = 0
        self.expected: list[int] = []
        self.examples: list[bytes] = []

    def step(self, answer: bytes | None) -> bytes | None:
        if answer is not None:
            self.calls += self.batch
            if list(map(int, X.findall(answer))) != self.expected:
                self.errors += 1
                self.examples.append(answer[:300])
        if time.perf_counter() >= self.until:
            return None
        first = self.number
        self.number += self.batch
        self.expected = list(range(first, self.number))
        names, count = self.sessions, len(self.sessions)
        calls = ",".join(
            f'{{"session":"{names[number % count]}","seq":{number // count},"tool":"echo","arguments":{{"x":{number}}}}}'
            for number in self.expected
        )
        return request("POST", "/v1/calls", f'{{"calls":[{calls}]}}'.encode())


def percentiles(times: list[float]) -> Figures:
    """Return milliseconds."""
    ordered = sorted(times)
    return {f"p{name}_ms": round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) for name, share in
            (("50", 0.5), ("99", 0.99), ("99.9", 0.999))}  # fmt: skip


async def measure_calls(port: int, pid: int, connections: int, batch: int, seconds: float) -> Figures:
    """Return calls a second and the times of requests, over so many connections."""
    digest, tools = environment()
    await exchange(port, request("PUT", f"/v1/envs/{digest}", {"tools": tools}))
    each = max(1, min(batch, SESSIONS // connections))
    names = [[f"load-{time.monotonic_ns()}-{one}-{two}" for two in range(each)] for one in range(connections)]
    wanted = [{"session": name, "environment": digest, "seed": 0} for group in names for name in group]
    await exchange(port, request("POST", "/v1/sessions", {"sessions": wanted}))
    warm = [Caller(group, each, 0.0) for group in names]
    for caller in warm:
        caller.until = time.perf_counter() + 60
        await exchange(port, caller.step(None) or b"")
    before, spent = cpu_of(pid), time.process_time()
    began = time.perf_counter()
    callers = [Caller(group, batch, began + seconds) for group in names]
    for caller in callers:
        caller.number = each
    loop = asyncio.get_running_loop()
    made = [(await loop.create_connection(lambda caller=caller: Connection(caller.step), "127.0.0.1", port))[1] for caller in callers]
    await asyncio.gather(*(one.finished for one in made))
    took = time.perf_counter() - began
    busy = (time.process_time() - spent) / took
    front, children = (after - earlier for earlier, after in zip(before, cpu_of(pid), strict=True))
    calls = sum(caller.calls for caller in callers)
    times = [moment for one in made for moment in one.times]
    for name in [name for group in names for name in group]:
        await exchange(port, request("DELETE", f"/v1/sessions/{name}"))
    figures = {"what": "calls", "connections": connections, "batch": batch, "sessions": len(wanted), "calls": calls}
    errors = sum(caller.errors for caller in callers)
    for example in [example for caller in callers for example in caller.examples][:2]:
        print(example, file=sys.stderr)
    cpu = {"front_us_a_call": round(1e6 * front / calls, 1), "sessions_us_a_call": round(1e6 * children / calls, 1)}
    cpu |= {"calls_per_cpu_second": round(calls / (front + children)), "load_busy": round(busy, 2)}
    return {**figures, "errors": errors, "calls_per_second": round(calls / took), **percentiles(times), **cpu}


async def measure_creation(port: int, count: int) -> Figures:
    """Return the times of opening a session with its first call, one after the other in one environment."""
    digest, tools = environment()
    await exchange(port, request("PUT", f"/v1/envs/{digest}", {"tools": tools}))
    state = {"number": 0}
    prefix = f"made-{time.monotonic_ns()}"
    opened: list[float] = []
    called: list[float] = []

    def step(answer: bytes | None) -> bytes | None:
        number, phase = divmod(state["number"], 3)
        state["number"] += 1
        name = f"{prefix}-{number}"
        if phase == 0:
            return (
                None
                if number == count
                else request("POST", "/v1/sessions", {"sessions": [{"session": name, "environment": digest, "seed": 0}]})
            )
        if phase == 1:
            opened.append(connection.times[-1])
            return request("POST", "/v1/calls", {"calls": [{"session": name, "seq": 0, "tool": "echo", "arguments": {"x": 1}}]})
        assert answer is not None
        assert b'"ok"' in answer, answer
        called.append(connection.times[-1])
        return request("DELETE", f"/v1/sessions/{name}")

    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(step), "127.0.0.1", port)
    await connection.finished
    both = [one + two for one, two in zip(opened, called, strict=True)]
    return {"what": "open and first call", "count": count, **percentiles(both), "open_alone": percentiles(opened)}


async def measure_cold(port: int, pid: int, environments: int, sessions: int) -> Figures:
    """Return the seconds until every session of many new environments has answered its first call."""
    began = time.perf_counter()
    before = cpu_of(pid)
    prefix = f"cold-{time.monotonic_ns()}"

    async def one(number: int) -> int:
        digest, tools = environment(number + 1)
        await exchange(port, request("PUT", f"/v1/envs/{digest}", {"tools": tools}))
        names = [f"{prefix}-{number}-{session}" for session in range(sessions)]
        wanted = [{"session": name, "environment": digest, "seed": 0} for name in names]
        await exchange(port, request("POST", "/v1/sessions", {"sessions": wanted}))
        calls = [{"session": name, "seq": 0, "tool": "echo", "arguments": {"x": 1}} for name in names]
        return (await exchange(port, request("POST", "/v1/calls", {"calls": calls}))).count(b'"ok"')

    answered = sum(await asyncio.gather(*map(one, range(environments))))
    took = time.perf_counter() - began
    front, children = (after - earlier for earlier, after in zip(before, cpu_of(pid), strict=True))
    cpu = {"front_cpu_s": round(front, 2), "sessions_cpu_s": round(children, 2)}
    return {"what": "cold", "environments": environments, "sessions": sessions, "answered": answered, "seconds": round(took, 2), **cpu}


async def measure_front(port: int, connections: int, seconds: float) -> Figures:
    """Return requests a second that need no engine: the share of HTTP in everything else."""
    data, until = request("GET", "/healthz"), time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(connections):
        factory = lambda: Connection(lambda answer: data if time.perf_counter() < until else None)  # noqa: E731
        made.append((await loop.create_connection(factory, "127.0.0.1", port))[1])
    await asyncio.gather(*(one.finished for one in made))
    times = [moment for one in made for moment in one.times]
    return {"what": "healthz", "connections": connections, "requests_per_second": round(len(times) / seconds), **percentiles(times)}


@contextlib.contextmanager
def listening(command: list[str], cpu: int | None) -> Iterator[tuple[int, int]]:
    """Give port and process id of a program that says ``listening on …:PORT``, bound with all its children to one core."""
    pin = (lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        with said.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=pin)
        try:
            until = time.monotonic() + 60
            while (found := re.search(r"listening on .*:(\d+)", said.read_text())) is None:
                assert process.poll() is None, said.read_text()
                assert time.monotonic() < until
                time.sleep(0.02)
            yield int(found[1]), process.pid
        finally:
            process.terminate()
            process.wait(60)


@contextlib.contextmanager
def pinned_server(cpu: int | None, *arguments: str, gvisor: bool = False) -> Iterator[tuple[int, int]]:
    """Give port and process id of a sandbox server that is bound, with all its children, to one core; maybe in gVisor."""
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        key.write_text(KEY)
        command = [sys.executable, "-m", "astra_jobs.sandbox.server", "--port", "0", "--key-file", str(key), *arguments]
        with listening(inside(command, Path(folder), "host") if gvisor else command, cpu) as both:
            yield both


async def everything(port: int, pid: int, seconds: float, short: bool) -> None:
    """Measure and print a line for each measurement."""
    for connections in (1, 64):
        print(json.dumps(await measure_front(port, connections, min(2.0, seconds))), flush=True)
    for batch in (1, 32):
        for connections in (1, 8, 64):
            print(json.dumps(await measure_calls(port, pid, connections, batch, seconds)), flush=True)
    print(json.dumps(await measure_creation(port, 100 if short else 500)), flush=True)
    print(json.dumps(await measure_cold(port, pid, 32 if short else 256, 8)), flush=True)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--server-cpu", type=int)
    parser.add_argument("--load-cpu", type=int)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--short", action="store_true", help="a tenth of the cold start")
    told = parser.parse_args()
    print(json.dumps(machine()), flush=True)
    with pinned_server(told.server_cpu, "--drain-seconds", "0") as (port, pid):
        if told.load_cpu is not None:
            os.sched_setaffinity(0, {told.load_cpu})
        uvloop.run(everything(port, pid, told.seconds, told.short))


if __name__ == "__main__":
    main()
