"""Thirty kills -9 at seeded moments over all five kinds: the synthesis ends with the same digests, no prompt is lost or doubled.

Each time ``astra run`` and every pod die at once, as in a power cut; then the same command is given again. Raw outcomes go to
``results/kill-thirty.jsonl``, one line a kill.
"""

import contextlib
import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.machine import machine
from tests.e2e.local.kit import TINY, Project, check_ledger

RESULTS = Path(__file__).parent / "results" / "kill-thirty.jsonl"
SYNTHESIS = ("tools", "chains", "envs")
KILLS = 30
AIMS = ("", "", "SFTRun.train", "RLRun.train", "RLRun.train")
"""Stages from whose start the moments of a life's kills are counted; progress is kept from one kill to the next."""


def stage_now(project: Project) -> str:
    """Say which stages have a running pod, for the raw output."""
    names = set()
    for path in (project.folder / ".astra/objects/default").glob("Pod.*.json"):
        try:
            pod = json.loads(path.read_text())
        except FileNotFoundError:
            continue
        if pod.get("status", {}).get("phase") == "Running":
            labels = pod["metadata"]["labels"]
            names.add(f"{labels['astra.dev/kind']}.{labels['astra.dev/stage']}")
    return " ".join(sorted(names))


def kill_at(project: Project, seconds: float, stage: str) -> dict[str, Any]:
    """Run for some seconds, from the start of a stage if one is named, and kill everything; a run that ends first was not killed."""
    process = project.start()
    try:
        while stage and stage not in stage_now(project) and process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=0.2)
        process.communicate(timeout=seconds)
        return {"seconds": round(seconds, 2), "stage": "", "outcome": f"ended with {process.returncode}"}
    except subprocess.TimeoutExpired:
        stage = stage_now(project)
        project.kill(process, pods_too=True)
        return {"seconds": round(seconds, 2), "stage": stage, "outcome": "killed"}


@pytest.mark.bench
def test_thirty_kills_change_nothing(tmp_path: Path) -> None:
    where = machine()
    calm = Project(tmp_path / "calm", TINY)
    start = time.monotonic()
    assert calm.astra()[0] == 0
    seconds = time.monotonic() - start
    wanted = {name: digest for name, digest in calm.digests().items() if name in SYNTHESIS}
    lines: list[dict[str, Any]] = []
    RESULTS.parent.mkdir(exist_ok=True)
    while killed(lines) < KILLS:
        seed = len({line["seed"] for line in lines})
        project, draw = Project(tmp_path / str(seed), TINY), random.Random(seed)
        for stage in AIMS:
            lines.append(where | {"seed": seed} | kill_at(project, draw.uniform(0.0, 0.15) * seconds, stage))
            if lines[-1]["outcome"] != "killed":
                break
        code, output = project.astra()
        found = {name: digest for name, digest in project.digests().items() if name in SYNTHESIS} if code == 0 else {}
        lines.append(where | {"seed": seed, "outcome": "same digests" if found == wanted else "other digests", "exitCode": code})
        RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert code == 0, f"seed {seed}: {output}"
        assert found == wanted, f"seed {seed}"
        check_ledger(project, groups=2, steps=2)


def killed(lines: list[dict[str, Any]]) -> int:
    return sum(line["outcome"] == "killed" for line in lines)
