"""Logs that pods keep in the store: what is kept and cut, what survives kills, and that the job never waits for them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from astra_jobs.api.errors import BadInput, Transient
from astra_jobs.api.frame import framed, unframed
from astra_jobs.api.request import StoreSettings
from astra_jobs.runtime import logs
from astra_jobs.runtime.folder import FolderBackend
from astra_jobs.runtime.inspect import run as inspect
from astra_jobs.runtime.logs import PIECE_BYTES, Keeper, Pieces, Place
from tests.patience import patience

ROOT = Path(__file__).parents[3]
RequestFile = Callable[..., str]

PROGRAM = """
import ctypes, os, signal, subprocess, sys, threading, types
from astra_jobs.api.errors import Transient
from astra_jobs.runtime import jobs, logs, main

def talk(request, inputs, out, ctx):
    print("from python")
    os.system("echo from a child")
    ctypes.CDLL(None).puts(b"from a library")
    ctypes.CDLL(None).fflush(None)
    print("to stderr", file=sys.stderr)
    return {}

def crash(request, inputs, out, ctx):
    print("before the crash")
    os.kill(os.getpid(), signal.SIGSEGV)

def wait(request, inputs, out, ctx):
    print("waiting")
    while not ctx.should_stop():
        threading.Event().wait(0.01)
    print("told to stop")
    raise Transient("", "Failed", "stopped")

def flood(request, inputs, out, ctx):
    for number in range(300_000):
        print(f"line {number:06d}")
    return {}

def leave_behind(request, inputs, out, ctx):
    subprocess.Popen(["/bin/sh", "-c", "while :; do echo left behind; sleep 0.01; done"], start_new_session=True)
    return {}

logs.FLUSH_SECONDS = 0.05
logs.Keeper.__init__.__defaults__ = (0.05,)
module = types.ModuleType("astra_jobs.toolcorpus.in_test")
module.collect = globals()[sys.argv.pop(2)]
sys.modules[module.__name__] = module
jobs.JOBS["ToolCorpus", "collect"] = module.__name__ + ":collect"
sys.exit(main.main())
"""


@contextmanager
def started(request: str, job: str, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, request, job],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=patience())


def ended(request: str, job: str, **environment: str) -> tuple[int, str, str]:
    with started(request, job, **environment) as process:
        out, err = process.communicate(timeout=patience())
        return process.returncode, out, err


def kept(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], *more: str) -> str:
    capfdbinary.readouterr()
    inspect(["logs", "--store", f"file://{tmp_path}/store", "--run", "u-1", "--attempt", "1", *more])
    return capfdbinary.readouterr().out.decode()


def wait_for(true: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + patience(seconds)
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_everything_that_a_pod_prints_is_kept(request_file: RequestFile, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    code, out, err = ended(request_file(restart=2), "talk", JOB_COMPLETION_INDEX="0")
    assert (code, out.splitlines(), err.splitlines()) == (0, ["from python", "from a child", "from a library"], ["to stderr"])
    head, *lines = kept(tmp_path, capfdbinary).splitlines()
    assert head.startswith("==> stage collect, restart 2, pod 0, began 2")
    assert sorted(lines) == sorted([*out.splitlines(), *err.splitlines()])


def test_a_crash_keeps_its_last_lines(request_file: RequestFile, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    code, out, _ = ended(request_file(), "crash")
    assert (code, out) == (128 + signal.SIGSEGV, "before the crash\n")
    assert "before the crash" in kept(tmp_path, capfdbinary)


def test_a_kill_of_the_whole_pod_keeps_what_was_flushed(
    request_file: RequestFile, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with started(request_file(), "wait") as process:
        wait_for(lambda: list((tmp_path / "store").rglob("logs/**/00*")))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 1
        process.kill()  # the process over the job only: the job goes with it
        process.wait(timeout=patience())
        wait_for(lambda: not Path(f"/proc/{children[0]}").exists())
    assert "waiting" in kept(tmp_path, capfdbinary)


def test_signals_reach_the_job_and_its_exit_code_comes_back(
    request_file: RequestFile, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with started(request_file(), "wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.terminate()
        out, err = process.communicate(timeout=patience())
    assert (process.returncode, out) == (75, "told to stop\n")
    assert err == "astra-job: Failed: stopped\n"
    text = kept(tmp_path, capfdbinary)
    assert "told to stop" in text
    assert "astra-job: Failed: stopped" in text


def test_a_long_log_keeps_its_first_and_its_last_part(
    request_file: RequestFile, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    code, out, _ = ended(request_file(), "flood")
    assert code == 0
    assert out.splitlines() == [f"line {number:06d}" for number in range(300_000)], "nothing is cut from the real output"
    _, *lines = kept(tmp_path, capfdbinary).splitlines()
    marks = [number for number, line in enumerate(lines) if line.startswith("[... ")]
    assert len(marks) == 1
    left_out = int(lines[marks[0]].split()[1])
    before, after = lines[: marks[0]], lines[marks[0] + 1 :]
    assert before[0] == "line 000000"
    assert after[-1] == "line 299999"
    assert all(line.startswith("line ") and len(line) == 11 for line in before + after)
    assert left_out + sum(len(line) + 1 for line in before + after) == len(out)
    assert sum(path.stat().st_size for path in (tmp_path / "store/logs").rglob("*") if path.is_file()) <= 2 * logs.PART_BYTES + PIECE_BYTES


def test_what_a_job_leaves_behind_does_not_hold_up_its_end(request_file: RequestFile) -> None:
    begun = time.monotonic()
    code, _, _ = ended(request_file(), "leave_behind", PATH="/bin")
    assert code == 0
    assert time.monotonic() - begun < patience(), "what it leaves behind sleeps for longer"


def test_a_store_that_is_away_stops_nothing(request_file: RequestFile, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder")
    place = Place(StoreSettings(url=f"file://{tmp_path}/store"), "logs/u/1/s/0/0/0-a")
    said: list[str] = []
    keeper = Keeper(place, said.append, seconds=0.01)
    keeper.add(b"early\n")
    wait_for(lambda: said)
    keeper.add(b"later\n")
    (tmp_path / "store").unlink()
    keeper.close()
    assert len(said) == 1
    assert "the job goes on" in said[0]
    assert (tmp_path / "store/logs/u/1/s/0/0/0-a/000000000000").read_bytes() == b"early\nlater\n"


def test_a_laptop_keeps_its_own_logs(request_file: RequestFile, tmp_path: Path) -> None:
    code, out, _ = ended(request_file(), "talk", ASTRA_KEEP_LOGS="no")
    assert code == 0
    assert "from python" in out
    assert not (tmp_path / "store/logs").exists()
    code, _, err = ended(request_file(), "talk", ASTRA_KEEP_LOGS="maybe")
    assert (code, err) == (78, "astra-job: BadInput: ASTRA_KEEP_LOGS: found 'maybe' in the environment; write yes or no\n")


class Shaky(FolderBackend):
    """A store that fails when it is told to."""

    def __init__(self, root: Path, fails: Iterator[bool]) -> None:
        super().__init__(root)
        self._fails = fails

    def replace(self, path: str, data: bytes) -> None:
        if next(self._fails):
            raise Transient("store.url", "StoreUnavailable", "away")
        super().replace(path, data)


@given(some.lists(some.integers(0, 3 * PIECE_BYTES), max_size=30), some.randoms())
def test_pieces_are_the_first_and_the_last_of_what_was_printed(sizes: list[int], chance: Any) -> None:
    pieces, written, stored = Pieces(), b"", dict[int, bytes]()
    for number, size in enumerate(sizes):
        data = bytes([65 + number]) * size
        written += data
        pieces.add(data)
        if chance.random() < 0.5:
            changed, dropped = pieces.take()
            if chance.random() < 0.5:
                pieces.give_back([offset for offset, _ in changed], dropped)
            else:
                stored.update(changed)
                for offset in dropped:
                    stored.pop(offset, None)
    changed, dropped = pieces.take()
    stored.update(changed)
    for offset in dropped:
        stored.pop(offset, None)
    assert all(written[offset : offset + len(data)] == data for offset, data in stored.items())
    assert sum(map(len, stored.values())) <= 2 * logs.PART_BYTES + PIECE_BYTES
    assert sum(map(len, stored.values())) >= min(len(written), 2 * logs.PART_BYTES)
    end = max((offset + len(data) for offset, data in stored.items()), default=0)
    assert end == len(written)


def test_pieces_of_a_shaky_store_come_through(tmp_path: Path) -> None:
    keeper = Keeper(Place(StoreSettings(url=f"file://{tmp_path}"), "logs/u/1/s/0/0/7-a"), lambda line: None, seconds=0.001)
    keeper._backend = backend = Shaky(tmp_path, iter([True, True, *[False] * 1000]))
    for number in range(100):
        keeper.add(f"{number}\n".encode() * 1000)
    keeper.close()
    (section, pieces), *more = logs.sections(backend, "u", 1).items()
    assert not more
    assert logs.text_of(backend, "u", 1, section, pieces) == b"".join(f"{number}\n".encode() * 1000 for number in range(100))


def test_sections_come_in_the_order_in_which_they_began(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    backend = FolderBackend(tmp_path / "store")
    for stage, restart, pod, start in [
        ("train", 1, 0, "0000000003000-aa"),
        ("prepare", 0, 0, "0000000001000-bb"),
        ("train", 0, 1, "0000000002000-cc"),
    ]:
        backend.replace(f"logs/u-1/1/{stage}/{restart}/{pod}/{start}/000000000000", f"{stage} {restart}".encode())
    text = kept(tmp_path, capfdbinary)
    assert text == (
        "==> stage prepare, restart 0, pod 0, began 1970-01-01T00:00:01Z <==\nprepare 0\n"
        "==> stage train, restart 0, pod 1, began 1970-01-01T00:00:02Z <==\ntrain 0\n"
        "==> stage train, restart 1, pod 0, began 1970-01-01T00:00:03Z <==\ntrain 1\n"
    )
    assert kept(tmp_path, capfdbinary, "--stage", "train", "--without", "train/0").splitlines()[1:] == ["train 1"]
    assert unframed("noise\n" + kept(tmp_path, capfdbinary, "--framed")).decode() == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "u-1", "--attempt", "3"], "found 3: no logs are kept of it; of this run there are: 1"),
        (["--run", "u-2", "--attempt", "1"], "found 1: no logs are kept of it; of this run there are: none"),
        (["--run", "../u", "--attempt", "1"], "found '../u'; give the UID of a run"),
        (["--run", "u-1", "--attempt", "1", "--stage", "merge"], "found 'merge': no logs are kept of it; of this attempt there are: train"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(tmp_path: Path, arguments: list[str], message: str) -> None:
    FolderBackend(tmp_path).replace("logs/u-1/1/train/0/0/0000000000001-a/000000000000", b"x\n")
    with pytest.raises(BadInput, match=r"no logs|UID") as raised:
        inspect(["logs", "--store", f"file://{tmp_path}", *arguments])
    assert message in str(raised.value)


@given(some.binary(min_size=1, max_size=100_000), some.lists(some.text(alphabet="abc -\t", max_size=20)), some.randoms())
def test_a_frame_survives_foreign_lines_and_shows_damage(data: bytes, noise: list[str], chance: Any) -> None:
    lines = framed(data).splitlines()
    for line in noise:
        lines.insert(chance.randrange(len(lines) + 1), line)
    assert unframed("\n".join(lines)) == data
    own = [number for number, line in enumerate(lines) if line.startswith("astra-frame")]
    lines.pop(chance.choice(own))
    with pytest.raises(ValueError, match="log"):
        unframed("\n".join(lines))
