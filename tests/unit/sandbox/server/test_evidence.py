"""What the server claims of itself is what it saw, and a promise that is not seen refuses the start."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import astra_jobs
from astra_jobs.sandbox.pool.errors import WallMissing
from astra_jobs.sandbox.pool.settings import Walls
from astra_jobs.sandbox.server.capabilities import capabilities, require, walls_of
from astra_jobs.sandbox.server.evidence import (
    Evidence,
    gvisor,
    interfaces,
    look,
    no_service_account_token,
    read_only_root,
    unprivileged,
)
from astra_jobs.sandbox.server.service import Service
from astra_jobs.sandbox.server.settings import ServerSettings
from tests.patience import patience
from tests.unit.sandbox.server.kit import KEY, Scripted, real, run

GVISOR = "<6>[    0.000000] Starting gVisor...\n<6>[    0.357823] Creating bureaucratic processes...\n"
LINUX = "<6>[    0.000000] Linux version 6.1.0\n<4>[   12.000000] tool[77]: Starting gVisor... he wrote\n"


@pytest.mark.parametrize(
    ("messages", "holds"),
    [(GVISOR, True), (LINUX, False), ("", False), (PermissionError(1, "no"), False), (LINUX + "[  3.1] not Starting gVisor", False)],
)
def test_gvisor_is_claimed_for_its_banner_alone(messages: str | OSError, holds: bool) -> None:
    found = gvisor(messages, "Linux version 4.4.0 gVisor")
    assert found.holds is holds
    assert "/proc/version" in found.evidence


def test_a_root_is_read_only_when_it_is_mounted_so_and_takes_no_file(tmp_path: Path) -> None:
    line = "22 1 8:1 / / {} - ext4 /dev/root rw\n23 22 0:5 / /proc ro - proc proc ro\n"
    gone = tmp_path / "nowhere" / "file"
    assert read_only_root(line.format("ro,relatime"), gone).holds
    assert not read_only_root(line.format("rw,noro"), gone).holds
    assert not read_only_root("23 22 0:5 / /proc ro - proc proc ro\n", gone).holds
    assert not read_only_root("", gone).holds
    assert not read_only_root(line.format("ro"), tmp_path / "file").holds
    assert list(tmp_path.iterdir()) == []
    over = line.format("ro") + "30 22 0:9 / / rw - tmpfs tmpfs rw\n"
    assert not read_only_root(over, gone).holds, "the last mount is what is seen"


def test_a_token_is_seen_even_as_a_broken_link(tmp_path: Path) -> None:
    there, gone = tmp_path / "there", tmp_path / "gone"
    assert no_service_account_token((gone,)).holds
    there.symlink_to("nowhere")
    found = no_service_account_token((gone, there))
    assert not found.holds
    assert str(there) in found.evidence


STATUS = "Name:\tpython\nUid:\t{0}\t{0}\t{0}\t{0}\nCapInh:\t0000000000000000\nCapPrm:\t{1}\nCapEff:\t{1}\n"
NONE = "0" * 16


def test_a_right_that_is_left_is_seen() -> None:
    assert "it runs as root" in unprivileged(STATUS.format(0, NONE)).evidence
    assert "CapEff 00000000000000e0" in unprivileged(STATUS.format(65532, "00000000000000e0")).evidence
    assert "not told" in unprivileged("Uid:\t5\t5\t5\t5\n").evidence
    assert "not told" in unprivileged("").evidence
    assert not any(unprivileged(text).holds for text in (STATUS.format(0, NONE), STATUS.format(1, "1"), "Uid:\t5\t5\t5\t5\n", ""))


DROPPED = """
import ctypes, os
from astra_jobs.sandbox.server.evidence import unprivileged
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65532, 65532, 65532)
    os.setresuid(65532, 65532, 65532)
before = unprivileged()
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
print(before.holds, before.evidence, "|", unprivileged())
"""


def test_a_process_of_the_restricted_level_is_seen_to_be_one() -> None:
    root = str(Path(astra_jobs.__file__).parent.parent)
    got = subprocess.run(
        [sys.executable, "-c", DROPPED], env={"PYTHONPATH": root}, capture_output=True, text=True, timeout=patience(), check=True
    )
    user = 65532 if os.geteuid() == 0 else os.geteuid()
    before, after = got.stdout.strip().split(" | ")
    assert before == f"False user {user} without capabilities, but a program that it starts may gain some"
    assert after == f"Evidence(holds=True, evidence='user {user}, no capabilities, and no_new_privs is set')"


def test_what_is_seen_here_is_what_is_here() -> None:
    pod = look()
    assert set(pod) == {"gvisor", "read-only-root", "no-service-account-token", "unprivileged"}
    assert interfaces() == sorted(name for _, name in socket.if_nameindex())


def test_a_wall_holds_when_it_was_proven_and_is_on() -> None:
    engine = Scripted()
    engine.settings = engine.settings._replace(walls=Walls(network=False))
    engine.proof = {"network": "proven", "cpu": "proven", "own_uid": "proven by nobody"}
    walls = walls_of(engine)
    assert set(walls) == set(Walls._fields)
    assert [name for name, seen in walls.items() if seen.holds] == ["cpu"]
    assert walls["network"].evidence == "switched off"
    assert walls["ipc"].evidence == "not tested"
    assert "all sessions have the server's user id" in walls["own_uid"].evidence
    engine.variant = "own"
    assert walls_of(engine)["own_uid"].holds


def test_the_first_promise_that_does_not_hold_is_named_with_what_was_seen_and_its_mend() -> None:
    pod = {"gvisor": Evidence(True, "banner"), "read-only-root": Evidence(False, "/ is mounted writable")}
    walls = {"own_uid": Evidence(False, "one user id for all sessions"), "network": Evidence(True, "EPERM")}
    require(("gvisor", "network"), pod, walls)
    with pytest.raises(WallMissing, match=r"read-only-root.*mounted writable.*readOnlyRootFilesystem"):
        require(("gvisor", "read-only-root", "own-uid"), pod, walls)
    with pytest.raises(WallMissing, match=r"own-uid.*one user id.*SETUID"):
        require(("own-uid",), pod, walls)


def test_a_service_that_cannot_keep_a_promise_ends_its_pool_and_never_listens() -> None:
    async def body() -> None:
        engine = Scripted()
        service = Service(ServerSettings(key=KEY, port=0, require=("network",)), [engine])
        with pytest.raises(WallMissing, match="network"):
            await service.start()
        assert engine.stopped
        assert service.port == 0

    run(body())


def test_capabilities_tell_what_the_real_engine_proved() -> None:
    async def body() -> None:
        engine = real(prove=True)
        try:
            await engine.start()
            told = capabilities(ServerSettings(key=KEY, pool=engine.settings), [engine], look())
        finally:
            await engine.stop()
        assert told["sandbox"] in ("gVisor", "none")
        assert told["walls"]["network"]["holds"]
        assert told["bounds"]["live"] == 16
        assert KEY.decode() not in str(told)
        await asyncio.sleep(0)

    run(body())
