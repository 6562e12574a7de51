"""A folder with manifests and a local cluster in it, driven as a user drives it: by commands, Ctrl-C and ``kill -9``."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from tests.patience import patience

TINY = (Path(__file__).parent / "tiny" / "pipeline.yaml").read_text()
"""The smallest pipeline of all five kinds that trains on two ranks."""


class Project:
    """A folder with manifests and a local cluster in it."""

    def __init__(self, folder: Path, manifest: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
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
        output, _ = process.communicate(timeout=patience(600))
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

    def reasons(self) -> dict[str, str]:
        """Return the reason of each run's Succeeded condition."""
        return {
            name: next(item["reason"] for item in run["status"]["conditions"] if item["type"] == "Succeeded")
            for name, run in self.runs().items()
        }

    def artifact(self, name: str, stage: str) -> Path:
        """Return the folder with the files of a stage's artifact."""
        folder = Path(urlparse(self.runs()[name]["status"]["artifacts"][stage]["uri"]).path)
        (sidecar,) = folder.glob("?" * 64 + ".json")
        return folder.parents[1] / str(json.loads(sidecar.read_text())["data"])

    def launched(self) -> set[str]:
        """Return every pod that was ever started: those that exist and those of which a log was kept."""
        state = self.folder / ".astra"
        return {path.name for path in state.glob("pods/*")} | {path.name for path in state.glob("logs/*/*.log")}

    def steps(self, stage: str) -> int:
        """Return the progress of a stage's running pods, 0 while there is none; ``stage`` is how their names begin."""
        found = [0]
        for path in (self.folder / ".astra/objects/default").glob(f"Pod.{stage}-*.json"):
            try:
                pod = json.loads(path.read_text())
                progress = self.folder / ".astra/pods" / pod["metadata"]["uid"] / "root/progress.json"
                found.append(json.loads(progress.read_text())["step"] if pod["status"]["phase"] == "Running" else 0)
            except FileNotFoundError:
                continue  # it ended between the listing and the look
        return max(found)

    def kill(self, process: subprocess.Popen[str], pods_too: bool) -> None:
        """Kill ``astra run`` with -9, and in half of the cases the process groups of all its pods."""
        os.killpg(process.pid, signal.SIGKILL)
        for pid in self.pods() if pods_too else []:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.communicate()


def check_ledger(project: Project, groups: int, steps: int) -> None:
    """Fail unless every prompt of the RLRun ``astra`` was dispatched, judged and trained once, whatever was killed meanwhile."""
    lines = (project.artifact("astra", "train") / "prompts.jsonl").read_text().splitlines()
    ledger = [json.loads(line) for line in lines]
    assert [entry["number"] for entry in ledger] == list(range(len(ledger))), "a prompt was lost or doubled"
    assert [entry for entry in ledger if entry["verdict"] == "Dispatched"] == [], "a prompt was left without a verdict"
    trained = Counter(entry["trained"] for entry in ledger if entry.get("trained") is not None)
    assert set(trained) <= set(range(1, steps + 1))
    assert trained, "nothing was trained"
    assert max(trained.values()) <= groups, "a step trained more groups than it may"


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    deadline, pause = time.monotonic() + patience(seconds), threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        pause.wait(0.05)
    return found
