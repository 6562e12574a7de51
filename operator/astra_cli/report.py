"""``astra report``: asks ``astra-job inspect report`` for the page, because the command line itself never reads data."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from astra_jobs.api.base import digest_of
from astra_operator.clusters.base import Object

Team = Mapping[str, str]


def write_report(runs: list[Object], team: Team, path: Path, environment: Mapping[str, str]) -> str:
    """Write the report of runs to ``path``; return a one-line problem, empty when it is there.

    Runs whose artifacts have not changed since the page was written cost nothing.
    """
    shown = [{**run, "status": {key: value for key, value in run.get("status", {}).items() if key != "progress"}} for run in runs]
    key = digest_of([[run["kind"], run["metadata"]["name"], run["status"].get("artifacts", {})] for run in shown])
    mark = path.with_name(f".{path.name}.key")
    if path.exists() and mark.exists() and mark.read_text() == key:
        return ""
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = path.with_name(f".{path.name}.runs.json")
    listed.write_text(json.dumps(shown))
    command = [sys.executable, "-P", "-m", "astra_jobs.runtime.main", "inspect", "report"]
    command += ["--store", team["storeUrl"], "--runs", str(listed), "--out", str(path)]
    if team.get("storeEndpoint"):
        command += ["--endpoint", team["storeEndpoint"]]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    listed.unlink()
    if done.returncode or not path.exists():
        lines = (done.stderr or done.stdout).strip().splitlines()
        return lines[-1] if lines else f"astra-job inspect report ended with exit code {done.returncode}"
    mark.write_text(key)
    return ""
