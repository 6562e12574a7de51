"""Keeps processes of a test session from outliving it, even when the session is killed with SIGKILL.

The session starts this file as a small process of its own and asks it, one JSON line a request, to start, signal and poll programs.
The supervisor ends when the session's process is gone or closes the pipe, and takes every process below it along: it is their
subreaper, so that also a program that left its process group or lost its parent is found and killed.
It does not restart anything and knows nothing of Kubernetes. Linux only (pidfd, prctl).
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

SET_PDEATHSIG = 1
SET_CHILD_SUBREAPER = 36


class ProcessEnded(RuntimeError):
    """A supervised program ended although the caller needs it; the message has the end of its log."""


class Supervisor:
    """The session's side. Programs write stdout and stderr to `folder/NAME.log`; a name used again appends. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid())]
        with (folder / "supervisor.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1, start_new_session=True
            )
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """Process id of the supervisor itself."""
        return self._process.pid

    def start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> "Program":
        """Start one program in a session of its own. `env` is the whole environment; without it, the program gets this process's."""
        log = self.folder / f"{name}.log"
        request = {"argv": [str(part) for part in argv], "env": dict(os.environ if env is None else env), "cwd": str(cwd or self.folder)}
        answer = self._ask({"do": "start", "log": str(log), **request})
        return Program(self, name, answer["pid"], log)

    def stop(self, grace: float = 20) -> None:
        """Kill everything below the supervisor and wait until it is gone."""
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):  # it was killed with a request unread
                self._process.stdin.close()
        self._process.wait(timeout=grace)
        if self._process.stdout:
            self._process.stdout.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            assert self._process.stdin
            assert self._process.stdout
            try:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            raise ProcessEnded(f"the supervisor ended: {tail(self.folder / 'supervisor.log')}")
        return json.loads(line)


@dataclass(frozen=True)
class Program:
    """One supervised program. It belongs to the session: it never outlives it."""

    supervisor: Supervisor
    name: str
    pid: int
    log: Path

    def code(self) -> int | None:
        """Exit code as subprocess gives it (negative: signal), None while it runs."""
        return self.supervisor._ask({"do": "poll", "pid": self.pid})["code"]

    def signal(self, number: int, group: bool = False) -> None:
        """Send a signal to the program, or to its whole process group; nothing when it has ended."""
        self.supervisor._ask({"do": "signal", "pid": self.pid, "signal": int(number), "group": group})

    def wait(self, seconds: float) -> int:
        """Wait for the end and give the exit code; TimeoutError after `seconds`."""
        deadline = time.monotonic() + seconds
        while (code := self.code()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} still runs after {seconds:g} s: {tail(self.log)}")
            time.sleep(0.02)
        return code

    def stop(self, seconds: float = 10) -> int:
        """SIGTERM to the program, SIGKILL to its group after `seconds`; the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(seconds)
        except TimeoutError:
            self.signal(signal.SIGKILL, group=True)
            return self.wait(10)

    def require(self) -> None:
        """Raise ProcessEnded when the program does not run."""
        if (code := self.code()) is not None:
            raise ProcessEnded(f"{self.name} ended with {code}: {tail(self.log)}")


def tail(log: Path, characters: int = 2000) -> str:
    """The end of a log, for messages."""
    return log.read_text(errors="replace")[-characters:] if log.exists() else "(no log)"


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _spawn(request: dict[str, Any]) -> int:
    started, starting = os.pipe()  # closed by exec: a signal sent to a process that is still this program would be lost
    pid = os.fork()
    if pid == 0:
        _become(request)
    os.close(starting)
    os.read(started, 1)
    os.close(started)
    return pid


def _become(request: dict[str, Any]) -> NoReturn:
    try:
        supervisor = os.getppid()
        os.setsid()
        _prctl(SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # it died before it could be asked for the signal
            os._exit(127)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])
    except OSError as error:
        os.write(2, f"cannot start {request['argv'][0]}: {error}\n".encode())
    finally:
        os._exit(127)


def _children() -> list[int]:
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
        if parent == os.getpid():
            found.append(int(entry))
    return found


def _kill_all() -> None:
    # Each killed process hands its children to this one, the subreaper: in the end none is left, however deep the tree was.
    while children := _children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for _ in children:
            os.waitpid(-1, 0)


class _Server:
    """The supervisor's side: one thread, so that the death signal of its children follows its own life."""

    def __init__(self) -> None:
        self.codes: dict[int, int | None] = {}

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.codes:
                self.codes[pid] = os.waitstatus_to_exitcode(status)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "start":
            pid = _spawn(request)
            self.codes[pid] = None
            return {"pid": pid}
        self.reap()
        pid = request["pid"]
        if request["do"] == "signal" and self.codes[pid] is None:
            (os.killpg if request["group"] else os.kill)(pid, request["signal"])
        return {"code": self.codes[pid]}

    def serve(self, session: int) -> None:
        """Answer requests until the session closes the pipe or its process ends."""
        alive = os.pidfd_open(session)
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        rest = b""
        while True:
            ready, _, _ = select.select([0, alive, read_end], [], [])
            if alive in ready:
                return
            if read_end in ready:
                os.read(read_end, 4096)
                self.reap()
            if 0 not in ready:
                continue
            data = os.read(0, 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                os.write(1, json.dumps(self.answer(json.loads(line))).encode() + b"\n")


def main() -> None:
    """Entry point of the supervisor process; its argument is the session's process id."""
    session = int(sys.argv[1])
    _prctl(SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        if os.getppid() == session:  # else it has ended already
            _Server().serve(session)
    finally:
        _kill_all()


if __name__ == "__main__":
    main()
