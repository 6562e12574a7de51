"""The whole battery: every attack succeeds where its wall is off, and fails where all walls are up."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from astra_jobs.sandbox.pool import Walls
from tests.attacks.attack import GROUPS
from tests.attacks.catalogue.everything import ATTACKS
from tests.attacks.walls import NO_SWITCH
from tests.gvisor import NoGvisor, inside

ROOT = Path(__file__).resolve().parents[2]
BATTERY = [sys.executable, "-m", "tests.attacks.run", "--json"]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or os.uname().machine != "x86_64",
    reason="the battery makes namespaces and calls the kernel by number: root on Linux, x86_64, with util-linux",
)


def test_the_battery_has_a_hundred_attacks_with_controls_in_every_group_and_on_every_wall() -> None:
    controlled = [attack for attack in ATTACKS.values() if attack.walls]
    assert len(controlled) >= 100
    assert {attack.group for attack in controlled} == set(GROUPS)
    assert {wall for attack in controlled for wall in attack.walls} == set(Walls._fields) | NO_SWITCH


def faults(command: list[str], seconds: float) -> tuple[int, list[str]]:
    """Run a battery; return how many attacks it ran, and what was wrong."""
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        output, errors = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output, errors = child.communicate()
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert rows, errors
    assert "runs" in rows[-1], f"the battery did not end within {seconds:g} s: {errors[-2000:]}"
    wrong = [
        f"{row['attack']}, {row['run']}: {'; '.join(row['faults'])} [{row['outcome']} {row['text']!r}]"
        for row in rows[:-1]
        if row["faults"]
    ]
    return len({row["attack"] for row in rows[:-1]}), wrong


@needs_root
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--variant", "own"], id="own users"),
        pytest.param(["--variant", "shared", "--without-controls"], id="one user, walls up"),
        pytest.param(["--variant", "shared"], id="one user", marks=pytest.mark.bench),
    ],
)
def test_every_attack_succeeds_without_its_wall_and_fails_behind_it(words: list[str]) -> None:
    count, wrong = faults([*BATTERY, *words], 600)
    assert wrong == []
    assert count == len(ATTACKS)


@needs_root
@pytest.mark.parametrize(
    ("groups", "words"),
    [
        pytest.param(("escalation", "files", "network"), ["--without-controls"], id="walls up, some groups"),
        pytest.param(GROUPS, [], id="with controls", marks=pytest.mark.bench),
    ],
)
def test_the_same_in_gvisor(groups: tuple[str, ...], words: list[str], tmp_path: Path) -> None:
    only = [word for group in groups for word in ("--only", group)]
    try:
        command = inside([*BATTERY, "--here", *only, *words], tmp_path)
    except NoGvisor as error:
        pytest.fail(str(error), pytrace=False)
    count, wrong = faults(command, 900)
    assert wrong == []
    assert count == len([attack for attack in ATTACKS.values() if attack.group in groups])
