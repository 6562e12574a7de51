"""All five kinds, real training included, killed with -9 while it trains: the same command finishes, then has nothing to do."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from astra_operator.clusters.local_controllers import phase_of
from tests.e2e.local.kit import Project, until

PIPELINE = (Path(__file__).parent / "tiny" / "pipeline.yaml").read_text()


def running(project: Project, stage: str) -> Callable[[], bool]:
    def found() -> bool:
        for path in (project.folder / ".astra" / "objects" / "default").glob(f"Pod.{stage}-*.json"):
            pod = json.loads(path.read_text())
            progress = project.folder / ".astra" / "pods" / pod["metadata"]["uid"] / "root" / "progress.json"
            if phase_of(pod) == "Running" and progress.exists() and json.loads(progress.read_text())["step"] > 0:
                return True
        return False

    return found


def test_killed_in_both_trainings_it_still_ends_well(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE)
    for stage in ("base-sft-1-train", "astra-rl-1-train"):
        process = project.start("run", "pipeline.yaml")
        until(running(project, stage), seconds=600)
        project.kill(process, pods_too=True)
    code, output = project.astra("run", "pipeline.yaml")
    assert code == 0, output
    assert len(re.findall(r"True\s+(?:Finished|UpToDate)", output)) == 5
    runs = project.runs()
    assert {run["status"]["attempt"]["number"] for run in runs.values()} == {1}
    assert runs["astra"]["status"]["artifacts"].keys() == {"prepare", "train", "evaluate"}
    report = tmp_path / ".astra" / "report.html"
    assert report.read_text().lstrip().lower().startswith("<!doctype html>")
    assert project.pods() == []

    written, start = report.stat().st_mtime_ns, time.monotonic()
    code, output = project.astra("run", "pipeline.yaml")
    assert time.monotonic() - start < 10
    assert (code, len(re.findall(r"True\s+UpToDate", output))) == (0, 5)
    assert report.stat().st_mtime_ns == written
