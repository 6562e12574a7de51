"""Every wall is proven with a positive control: with that wall alone off, the probe that it stops succeeds."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import astra_jobs
from astra_jobs.sandbox.pool import Engine, PoolSettings, WallMissing, Walls, probes, process_sandbox
from astra_jobs.sandbox.pool.rooms import Rooms
from astra_jobs.sandbox.pool.users import capable, mapped, users
from astra_jobs.sandbox.protocol import SandboxLimits, ToolCode
from tests.patience import patience

LIMITS = SandboxLimits()
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": True}
needs_users = pytest.mark.skipif(not capable(), reason="this process may not give users to sessions")


async def said(engine: Engine, walls: list[str]) -> Any:
    session = await engine.open(await engine.put([ToolCode(name="probe", parameters=SCHEMA, code=probes.SOURCE)]), 0)
    numbers = probes._numbers(os.uname().machine)
    arguments = {"walls": walls, "numbers": numbers, "memory": LIMITS.memory_mib << 20, "user": engine.user_of_next()}
    result = await engine.call(session, 0, "probe", arguments)
    assert result.outcome == "ok", result
    return result.value


@pytest.mark.parametrize("wall", [wall for wall in probes.PROVEN if wall != "own_uid" or capable()])
def test_a_probe_succeeds_with_its_wall_off_and_with_no_other(wall: str) -> None:
    async def body() -> None:
        async with process_sandbox(LIMITS, walls=Walls(**{wall: False}), prove=False) as engine:
            if wall == "own_uid":
                assert engine.variant == "shared"
                assert await said(engine, ["privileges", "signals", "files_open"]) == []
                return
            found = await said(engine, [wall])
            assert found, f"{wall} is off and yet its probe was refused"
            others = [one for one in probes.PROVEN if one != wall and (one != "own_uid" or engine.variant == "own")]
            assert await said(engine, others) == []

    asyncio.run(body())


def test_a_wall_that_does_not_hold_is_refused_at_start_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    told = PoolSettings(limits=LIMITS)

    async def body() -> None:
        engine = Engine(told)
        monkeypatch.setattr(engine, "settings", told)
        real = Rooms._told
        monkeypatch.setattr(Rooms, "_told", lambda self: {**real(self), "walls": {**told.walls._asdict(), "network": False}})
        try:
            with pytest.raises(WallMissing, match=r"network does not hold: a session's attempt gave: it worked; run it"):
                await engine.start()
        finally:
            await engine.stop()

    asyncio.run(body())


def test_the_proof_names_every_wall_that_has_a_probe() -> None:
    async def body() -> None:
        async with process_sandbox(LIMITS) as engine:
            assert set(engine.proof) == set(probes.PROVEN) - (set() if engine.variant == "own" else {"own_uid"})
            assert engine.counts()["sessions"] == engine.counts()["environments"] == 0

    asyncio.run(body())


@needs_users
def test_sessions_have_users_of_their_own_and_no_rights() -> None:
    nap = ToolCode(name="nap", parameters=SCHEMA, code="import select\ndef nap():\n    select.select([], [], [])\n")

    async def body() -> None:
        async with process_sandbox(LIMITS) as engine:
            environment = await engine.put([nap])
            calls = [asyncio.ensure_future(engine.call(engine.create(environment, 0), 0, "nap", {})) for _ in range(3)]
            seen: set[str] = set()
            for _ in range(500):
                await asyncio.sleep(0.01)
                lines = [Path(f"/proc/{pid}/status").read_text().splitlines() for pid in engine.pids().values()]
                fields = [dict(line.split(":\t", 1) for line in one if ":\t" in line) for one in lines]
                ready = [one for one in fields if one.get("Seccomp_filters") == "2"]
                if len(ready) == 3:
                    break
            assert len(ready) == 3
            seen = {one["Uid"] for one in ready}
            assert len(seen) == 3
            assert all("0" not in one.split() for one in seen)
            assert {one[name] for one in ready for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
            assert {(one["NoNewPrivs"], one["Seccomp"], one["Groups"].strip()) for one in ready} == {("1", "2", "")}
        await asyncio.gather(*calls)

    asyncio.run(body())


UNPRIVILEGED = """
import asyncio, ctypes
from astra_jobs.sandbox.pool import process_sandbox
from astra_jobs.sandbox.protocol import SandboxLimits, ToolCode

libc = ctypes.CDLL(None)
for number in range(64):
    libc.prctl(24, number, 0, 0, 0)
libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())

async def main():
    async with process_sandbox(SandboxLimits(seconds=0.2)) as engine:
        codes = {"f": "def f(): return 5", "spin": "def spin():\\n while True: pass"}
        tools = [ToolCode(name=name, parameters={"type": "object"}, code=code) for name, code in codes.items()]
        one = await engine.open(await engine.put(tools), 0)
        outcomes = [(await engine.call(one, n, tool, {})).outcome for n, tool in enumerate(["f", "spin", "f"])]
        print(engine.variant, len(engine.proof), "own_uid" in engine.proof, *outcomes)

asyncio.run(main())
"""


def test_without_the_right_to_give_users_the_walls_hold_in_the_shared_variant() -> None:
    """The engine in a process without capabilities, as in a pod of the restricted level. It proves every wall but one."""
    root = str(Path(astra_jobs.__file__).parent.parent)
    command = [sys.executable, "-c", UNPRIVILEGED.replace("\\\\", "\\")]
    got = subprocess.run(command, env={"PYTHONPATH": root}, capture_output=True, text=True, timeout=patience(), check=False)
    assert got.stdout == f"shared {len(probes.PROVEN) - 1} False ok limit_time ok\n", got.stderr


def test_the_rights_and_the_map_of_users_are_read_from_the_system(tmp_path: Path) -> None:
    status, maps = tmp_path / "status", tmp_path / "map"
    assert not capable(status)
    status.write_text("Name:\tx\nCapEff:\t00000000000000e0\n")
    assert capable(status)
    status.write_text("CapEff:\t00000000000000c0\n")
    assert not capable(status)
    assert not mapped(1, maps)
    maps.write_text("         0     100000      65536\n")
    assert mapped(65535, maps)
    assert not mapped(65536, maps)
    assert users(PoolSettings(walls=Walls(own_uid=False))) is None
