"""How far the job is: a file beside the result, ``GET /progress`` for an operator that cannot see the file, and log lines.

Every update is also the heartbeat by which a hang is told from long work: its time moves only when the job says something.
``GET /stacks`` tells what each thread of a hung job is doing. It is answered from a thread of its own, so a main thread that loops or
waits does not matter; a library that keeps Python's lock silences both, and the operator then ends the job without them.
"""

import faulthandler
import json
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from astra_jobs.api.errors import Transient
from astra_jobs.api.job import Metrics
from astra_jobs.api.result import ProgressReport
from astra_jobs.runtime.shared import strings

MAX_BYTES = 16_384
_FILE_SECONDS = 0.25
_LOG_SECONDS = 5.0


class FileProgress:
    """``api.job.Progress`` that keeps ``path`` up to date and holds the last report for the server."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written = 0.0
        self._said = (0.0, "")
        self._latest = ProgressReport(step=0, total=0, time=time.time())

    def update(self, step: int, total: int, message: str = "", metrics: Metrics | None = None) -> None:
        """Replace the report; the file follows at most four times a second, the log every five seconds and at the end."""
        now = time.time()
        self._latest = ProgressReport(step=step, total=total, message=message[:200], metrics=strings(metrics or {}), time=now)
        if now - self._written >= _FILE_SECONDS or step >= total:
            self.write()
        self._say(now, done=step >= total > 0)

    def _say(self, now: float, done: bool) -> None:
        """Print the report as a line when one is due and it says something new."""
        report = self._latest
        when, before = self._said
        numbers = " ".join(f"{name}={value}" for name, value in report.metrics.items())
        text = f"{report.step}/{report.total} {report.message} {numbers}".rstrip()
        if text != before and (done or now - when >= _LOG_SECONDS):
            print(time.strftime("%H:%M:%S", time.gmtime(now)), text, flush=True)
            self._said = (now, text)

    def write(self) -> None:
        """Bring the file up to date."""
        if self._path is None:
            return
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(self.encoded())
        temporary.replace(self._path)
        self._written = time.time()

    def encoded(self) -> bytes:
        """Return the last report as JSON of at most 16 KB; metrics go first when it is too long."""
        report = self._latest.to_dict()
        data = json.dumps(report).encode()
        return data if len(data) <= MAX_BYTES else json.dumps({**report, "metrics": {}}).encode()


class _Server(ThreadingHTTPServer):
    """A server that says nothing of pollers who went away before they had their answer."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the trace of anything but a broken connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def stacks() -> bytes:
    """Return the stacks of all threads as text; of more than 16 KB the end, where the main thread is."""
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read()[-MAX_BYTES:]


def serve(progress: FileProgress, address: str, port: int) -> ThreadingHTTPServer:
    """Answer ``GET /progress`` and ``GET /stacks`` from background threads; the caller shuts it down."""
    pages = {"/progress": ("application/json", progress.encoded), "/stacks": ("text/plain; charset=utf-8", stacks)}

    class Handler(BaseHTTPRequestHandler):
        """Two pages."""

        def do_GET(self) -> None:
            """Answer with the last report, or with what every thread does now."""
            if self.path not in pages:
                self.send_error(404)
                return
            kind, page = pages[self.path]
            data = page()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent: polls are not news."""

    try:
        server = _Server((address, port), Handler)
    except OSError as error:
        raise Transient("ASTRA_PROGRESS_PORT", "Failed", f"cannot listen on {address}:{port} ({error.strerror})") from error
    threading.Thread(target=server.serve_forever, args=(0.05,), name="progress", daemon=True).start()
    return server
