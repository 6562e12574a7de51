"""What a job tells on its way: log lines, and answers to pollers that may go away before they have them."""

import socket
import struct
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from astra_jobs.runtime import progress as served
from astra_jobs.runtime.progress import FileProgress, serve


class Slow(FileProgress):
    """Answers only when the poller has gone."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked, self.gone, self.answered = threading.Event(), threading.Event(), threading.Event()

    def encoded(self) -> bytes:
        self.asked.set()
        assert self.gone.wait(30)
        return b"x" * 16_384


def poll_and_vanish(monkeypatch: pytest.MonkeyPatch, kind: type[ThreadingHTTPServer], explode: Callable[[], None] | None = None) -> None:
    progress = Slow()
    if explode is not None:
        monkeypatch.setattr(progress, "encoded", explode)
        progress.asked.set()
    ended = threading.Event()

    class Told(kind):  # type: ignore[valid-type,misc]
        def shutdown_request(self, request: object) -> None:
            super().shutdown_request(request)
            ended.set()

    monkeypatch.setattr(served, "_Server", Told)
    server = serve(progress, "127.0.0.1", 0)
    try:
        with socket.create_connection(server.server_address[:2]) as poller:
            poller.sendall(b"GET /progress HTTP/1.0\r\n\r\n")
            assert progress.asked.wait(30)
            poller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset, at once
        progress.gone.set()
        assert ended.wait(30)
    finally:
        server.shutdown()
        server.server_close()


def test_a_poller_that_went_away_is_not_news(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    poll_and_vanish(monkeypatch, served._Server)
    assert capfd.readouterr().err == ""


def test_an_ordinary_server_would_print_a_trace(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    poll_and_vanish(monkeypatch, ThreadingHTTPServer)
    assert "Traceback" in capfd.readouterr().err


def test_any_other_failure_is_still_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def explode() -> bytes:
        raise ZeroDivisionError

    poll_and_vanish(monkeypatch, served._Server, explode)  # type: ignore[arg-type]
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_the_log_tells_first_last_and_nothing_twice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    progress = FileProgress(tmp_path / "progress.json")
    for step in range(101):
        progress.update(step, 100, "learning", {"loss": 0.5})
    progress.update(100, 100, "learning", {"loss": 0.5})
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["0/100 learning loss=0.5", "100/100 learning loss=0.5"]
