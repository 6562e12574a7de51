"""``astra run`` as a user meets it: real jobs, kills at seeded moments, the same command again, one changed field."""

import os
import random
import re
import signal
import threading
from pathlib import Path

import pytest

from tests.e2e.local.kit import Project, until
from tests.patience import patience

HERE = Path(__file__).parent
PIPELINE = HERE / "synthesis" / "pipeline.yaml"
SEEDS = (1, pytest.param(2, marks=pytest.mark.bench), pytest.param(3, marks=pytest.mark.bench))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("undisturbed"), PIPELINE.read_text())
    code, output = project.astra()
    assert code == 0, output
    return project


def test_everything_succeeds_and_the_table_says_so(undisturbed: Project) -> None:
    code, output = undisturbed.astra("get")
    assert code == 0
    lines = [line.split()[:2] for line in output.splitlines()]
    assert lines == [
        ["NAME", "PHASE"],
        ["toolcorpus.astra.dev/tools", "Succeeded"],
        ["chainsynthesis.astra.dev/chains", "Succeeded"],
        ["envsynthesis.astra.dev/envs", "Succeeded"],
    ]
    assert undisturbed.pods() == []


def test_again_is_up_to_date_at_once_and_starts_nothing(undisturbed: Project) -> None:
    before = undisturbed.launched()
    code, output = undisturbed.astra()
    assert code == 0
    assert "all 3 runs are up to date; nothing was executed" in output
    assert len(re.findall(r"Succeeded\s+UpToDate", output)) == 3
    assert undisturbed.launched() == before


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_a_seeded_moment_it_goes_on_to_the_same_bytes(seed: int, undisturbed: Project, tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE.read_text())
    draw = random.Random(seed)
    for _ in range(3):
        process = project.start()
        pause = threading.Event()
        pause.wait(draw.uniform(0.2, 6.0))
        project.kill(process, pods_too=draw.random() < 0.5)
    code, output = project.astra()
    assert code == 0, f"seed {seed}: {output}"
    assert project.digests() == undisturbed.digests(), f"seed {seed}"
    assert set(project.attempts().values()) == {1}
    assert project.pods() == []


def test_ctrl_c_stops_the_pods_and_says_that_the_same_command_goes_on(undisturbed: Project, tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE.read_text())
    process = project.start()
    until(project.pods)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=patience())
    assert process.returncode == 1
    assert "stopped; the same command goes on from here" in output
    assert project.pods() == []
    code, output = project.astra()
    assert code == 0, output
    assert project.digests() == undisturbed.digests()
    assert {run["status"]["attempt"]["restarts"] for run in project.runs().values()} == {0}, "the user's wish is no failure"


def test_second_run_on_the_same_state_is_told_who_is_at_work(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE.read_text())
    process = project.start()
    until(project.pods)
    code, output = project.astra()
    assert code == 1
    (line,) = output.splitlines()
    assert re.match(rf"astra: .*/lock is held by process {process.pid} since .* \(astra run pipeline.yaml --no-report\); wait", line)
    project.kill(process, pods_too=True)


def test_one_changed_field_runs_its_kind_and_what_reads_it(undisturbed: Project, tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE.read_text())
    assert project.astra()[0] == 0
    first = project.digests()
    project.write(PIPELINE.read_text().replace("perServer: 4", "perServer: 3"))
    assert "1 of 3 runs executed something" in project.astra()[1]
    second = project.digests()
    assert [name for name in first if first[name] != second[name]] == ["chains"]
    project.write(PIPELINE.read_text().replace("perServer: 4", "perServer: 3").replace("servers: 60", "servers: 50"))
    assert "2 of 3 runs executed something" in project.astra()[1]
    third = project.digests()
    assert [name for name in second if second[name] != third[name]] == ["tools", "chains"]
    assert project.attempts() == {"tools": 2, "chains": 3, "envs": 1}
    project.write(PIPELINE.read_text())
    code, _ = project.astra()
    assert code == 0
    assert project.digests() == first, "what was asked for before is found in the store"
    assert project.runs()["chains"]["status"]["conditions"][0]["reason"] == "UpToDate"


def test_suspend_and_resume_reach_a_run_at_work(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE.read_text().replace("questions: 60", "questions: 400"))
    process = project.start()
    until(lambda: [path for path in (project.folder / ".astra/objects/default").glob("Pod.envs-*") if path.exists()])
    code, output = project.astra("suspend", "envs")
    assert (code, output) == (0, "EnvSynthesis envs is suspended now, by the astra run that is at work\n")
    output, _ = process.communicate(timeout=patience())
    assert process.returncode == 1
    assert "astra resume EnvSynthesis envs lets it go on with the same command" in output
    assert project.pods() == []
    assert project.astra("resume", "envs")[1] == "EnvSynthesis envs goes on with the next astra run\n"
    assert project.astra()[0] == 0
