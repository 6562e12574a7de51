"""A small kubelet: pods as process groups on this machine (DESIGN section 5).

Everything it knows is in files, so that a new kubelet after ``kill -9`` goes on where the old one was. Each pod has a
folder: ``root/`` (the working folder, volumes inside), ``log``, ``lock``, ``pid``, ``exit`` and ``record.json``. A shell of a
few lines (the *shim*) leads the pod's session: it holds ``lock`` open for as long as it lives, forwards SIGTERM to the job,
and writes the job's exit code. A held lock proves that the pod runs; no pid can be mistaken for another's.

What it does not do: enforce CPU and memory limits, isolate the network or the file system. Status says ``isolation: Process``.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Container, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from astra_operator.clusters.base import Object, format_time
from astra_operator.clusters.local_files import read_json, write_json
from astra_operator.clusters.local_launch import POD_MARK, CannotRun, Launch, lay_out, plan

MESSAGE_BYTES = 4096
LAST_LINES, LAST_BYTES = 20, 2048
DEFAULT_GRACE = 30.0
LOST = "lost"

# Its standard input is the lock file; the job gets /dev/null instead, so the lock ends with the shim and not later.
# The last line ends whatever the job left behind in its group, the shim included.
_SHIM = """
folder=$1; shift
echo $$ > "$folder/pid.new" && mv "$folder/pid.new" "$folder/pid"
trap 'stop=1; [ -n "$child" ] && kill -TERM "$child" 2>/dev/null' TERM
trap : INT HUP
"$@" </dev/null &
child=$!
[ -n "$stop" ] && kill -TERM "$child" 2>/dev/null
while :; do
  wait "$child"; code=$?
  kill -0 "$child" 2>/dev/null || break
done
echo $code > "$folder/exit.new" && mv "$folder/exit.new" "$folder/exit"
kill -KILL 0
"""


def locked(path: Path) -> bool:
    """Tell if somebody holds a lock file."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def marked_processes(uid: str) -> Iterator[int]:
    """Yield the processes that a pod started, in whatever session they hide, by the mark in their environment."""
    mark = f"{POD_MARK}={uid}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


def address_of(uid: str, taken: Container[str]) -> str:
    """Return an address out of 127.0.0.0/8 for a pod: drawn by its UID, so that two clusters on one machine rarely meet."""
    for turn in range(1000):
        one, two, three = hashlib.sha256(f"{uid}/{turn}".encode()).digest()[:3]
        address = f"127.{16 + one % 224}.{two}.{1 + three % 254}"
        if address not in taken:
            return address
    raise CannotRun("no free loopback address")


def free_port() -> int:
    """Return a port that nobody listens on now, on any address."""
    with socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class Kubelet:
    """Runs pods under ``folder``; ``environment`` is what the machine gives to every one of them.

    ``secrets`` is where Secrets are kept as files: NAME/KEY.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], secrets: Path | None = None) -> None:
        self.folder = folder
        self.secrets = (secrets or folder.parent / "secrets").absolute()
        self.environment = environment
        self._own: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def home(self, uid: str) -> Path:
        """Return a pod's folder."""
        return self.folder / uid

    def known(self) -> list[str]:
        """Return the UIDs of all pods that have a folder."""
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir())

    def started(self, uid: str) -> bool:
        """Tell if a pod was started or refused, ever. The shim's first act is to write ``pid``: without it nothing has begun."""
        home = self.home(uid)
        if not (home / "record.json").exists():
            return False
        begun = any((home / name).exists() for name in ("pid", "exit")) or uid in self._own
        return begun or self.running(uid) or "refused" in read_json(home / "record.json")

    def running(self, uid: str) -> bool:
        """Tell if a pod's shim lives."""
        return locked(self.home(uid) / "lock")

    def gone(self, uid: str) -> bool:
        """Tell if nothing of a pod lives any more; what its end has left over is killed."""
        if self.running(uid):
            return False
        self.sweep(uid)
        return not any(True for _ in marked_processes(uid))

    def start(self, pod: Object, address: str, config: Mapping[str, Mapping[str, str]], commands: str = "") -> None:
        """Start a pod once; a pod that cannot run gets its reason into ``record.json`` instead.

        ``commands`` is the folder in which commands that the run's spec names are started; '' leaves it to the pod.
        """
        uid = pod["metadata"]["uid"]
        if self.started(uid):
            return
        home = self.home(uid)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        record = {"address": address, "startTime": format_time(datetime.now(UTC)), "name": pod["metadata"]["name"]}
        try:
            places = {"ASTRA_SECRETS": str(self.secrets), **({"ASTRA_COMMANDS": commands} if commands else {})}
            launch = plan(pod, address, {**self.environment, **places})
            lay_out(pod, home / "root", config, self.secrets)
        except CannotRun as error:
            write_json(home / "record.json", record | {"refused": str(error)})
            return
        record |= {
            "message": launch.message,
            "fallback": launch.fallback,
            "grace": pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE),
        }
        write_json(home / "record.json", record)
        self._spawn(uid, home, launch)

    def _spawn(self, uid: str, home: Path, launch: Launch) -> None:
        with (home / "lock").open("w") as lock, (home / "log").open("ab") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)
            command = ["/bin/sh", "-c", _SHIM, "pod", str(home.absolute()), *launch.argv]
            self._own[uid] = subprocess.Popen(
                command, stdin=lock, stdout=log, stderr=log, cwd=home / "root", env=dict(launch.env), start_new_session=True
            )

    def status(self, uid: str) -> dict[str, Any]:
        """Return the pod's status in the form of Kubernetes."""
        home = self.home(uid)
        if not self.started(uid):
            return {"phase": "Pending"}
        record = read_json(home / "record.json")
        base = {"startTime": record["startTime"], "podIP": record["address"]}
        if "refused" in record:
            ended = {"exitCode": 128, "reason": "ContainerCannotRun", "message": "", "startedAt": record["startTime"]}
            ended["finishedAt"] = record["startTime"]
            state = {"terminated": ended}
            return base | {"phase": "Failed", "message": record["refused"], "containerStatuses": [{"name": "job", "state": state}]}
        if self.running(uid):
            state = {"running": {"startedAt": record["startTime"]}}
            return base | {"phase": "Running", "containerStatuses": [{"name": "job", "ready": True, "state": state}]}
        return base | self._ended(uid, home, record)

    def _ended(self, uid: str, home: Path, record: Mapping[str, Any]) -> dict[str, Any]:
        code = self._exit_code(uid, home)
        if code == LOST:
            message = "the pod's process was gone and left no exit code"
            return {"phase": "Failed", "reason": "NodeLost", "message": message, "conditions": [_disrupted("NodeLost")]}
        number = int(code)
        finished = datetime.fromtimestamp((home / "exit").stat().st_mtime, UTC)
        ended: dict[str, Any] = {
            "exitCode": number,
            "reason": "Completed" if number == 0 else "Error",
            "message": self._message(uid, home, record, number),
            "startedAt": record["startTime"],
            "finishedAt": format_time(finished),
        }
        if number > 128:
            ended["signal"] = number - 128
        told = read_json(home / "stop").get("reason") if number and (home / "stop").exists() else ""
        state = {"terminated": ended}
        found = {"phase": "Failed" if number else "Succeeded", "containerStatuses": [{"name": "job", "state": state}]}
        return found | ({"reason": told, "conditions": [_disrupted(told)]} if told else {})

    def _message(self, uid: str, home: Path, record: Mapping[str, Any], code: int) -> str:
        """Return the termination message: what the job wrote, or with FallbackToLogsOnError the end of a failed job's log."""
        written = _tail(home / "root" / record["message"], MESSAGE_BYTES)
        return written or (self.last_lines(uid) if code and record.get("fallback") else "")

    def _exit_code(self, uid: str, home: Path) -> str:
        """Return the recorded exit code; a pod that left none gets one written now, so that the answer stays the same."""
        path = home / "exit"
        if not path.exists():
            own = self._own.get(uid)
            code = own.wait() if own is not None else None
            if not path.exists():
                path.write_text(str(128 - code) if code is not None and code < 0 else LOST)
            self.sweep(uid)
        return path.read_text().strip()

    def stop(self, uid: str, reason: str = "") -> None:
        """Ask a pod to end: SIGTERM to its job now; ``tick`` sends SIGKILL to all of it when the grace period is over.

        ``reason`` becomes the status's reason if the pod then fails (Shutdown: the machine wanted it to end).
        """
        home = self.home(uid)
        if (home / "stop").exists() or not self.running(uid):
            return
        grace = float(read_json(home / "record.json").get("grace", DEFAULT_GRACE))
        write_json(home / "stop", {"deadline": time.time() + grace, "reason": reason})
        self._signal(uid, signal.SIGTERM)

    def tick(self) -> None:
        """Kill stopped pods whose grace period is over and collect children that ended."""
        for uid, own in list(self._own.items()):
            if own.poll() is not None:
                self._exit_code(uid, self.home(uid))
                self.sweep(uid)
                del self._own[uid]
        for path in self.folder.glob("*/stop"):
            uid = path.parent.name
            if self.running(uid) and time.time() >= read_json(path)["deadline"]:
                self.kill(uid)

    def kill(self, uid: str) -> None:
        """End a pod at once, with everything that it started."""
        self._signal(uid, signal.SIGKILL)
        self.sweep(uid)

    def _signal(self, uid: str, number: signal.Signals) -> None:
        pid = self._pid(uid)
        if pid is None or not self.running(uid):
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)

    def _pid(self, uid: str) -> int | None:
        if uid in self._own:
            return self._own[uid].pid
        path = self.home(uid) / "pid"
        return int(path.read_text()) if path.exists() else next(marked_processes(uid), None)

    def sweep(self, uid: str) -> None:
        """Kill what a pod left behind in other sessions."""
        for pid in marked_processes(uid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def last_lines(self, uid: str) -> str:
        """Return the end of a pod's log: at most 20 lines and 2,048 bytes."""
        return "\n".join(_tail(self.home(uid) / "log", LAST_BYTES).splitlines()[-LAST_LINES:])

    def tidy(self, uid: str) -> None:
        """Empty the volumes of a pod that has ended well: what it made is in the store, and a model may be large."""
        for path in (self.home(uid) / "root").glob("*/"):
            shutil.rmtree(path, ignore_errors=True)

    def forget(self, uid: str, keep_log: Path | None = None) -> None:
        """Remove an ended pod's folder; its log is moved to ``keep_log`` first."""
        home = self.home(uid)
        own = self._own.pop(uid, None)
        if own is not None:
            own.wait()
        if keep_log is not None and (home / "log").exists():
            keep_log.parent.mkdir(parents=True, exist_ok=True)
            (home / "log").replace(keep_log)
        shutil.rmtree(home, ignore_errors=True)


def _disrupted(reason: str) -> dict[str, str]:
    """Return the condition of a pod that was ended by its node or by who runs it, and not by what ran in it."""
    return {"type": "DisruptionTarget", "status": "True", "reason": reason}


def _tail(path: Path, size: int) -> str:
    """Return the last bytes of a file as text, empty when there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - size))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
