"""The sandbox server as tests hold it: a process of its own on a free port, and the tools that it is called with; not a test itself."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from astra_jobs.api.base import digest_of
from tests.patience import patience

KEY = "key-of-the-run-0123456789"
TOOLS = [
    {
        "name": "add",
        "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
        "code": "n = 0\ndef add(x):\n    global n\n    n += x\n    return n\n",
    },
    {"name": "burn", "parameters": {"type": "object", "properties": {}}, "code": "def burn():\n    while True:\n        pass\n"},
]
DIGEST = digest_of(TOOLS)


class Server:
    """One process and what it said."""

    def __init__(self, folder: Path, *arguments: str, key: str | None = KEY, **how: Any) -> None:
        self.said = folder / f"said-{time.monotonic_ns()}"
        key_file = folder / "key"
        if key is not None:
            key_file.write_text(key)
        command = [sys.executable, "-m", "astra_jobs.sandbox.server", "--port", "0", "--key-file", str(key_file), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ASTRA_SANDBOX_")}
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said, env=environment, **how)

    def text(self) -> str:
        return self.said.read_text()

    def port(self) -> int:
        until(lambda: "listening" in self.text() or self.process.poll() is not None, 60)
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.text())
        assert found is not None, self.text()
        return int(found.group(1))

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=patience())
        try:
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if "json" in answer.headers.get("content-type", "") else data
        finally:
            connection.close()

    def open(self, *names: str) -> None:
        assert self.ask("PUT", f"/v1/envs/{DIGEST}", {"tools": TOOLS})[0] == 200
        sessions = [{"session": name, "environment": DIGEST, "seed": 1} for name in names]
        assert self.ask("POST", "/v1/sessions", {"sessions": sessions})[0] == 200

    def call(self, session: str, seq: int, tool: str, **arguments: Any) -> dict[str, Any]:
        status, told = self.ask("POST", "/v1/calls", {"calls": [{"session": session, "seq": seq, "tool": tool, "arguments": arguments}]})
        assert status == 200, told
        return told["results"][0]

    def descendants(self) -> set[int]:
        """Return every process below the server."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
        found: set[int] = set()
        wave = {self.process.pid}
        while wave:
            wave = {pid for pid, parent in parents.items() if parent in wave} - found
            found |= wave
        return found


def until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + patience(seconds)
    while not true():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Tell if a process has ended; one that nobody has reaped yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@contextmanager
def server(folder: Path, *arguments: str, **options: Any) -> Iterator[Server]:
    found = Server(folder, *arguments, **options)
    try:
        yield found
    finally:
        left = found.descendants()
        if found.process.poll() is None:
            found.process.kill()
        found.process.wait(20)
        until(lambda: all(map(gone, left)))
