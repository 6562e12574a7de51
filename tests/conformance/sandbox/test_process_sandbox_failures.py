"""What only the sandbox in this process can show: processes that die, zombies, descriptors, speed."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

import astra_jobs.sandbox.pool.watchdog as watchdog_module
from astra_jobs.api.errors import BadInput
from astra_jobs.records.episode import INFRASTRUCTURE
from astra_jobs.sandbox.pool import Walls, bases, process_sandbox
from astra_jobs.sandbox.protocol import SandboxLimits
from tests.conformance.sandbox.ways import COUNT, NAP, tool
from tests.unit.sandbox.waiting import process_of, until

SUICIDE = tool("die", "import os, signal\ndef die():\n    os.kill(os.getpid(), signal.SIGKILL)\n")
UNSIGNALLED = Walls(signals=False)


def zombies_below(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] == "Z" and int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_child_is_replaced_by_replay() -> None:
    async def body() -> None:
        async with process_sandbox(SandboxLimits()) as sandbox:
            session = await sandbox.open(await sandbox.put([COUNT]), 0)
            assert [(await sandbox.call(session, seq, "count", {})).value for seq in range(2)] == [1, 2]
            os.kill(await process_of(sandbox, session), signal.SIGKILL)
            assert (await sandbox.call(session, 2, "count", {})).value == 3

    asyncio.run(body())


def test_a_child_that_is_killed_again_and_again_is_infrastructure_and_its_neighbour_goes_on() -> None:
    async def body() -> None:
        async with process_sandbox(SandboxLimits(), walls=UNSIGNALLED) as sandbox:
            environment = await sandbox.put([SUICIDE, COUNT])
            one, other = await sandbox.open(environment, 0), await sandbox.open(environment, 1)
            assert (await sandbox.call(one, 0, "die", {})).outcome == "session_lost"
            assert (await sandbox.call(other, 0, "count", {})).value == 1
            assert (await sandbox.call(one, 1, "count", {})).value == 1

    asyncio.run(body())


def test_a_dead_zygote_never_gives_a_tool_outcome_and_is_replaced() -> None:
    async def body() -> None:
        async with process_sandbox(SandboxLimits()) as sandbox:
            environment = await sandbox.put([COUNT, NAP])
            session = await sandbox.open(environment, 0)
            napping = await sandbox.open(environment, 0)
            assert (await sandbox.call(session, 0, "count", {})).value == 1
            call = asyncio.ensure_future(sandbox.call(napping, 0, "nap", {}))
            await until(lambda: len(sandbox.pids()) == 2)
            pids = list(sandbox.pids().values())
            for _ in range(2):  # the call is tried again on a new zygote once
                old = sandbox.pids()[napping]
                sandbox.calls.rooms.base.process.kill()
                await until(lambda old=old: call.done() or sandbox.pids().get(napping, old) != old)
            assert (await call).outcome in INFRASTRUCTURE
            assert (await sandbox.call(session, 1, "count", {})).value == 2
            await until(lambda: not any(map(alive, pids)))

    asyncio.run(body())


def test_too_many_dead_zygotes_in_a_time_are_an_infrastructure_error_until_one_holds_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with process_sandbox(SandboxLimits()) as sandbox:
            session = await sandbox.open(await sandbox.put([COUNT]), 0)
            for seq in range(bases.DEATHS):
                assert sandbox.alive
                assert (await sandbox.call(session, seq, "count", {})).value == seq + 1
                base = sandbox.calls.rooms.base
                base.process.kill()
                await until(lambda base=base: base.control.closed and not sandbox.calls.rooms.zygotes)
                assert not sandbox.ready
            assert not sandbox.alive
            assert (await sandbox.call(session, 98, "count", {})).outcome == "infra_error"
            monkeypatch.setattr(bases, "WINDOW", 0.0)
            await until(lambda: sandbox.ready and sandbox.alive)
            assert (await sandbox.call(session, 99, "count", {})).value == bases.DEATHS + 1

    asyncio.run(body())


def test_a_base_zygote_that_does_not_come_back_is_infrastructure_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with process_sandbox(SandboxLimits(), prove=False) as sandbox:
            session = await sandbox.open(await sandbox.put([COUNT]), 0)
            assert (await sandbox.call(session, 0, "count", {})).value == 1
            monkeypatch.setattr(bases, "START_SECONDS", 3600.0)
            real = sandbox.calls.rooms.bases._told
            monkeypatch.setattr(sandbox.calls.rooms.bases, "_told", lambda: {**real(), "walls": None})  # it ends at once
            monkeypatch.setattr(bases, "DEATHS", 10**6)
            sandbox.calls.rooms.base.process.kill()
            await until(lambda: not sandbox.ready)
            call = asyncio.ensure_future(sandbox.call(session, 1, "count", {}))
            await until(lambda: sandbox.counts()["base_zygotes_total"] >= 3)
            assert not call.done()
            assert sandbox.alive
            monkeypatch.setattr(bases, "PATIENCE", 0.0)
            assert (await call).outcome == "infra_error"
            assert not sandbox.alive

    asyncio.run(body())


def test_no_zombies_no_descriptors_no_processes_are_left() -> None:
    async def body() -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with process_sandbox(SandboxLimits(seconds=0.1), walls=UNSIGNALLED) as sandbox:
            base = sandbox.calls.rooms.base.process.pid
            held = len(os.listdir("/proc/self/fd"))
            environment = await sandbox.put([COUNT, NAP, SUICIDE])
            for seed in range(30):
                session = await sandbox.open(environment, seed)
                await sandbox.call(session, 0, "die" if seed % 10 == 0 else "count", {})
                await sandbox.close(session)
            zygote = sandbox.calls.rooms.zygotes[environment]
            await until(lambda: not zygote.processes and not zombies_below(base))
            assert len(os.listdir("/proc/self/fd")) == held + 1  # the environment's zygote
            busy = asyncio.ensure_future(sandbox.call(await sandbox.open(environment, 0), 0, "nap", {}))
            await until(sandbox.pids)
            child = next(iter(sandbox.pids().values()))
            busy.cancel()
            await asyncio.gather(busy, return_exceptions=True)
        await until(lambda: not alive(child) and not alive(base))
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(body())


def test_sessions_die_with_the_client() -> None:
    async def body() -> None:
        async with process_sandbox(SandboxLimits(seconds=50)) as sandbox:
            call = asyncio.ensure_future(sandbox.call(await sandbox.open(await sandbox.put([NAP]), 0), 0, "nap", {}))
            await until(sandbox.pids)
            child, base = next(iter(sandbox.pids().values())), sandbox.calls.rooms.base
            base.control.ours.shutdown(2)  # what the zygote sees when its client is killed
            await until(lambda: not alive(child))
            assert await asyncio.to_thread(base.process.wait, 10) == 0
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    asyncio.run(body())


def test_cpu_time_and_the_run_queue_delay_are_read_from_the_system() -> None:
    sight = watchdog_module.look(os.getpid())
    assert sight is not None
    assert sight.cpu > 0
    assert sight.delay is not None
    assert sight.delay >= 0
    assert sight.state == "R"
    assert watchdog_module.look(2**22 + 1) is None


def test_a_memory_limit_below_what_python_needs_is_refused_in_words() -> None:
    async def body() -> None:
        with pytest.raises(BadInput, match=r"memoryMib"):
            async with process_sandbox(SandboxLimits(memory_mib=16)):
                pass

    asyncio.run(body())
