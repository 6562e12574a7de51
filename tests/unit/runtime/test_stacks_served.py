"""GET /stacks: what every thread of a job does, also while its main thread is stuck."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from astra_jobs.runtime.progress import MAX_BYTES, FileProgress, serve, stacks
from tests.patience import patience

HANGS = {
    "loops in Python": "while True: turns += 1",
    "waits for a lock": "threading.Lock().acquire() and held.acquire()",
    "sleeps": "time.sleep(600)",
}
PROGRAM = """
import threading, time
from astra_jobs.runtime.progress import FileProgress, serve
held = threading.Lock()
held.acquire()
def hang_here():
    turns = 0
    {how}
server = serve(FileProgress(None), "127.0.0.1", 0)
print(server.server_address[1], flush=True)
hang_here()
"""


@contextmanager
def hung(how: str) -> Iterator[int]:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM.format(how=how)], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    try:
        yield int(program.stdout.readline())
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


def get(port: int, path: str) -> tuple[int, str, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=patience())
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("how", HANGS.values(), ids=HANGS)
def test_a_hung_main_thread_is_shown_with_its_function(how: str) -> None:
    with hung(how) as port:
        deadline = time.monotonic() + patience()
        while " in hang_here" not in (answer := get(port, "/stacks"))[2]:
            assert time.monotonic() < deadline, answer
    assert answer[:2] == (200, "text/plain; charset=utf-8")
    assert "serve_forever" in answer[2], "other threads are shown too"


def test_stacks_are_bounded_and_end_with_the_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def deep(left: int) -> bytes:
        return stacks() if left == 0 else deep(left - 1)

    text = deep(50)
    assert len(text) <= MAX_BYTES
    assert b"test_stacks_served.py" in text
    monkeypatch.setattr("astra_jobs.runtime.progress.MAX_BYTES", 300)
    assert text.endswith(stacks()[-40:])


def test_anything_else_is_not_found() -> None:
    server = serve(FileProgress(Path("/nonexistent/never-written")), "127.0.0.1", 0)
    try:
        assert get(int(server.server_address[1]), "/stack")[0] == 404
    finally:
        server.shutdown()
        server.server_close()
