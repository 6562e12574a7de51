"""The filters as programs: run by a small interpreter, because most of what they refuse must not be tried."""

import os
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_jobs.sandbox.inside import seccomp
from astra_jobs.sandbox.inside.syscalls import ARGUMENTS, CATEGORIES, NEWEST, numbers
from astra_jobs.sandbox.pool import Walls

ALL = Walls()._asdict()
EPERM, ENOSYS, ALLOW = 0x00050001, 0x00050026, 0x7FFF0000
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def judged(code: bytes, architecture: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """Run a filter on one system call."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(*arguments, *(0,) * (6 - len(arguments))))
    at = accumulator = 0
    while True:
        kind, yes, no, value = struct.unpack_from("=HBBI", code, 8 * at)
        at += 1
        if kind == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif kind == 0x06:
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}
            at += yes if holds[kind] else no


@pytest.fixture(params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    monkeypatch.setattr(seccomp.os, "uname", lambda: os.uname_result(("Linux", "n", "6", "v", request.param)))
    return MACHINES[request.param]


def test_each_category_is_refused_in_sessions_and_only_while_its_wall_is_on(machine: tuple[int, int]) -> None:
    column, audit = machine
    code = seccomp.program(ALL, zygote=False)
    for wall in CATEGORIES:
        without = seccomp.program({**ALL, wall: False}, zygote=False)
        otherwise = {columns[column] for columns in ARGUMENTS.values()}
        otherwise |= {number for other in CATEGORIES if other != wall for number in numbers(other, column).values()}
        for name, number in numbers(wall, column).items():
            assert judged(code, audit, number) == EPERM, name
            assert number in otherwise or judged(without, audit, number) == ALLOW, name


def test_what_sessions_live_by_is_allowed(machine: tuple[int, int]) -> None:
    column, audit = machine
    code = seccomp.program(ALL, zygote=False)
    needed = {"read": (0, 63), "write": (1, 64), "mmap": (9, 222), "munmap": (11, 215), "setitimer": (38, 103), "exit_group": (231, 94),
              "clock_gettime": (228, 113), "futex": (202, 98), "getpid": (39, 172), "madvise": (28, 233), "brk": (12, 214)}  # fmt: skip
    assert {name for name, columns in needed.items() if judged(code, audit, columns[column]) != ALLOW} == set()


def test_another_architecture_the_x32_form_and_newer_calls_are_refused(machine: tuple[int, int]) -> None:
    column, audit = machine
    for zygote in (True, False):
        code = seccomp.program(ALL, zygote=zygote)
        read = (0, 63)[column]
        assert judged(code, audit, read) == ALLOW
        assert judged(code, 0x40000003, read) == EPERM
        assert judged(code, MACHINES["x86_64" if column else "aarch64"][1], read) == EPERM
        assert judged(code, audit, 0x40000000 + read) == EPERM
        assert judged(code, audit, NEWEST + 1) == ENOSYS


@pytest.mark.parametrize(
    ("name", "arguments", "session", "zygote"),
    [
        ("clone", (0x01200011,), EPERM, ALLOW),  # fork
        ("clone", (0x003D0F00,), EPERM, EPERM),  # a thread
        ("clone", (0x10000011,), EPERM, EPERM),  # a new user namespace
        ("clone3", (), ENOSYS, ENOSYS),
        ("prlimit64", (0, 7, 0, 0), ALLOW, ALLOW),
        ("prlimit64", (0, 7, 1 << 40, 0), EPERM, ALLOW),
        ("prctl", (3,), ALLOW, ALLOW),
        ("prctl", (4, 1), EPERM, ALLOW),
        ("fcntl", (3, 8, 1), EPERM, ALLOW),
        *(("fcntl", (3, command), ALLOW, ALLOW) for command in (0, 1, 2, 3, 1030)),
        *(("fcntl", (3, command), EPERM, ALLOW) for command in (4, 5, 6, 7, 16, 36, 37, 38, 1024, 1026, 1031, 1033, 1036, 1038, 2**32 - 1)),
        *(("clock_gettime", (clock,), ALLOW, ALLOW) for clock in (0, 1, 2, 3)),
        ("clock_gettime", (0xFFFFFFFA,), EPERM, ALLOW),  # the CPU time of a process
        ("openat", (0, 0, 0), EPERM, ALLOW),
    ],
)
def test_some_calls_are_judged_by_their_arguments(
    machine: tuple[int, int], name: str, arguments: tuple[int, ...], session: int, zygote: int
) -> None:
    column, audit = machine
    number = ARGUMENTS[name][column]
    assert number is not None
    assert judged(seccomp.program(ALL, zygote=False), audit, number, arguments) == session
    assert judged(seccomp.program(ALL, zygote=True), audit, number, arguments) == zygote


def test_reading_files_does_not_mean_writing_them(machine: tuple[int, int]) -> None:
    column, audit = machine
    code = seccomp.program({**ALL, "files_open": False}, zygote=False)
    number = ARGUMENTS["openat"][column]
    assert number is not None
    flags: dict[str, Any] = {"read": os.O_RDONLY | os.O_CLOEXEC, "list": os.O_DIRECTORY}
    assert {judged(code, audit, number, (0, 0, flag)) for flag in flags.values()} == {ALLOW}
    handle = ARGUMENTS["open_by_handle_at"][column]
    assert handle is not None
    for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_TMPFILE | os.O_RDWR):
        assert judged(code, audit, number, (0, 0, flag)) == EPERM
        assert judged(code, audit, handle, (0, 0, flag)) == EPERM
    assert judged(code, audit, handle, (0, 0, os.O_RDONLY)) == ALLOW


@pytest.mark.parametrize("wall", ["files_open", "files_change"])
def test_calls_that_make_files_are_stopped_by_either_wall_of_files(machine: tuple[int, int], wall: str) -> None:
    column, audit = machine
    alone = seccomp.program({**dict.fromkeys(ALL, False), wall: True}, zygote=False)
    neither = seccomp.program(dict.fromkeys(ALL, False), zygote=False)
    makers = {"creat": (85, None), "openat2": ARGUMENTS["openat2"]}
    for name, columns in makers.items():
        number = columns[column]
        if number is not None:
            assert judged(alone, audit, number) == (ENOSYS if (name, wall) == ("openat2", "files_change") else EPERM)
            assert judged(neither, audit, number) == ALLOW


@given(st.sets(st.integers(0, NEWEST), max_size=60), st.integers(0, NEWEST))
def test_neighbours_are_forbidden_in_one_step_and_nobody_else_is(forbidden: set[int], asked: int) -> None:
    made = seccomp._Program(0, 0xC000003E)
    made.forbid(forbidden)
    code = b"".join([*made.code, seccomp._give(ALLOW)])
    assert judged(code, 0xC000003E, asked) == (EPERM if asked in forbidden else ALLOW)


def test_a_machine_without_a_table_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp.os, "uname", lambda: os.uname_result(("Linux", "n", "6", "v", "riscv64")))
    with pytest.raises(OSError, match="riscv64"):
        seccomp.program(ALL, zygote=False)
