"""A folder with manifests and a local cluster in it, driven as a user drives it: by commands, Ctrl-C and ``kill -9``."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Project:
    """A folder with manifests and a local cluster in it."""

    def __init__(self, folder: Path, manifest: str) -> None:
        self.folder = folder
        self.write(manifest)

    def write(self, manifest: str) -> None:
        (self.folder / "pipeline.yaml").write_text(manifest)

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "astra_cli.main", *(words or ("run", "pipeline.yaml", "--no-report"))]
        return subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def astra(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def runs(self) -> dict[str, Any]:
        return {run["metadata"]["name"]: run for run in json.loads(self.astra("get", "-o", "json")[1])}

    def digests(self) -> dict[str, str]:
        return {name: run["status"]["artifact"]["digest"] for name, run in self.runs().items()}

    def attempts(self) -> dict[str, int]:
        return {name: run["status"]["attempt"]["number"] for name, run in self.runs().items()}

    def pods(self) -> list[int]:
        """Return the processes of this project's pods."""
        mark = str(self.folder / ".astra" / "pods").encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def kill(self, process: subprocess.Popen[str], pods_too: bool) -> None:
        """Kill ``astra run`` with -9, and in half of the cases the process groups of all its pods."""
        os.killpg(process.pid, signal.SIGKILL)
        for pid in self.pods() if pods_too else []:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.communicate()


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        pause.wait(0.05)
    return found
