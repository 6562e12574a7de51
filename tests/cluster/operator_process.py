"""The operator as tests hold it: `python -m astra_operator` as a process of its own, on a port of its own choice.

It ends with the session, however that ends. A process that was stopped or killed can be started again; its log goes on.
"""

import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.plane.access import wait_for
from tests.cluster.plane.supervise import Program, Supervisor
from tests.patience import patience

ROOT = Path(__file__).parents[2]
# Everything is quicker than in production, so that tests need not wait; a test that measures sets its own.
QUICK = {"ASTRA_LEASE_SECONDS": "3", "ASTRA_POLL_SECONDS": "1", "ASTRA_PROGRESS_SECONDS": "1", "ASTRA_FIRST_RESTART_SECONDS": "1"}


class OperatorProcess:
    """One operator; ``env`` overrides settings: ``OperatorProcess(kubeconfig, ["team"], folder, ASTRA_LEASE_SECONDS="15")``."""

    def __init__(self, kubeconfig: Path, namespaces: Sequence[str], folder: Path, name: str = "operator", **env: str) -> None:
        self.name = name
        self.folder = folder
        path = os.pathsep.join([str(ROOT), str(ROOT / "operator")])
        told = {"KUBECONFIG": str(kubeconfig), "ASTRA_NAMESPACES": ",".join(namespaces), "ASTRA_PORT": "0", "PYTHONPATH": path}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ASTRA_")}
        self.env = kept | QUICK | told | env
        self._supervisor: Supervisor | None = None
        self._program: Program | None = None
        self._log_from = 0

    def __enter__(self) -> "OperatorProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, wait: bool = True) -> "OperatorProcess":
        """Start it; with ``wait``, return when it answers probes."""
        self._supervisor = self._supervisor or Supervisor(self.folder)
        self._log_from = len(self.log())
        self._program = self._supervisor.start(self.name, [sys.executable, "-m", "astra_operator"], self.env, self.folder)
        if wait:
            wait_for(f"{self.name} answers", lambda: self.program.require() or self._port() is not None, 60)
        return self

    @property
    def program(self) -> Program:
        """The running process."""
        assert self._program is not None, "it was never started"
        return self._program

    @property
    def pid(self) -> int:
        return self.program.pid

    def stop(self, seconds: float = 30) -> int:
        """Ask it to end with SIGTERM and return its exit code; fails when it does not end in time."""
        self.program.signal(signal.SIGTERM)
        return self.program.wait(seconds)

    def kill(self) -> None:
        """Kill it with -9."""
        self.program.signal(signal.SIGKILL)
        self.program.wait(10)

    def signal(self, number: int) -> None:
        """Send any signal: SIGSTOP and SIGCONT pause it."""
        self.program.signal(number)

    def close(self) -> None:
        """End it and its supervisor at once."""
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None

    def problems(self) -> str:
        """What the liveness probe complains of; empty when it is green."""
        try:
            self._get("/healthz")
        except urllib.error.HTTPError as error:
            return error.read().decode()
        return ""

    def healthy(self) -> bool:
        """Whether the liveness probe is green."""
        try:
            return not self.problems()
        except OSError:
            return False

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and sorted labels: ``astra_reconciles_total{kind="SFTRun",outcome="changed"}``."""
        found = {}
        for family in text_string_to_metric_families(self.page()):
            for sample in family.samples:
                labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found

    def page(self) -> str:
        """The page of metrics as it is scraped."""
        return self._get("/metrics")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name whose labels include the given ones."""
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        return sum(value for key, value in self.metrics().items() if key.split("{")[0] == name and all(each in key for each in wanted))

    def log(self) -> str:
        """Everything that it has printed, over all its starts."""
        path = self.folder / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def lines(self) -> list[dict[str, Any]]:
        """The log lines since the last start, those that are JSON."""
        return [json.loads(line) for line in self.log()[self._log_from :].splitlines() if line.startswith("{")]

    def resident_bytes(self) -> int:
        """Resident memory now."""
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())[1]) * 1024

    def _port(self) -> int | None:
        found = re.findall(r"serving /metrics and /healthz on port (\d+)", self.log()[self._log_from :])
        return int(found[-1]) if found else None

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port()}{path}", timeout=patience()) as answer:
            return answer.read().decode()
