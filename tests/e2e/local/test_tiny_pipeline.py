"""All five kinds, real training included: they succeed, survive kills -9, stand still, and redo only what a change touches."""

import json
import random
import re
import threading
from pathlib import Path

import pytest

from tests.e2e.local.kit import TINY, Project, check_ledger, until

SYNTHESIS = ("tools", "chains", "envs")
SEED = 20261121
# One kill in each: a synthesis stage that works in shards, and both trainings.
KILLED_IN = ("chains-chains-1-synthesise", "base-sft-1-train", "astra-rl-1-train")


@pytest.fixture(scope="module")
def undisturbed(tiny: tuple[Project, dict[str, str]]) -> Project:
    return tiny[0]


def test_all_five_succeed_and_the_report_is_there(undisturbed: Project) -> None:
    assert set(undisturbed.reasons().values()) == {"Finished"}
    assert set(undisturbed.attempts().values()) == {1}
    assert undisturbed.runs()["astra"]["status"]["artifacts"].keys() == {"prepare", "train", "evaluate"}
    assert (undisturbed.folder / ".astra/report.html").read_text().lstrip().lower().startswith("<!doctype html>")
    assert undisturbed.pods() == []
    check_ledger(undisturbed, groups=2, steps=2)


@pytest.mark.parametrize(("name", "stage"), [("tools", "collect"), ("chains", "merge"), ("envs", "merge")])
def test_filters_drop_what_was_planted_for_them(undisturbed: Project, name: str, stage: str) -> None:
    funnel = json.loads((undisturbed.artifact(name, stage) / "report.json").read_text())["funnel"]
    assert sum(row["planted"] for row in funnel) > 0
    assert [(row["filter"], row["planted"], row["plantedDropped"]) for row in funnel if row["planted"] != row["plantedDropped"]] == []


@pytest.mark.bench  # for its length: each of the three kills has a test of its own, of a kind alone
def test_killed_at_three_seeded_moments_it_ends_the_same(tiny: tuple[Project, dict[str, str]], tmp_path: Path) -> None:
    project, draw = Project(tmp_path, TINY), random.Random(SEED)
    for stage in KILLED_IN:
        process = project.start()
        until(lambda stage=stage: project.steps(stage), seconds=300)
        threading.Event().wait(draw.uniform(0.0, 2.0))  # the moment of a kill has no condition to wait for
        project.kill(process, pods_too=True)
    code, output = project.astra()
    assert code == 0, f"seed {SEED}: {output}"
    found, (_, wanted) = project.digests(), tiny
    assert {name: found[name] for name in SYNTHESIS} == {name: wanted[name] for name in SYNTHESIS}, f"seed {SEED}"
    assert set(project.attempts().values()) == {1}
    assert project.pods() == []
    check_ledger(project, groups=2, steps=2)


def test_again_nothing_is_done_and_changes_redo_only_what_they_touch(undisturbed: Project) -> None:
    before, pods, first = undisturbed.runs(), undisturbed.launched(), undisturbed.attempts()
    report = undisturbed.folder / ".astra" / "report.html"
    written = report.stat().st_mtime_ns
    code, output = undisturbed.astra("run", "pipeline.yaml")
    assert (code, len(re.findall(r"Succeeded\s+UpToDate", output))) == (0, 5)
    assert undisturbed.launched() == pods, "nothing was executed"
    assert report.stat().st_mtime_ns == written

    undisturbed.write(TINY.replace("steps: 2,", "steps: 1,"))
    assert undisturbed.astra()[0] == 0
    assert undisturbed.attempts() == first | {"astra": 2}

    undisturbed.write(TINY)
    assert undisturbed.astra()[0] == 0
    assert undisturbed.reasons()["astra"] == "UpToDate", "what was asked for before is found in the store"
    assert undisturbed.runs()["astra"]["status"]["artifact"] == before["astra"]["status"]["artifact"]

    undisturbed.write(TINY.replace("servers: 120", "servers: 80"))
    assert undisturbed.astra()[0] == 0
    assert undisturbed.attempts() == first | {"tools": 2, "chains": 2, "base": 2, "astra": 4}, (
        "everything downstream, and nothing beside it"
    )
