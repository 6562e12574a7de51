"""Debian's Prometheus for tests: promtool, and a server on loopback that answers from recorded samples."""

import contextlib
import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests import debian
from tests.cluster.plane.access import free_ports, listens, wait_for
from tests.patience import patience

Sample = tuple[str, float, float]
"""A series as it is written, its value, and when, in seconds since the epoch."""


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return subprocess.run([debian.program("prometheus", "promtool"), *words], capture_output=True, text=True, timeout=patience())


def open_metrics(samples: Iterable[Sample]) -> str:
    """Return samples as OpenMetrics text: series by series, each in the order of time."""
    lines = [f"{series} {value!r} {moment:.3f}" for series, value, moment in sorted(samples, key=lambda item: (item[0], item[2]))]
    return "\n".join([*lines, "# EOF", ""])


class Server:
    """A Prometheus that scrapes nothing."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/query_range"

    def values(self, expr: str, start: float, end: float) -> list[float]:
        """Return every value that an expression has over a time, of all its series; NaN is none."""
        query = urllib.parse.urlencode({"query": expr, "start": start, "end": end, "step": 1})
        with urllib.request.urlopen(f"{self._url}?{query}", timeout=patience()) as answer:
            found: Any = json.load(answer)
        assert found["status"] == "success", found
        return [float(value) for series in found["data"]["result"] for _, value in series["values"] if value != "NaN"]


@contextlib.contextmanager
def serving(samples: Iterable[Sample], folder: Path) -> Iterator[Server]:
    """Serve samples until the block ends."""
    (folder / "samples.txt").write_text(open_metrics(samples))
    made = promtool("tsdb", "create-blocks-from", "openmetrics", folder / "samples.txt", folder / "data")
    assert made.returncode == 0, made.stderr
    (folder / "prometheus.yml").write_text("{}")
    (port,) = free_ports(1)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                debian.program("prometheus", "prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--storage.tsdb.retention.time=10y",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait_for("Prometheus answers", lambda: process.poll() is not None or (listens(port) and ready(port)), 60)
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        yield Server(port)
    finally:
        process.terminate()
        process.wait(timeout=patience())


def ready(port: int) -> bool:
    """Whether a Prometheus can be asked."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
