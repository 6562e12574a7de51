"""Real servers that are killed, stopped and drained under load: every session ends as on a server that nothing happens to."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from astra_jobs.api.errors import BadInput
from astra_jobs.sandbox.protocol import SandboxLimits, ToolCode
from astra_jobs.sandbox.remote import Settings, remote_sandbox
from tests.patience import patience

KEY = "a-key-for-tests-0123456789"
SESSIONS, CALLS = 40, 10
NUMBER = {"type": "object", "properties": {"x": {"type": "integer"}}}
TOOLS = [
    ToolCode(name="fold", parameters=NUMBER, code="N = [0]\ndef fold(x):\n    N[0] = (N[0] * 31 + x) % 1000003\n    return N[0]\n"),
    ToolCode(name="dice", parameters=NUMBER, code="import random\ndef dice(x):\n    return [random.random(), x]\n"),
    ToolCode(
        name="work", parameters=NUMBER, code="W = []\ndef work(x):\n    W.append(sum(i * i for i in range(30000)) + x)\n    return len(W)\n"
    ),
    ToolCode(name="fail", parameters=NUMBER, code="F = []\ndef fail(x):\n    F.append(x)\n    raise ValueError(f'{len(F)} {x}')\n"),
    ToolCode(name="crash", parameters=NUMBER, code="import os\ndef crash(x):\n    os._exit(x % 256)\n"),
]
EARLY = SESSIONS * CALLS // 4
"""Results after which no server can have answered all its calls: each has fifteen of the sessions or more."""
NAMES = ["fold", "crash", "dice", "work", "fold", "fail", "work", "unknown", "fold"]


class Server:
    """A server process and everything that it starts."""

    def __init__(self, folder: Path, port: int = 0, *options: str) -> None:
        self.log = folder / f"server-{port}-{time.monotonic_ns()}.log"
        key = folder / "key"
        key.write_text(KEY)
        command = [sys.executable, "-m", "astra_jobs.sandbox.server", "--key-file", str(key), "--port", str(port), *options]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.port = self._listening()
        self.url = f"http://127.0.0.1:{self.port}"

    def _listening(self) -> int:
        until = time.monotonic() + patience()
        while time.monotonic() < until:
            found = re.search(r"listening on \S+:(\d+)", self.log.read_text())
            if found:
                return int(found[1])
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError(f"not listening: {self.log.read_text()}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def members(self) -> list[int]:
        """Return the processes of the server's session that are not dead."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if entry.name.isdigit() and int(fields[3]) == self.process.pid and fields[0] not in "ZX":
                    found.append(int(entry.name))
        return found

    def end(self) -> None:
        """Kill the server alone; what it started has to end with it."""
        self.process.kill()
        self.process.wait(10)
        until = time.monotonic() + patience()
        while self.members() and time.monotonic() < until:
            time.sleep(0.02)
        left = self.members()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert left == []


@contextlib.contextmanager
def running(folder: Path, number: int, *options: str) -> Iterator[list[Server]]:
    servers: list[Server] = []
    try:
        for _ in range(number):
            servers.append(Server(folder, 0, *options))
        yield servers
    finally:
        for server in servers:
            server.end()


def settings(servers, **more):
    return Settings(url=tuple(server.url for server in servers), key=KEY, **{"isolation": "Process", "silence": 1.0, **more})


def life(seed):
    return [(NAMES[(seed + number * 4) % len(NAMES)], {"x": seed * 100 + number}) for number in range(CALLS)]


async def lives(sandbox, after=None, then=None):
    """Live all lives side by side; run ``then`` once so many calls have results. Return the results of each."""
    environment = await sandbox.put(TOOLS)
    done = 0

    async def one(seed):
        nonlocal done
        session = await sandbox.open(environment, seed)
        results, calls = [], life(seed)
        while len(results) < CALLS:
            first = len(results)
            if seed % 2:
                results.append(await sandbox.call(session, first, *calls[first]))
            else:
                results += await sandbox.call_many(session, first, calls[first : first + 4])
            before, done = done, done + len(results) - first
            if after is not None and before < after <= done:
                then()
        return results

    ended = await asyncio.gather(*(one(seed) for seed in range(SESSIONS)))
    return ended, sandbox.counts()


def lived(servers, after=None, then=None, **more):
    async def body():
        async with asyncio.timeout(patience()), remote_sandbox(settings(servers, **more)) as sandbox:
            return await lives(sandbox, after, then)

    return asyncio.run(body())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with running(tmp_path_factory.mktemp("undisturbed"), 1) as servers:
        results, counts = lived(servers)
        assert not any(name.startswith("retries") or name == "replays" for name in counts), counts
    assert {result.outcome for one in results for result in one} == {"ok", "tool_error", "unknown_tool"}
    assert all(result.state for one in results for result in one)
    return results


@pytest.mark.parametrize("after", [5, EARLY])
def test_a_killed_server_loses_and_doubles_no_call(tmp_path, undisturbed, after):
    with running(tmp_path, 2) as servers:
        results, counts = lived(servers, after, lambda: servers[0].signal(signal.SIGKILL))
    assert results == undisturbed
    assert counts["endpoints_lost"] == 1
    assert counts["sessions_opened"] > SESSIONS


def test_a_server_that_is_killed_and_started_again_gets_its_sessions_back(tmp_path, undisturbed):
    with running(tmp_path, 1) as servers:

        def restart():
            servers[0].end()
            servers.append(Server(tmp_path, servers[0].port))

        results, counts = lived(servers[:1], SESSIONS * CALLS // 2, restart)
    assert results == undisturbed
    assert counts["replays"] > 0


def test_a_server_that_hangs_is_left(tmp_path, undisturbed):
    with running(tmp_path, 2) as servers:
        results, counts = lived(servers, EARLY, lambda: servers[0].signal(signal.SIGSTOP))
        servers[0].signal(signal.SIGCONT)
    assert results == undisturbed
    assert counts["endpoints_lost"] == 1


def test_a_server_that_drains_for_too_short_loses_nothing_either(tmp_path, undisturbed):
    with running(tmp_path, 2, "--drain-seconds", "0") as servers:
        results, counts = lived(servers, EARLY, lambda: servers[0].signal(signal.SIGTERM))
        servers[0].process.wait(20)
        assert servers[0].process.returncode == 0
    assert results == undisturbed
    assert counts["replays"] > 0


def test_servers_that_take_little_at_a_time_change_no_result(tmp_path, undisturbed):
    narrow = ["--sessions", "30", "--queue", "24", "--session-queue", "3", "--parallel", "4", "--live", "6"]
    with running(tmp_path, 2, *narrow) as servers:
        results, counts = lived(servers, patience=100.0)
    assert results == undisturbed
    assert counts["retries_overloaded"] + counts.get("retries_busy", 0) > 0
    assert not any(name.startswith("given_up") for name in counts)


def test_idle_sessions_outlive_their_lease_while_the_client_is_there(tmp_path):
    """The positive control is the session that nobody keeps alive: it is gone at once when its lease is over."""

    async def body(server):
        async with asyncio.timeout(patience()), remote_sandbox(settings([server], lease=1.0)) as sandbox:
            environment = await sandbox.put(TOOLS)
            kept, left = [await sandbox.open(environment, 0) for _ in range(2)]
            for session in (kept, left):
                assert (await sandbox.call(session, 0, "fold", {"x": 1})).value == 1
            abandoned = sandbox._sessions.pop(left)
            async with asyncio.timeout(patience()):
                while sandbox._sessions[kept].lane.metrics.values["requests"] < 14:  # some nine heartbeats, three seconds
                    await asyncio.sleep(0.05)
                assert await abandoned.lane.heartbeat([abandoned.name]) == [abandoned.name]
            assert (await sandbox.call(kept, 1, "fold", {"x": 1})).value == 32
            assert "replays" not in sandbox.counts()

    with running(tmp_path, 1) as servers:
        asyncio.run(body(servers[0]))


def test_both_encodings_give_the_same(tmp_path, undisturbed):
    with running(tmp_path, 1) as servers:
        results, _ = lived(servers, json=True, limits=SandboxLimits())
    assert results == undisturbed


def test_a_real_server_that_is_not_in_gvisor_is_given_no_code(tmp_path):
    with running(tmp_path, 1) as servers:
        with pytest.raises(BadInput, match="was promised to have isolation gVisor, found: it is not in gVisor: ") as caught:
            lived(servers, isolation="gVisor")
        assert caught.value.reason == "SandboxRuntimeMissing"
        with pytest.raises(BadInput, match=r"sandbox\.limits: .* this job counts on"):
            lived(servers, limits=SandboxLimits(seconds=7.0))
        with pytest.raises(BadInput, match=r"sandbox\.key: .* answered 401"):
            asyncio.run(_with_key(servers, "another-key-0123456789"))


async def _with_key(servers, key):
    async with remote_sandbox(Settings(url=servers[0].url, key=key, isolation="Process")):
        pass
