"""Session fixtures that tests of several folders stand on. Nothing is built or started before a test asks for it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.cluster.plane.plane import ControlPlane
    from tests.e2e.local.kit import Project

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # how fast a machine is decides about no test
SHARED = os.environ.get("ASTRA_TEST_TINY", "")
"""Where one of two test runs side by side tells the other the digests of the tiny pipeline, which then runs once."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple["Project", dict[str, str]]:
    """The tiny pipeline of all five kinds, carried out by ``astra run`` once, and the digests of its artifacts then.

    Later tests go on with the project; the digests stay what an undisturbed laptop makes.
    """
    from tests.e2e.local.kit import TINY, Project

    project = Project(tmp_path_factory.mktemp("tiny"), TINY)
    code, output = project.astra("run", "pipeline.yaml")
    assert code == 0, output
    digests = project.digests()
    if SHARED:
        draft = Path(f"{SHARED}.draft")
        draft.write_text(json.dumps(digests))
        draft.rename(SHARED)
    return project, digests


@pytest.fixture(scope="session")
def laptop_digests(request: pytest.FixtureRequest) -> dict[str, str]:
    """The digests of the tiny pipeline's artifacts on a laptop: of the test run beside this one, or else of a run of our own."""
    if not SHARED:
        return request.getfixturevalue("tiny")[1]
    from tests.cluster.plane.access import wait_for

    return json.loads(wait_for("the tiny pipeline of the tests beside", lambda: Path(SHARED).exists() and Path(SHARED).read_text(), 1800))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let files that wait for the tests beside come last, and after them the one that judges what all have done."""
    waiting = {item.path for item in items if "laptop_digests" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.path.name == "test_charts_usage.py", item.path in waiting))


@pytest.fixture(scope="session")
def plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["ControlPlane"]:
    """The session's control plane; its logs are kept when a test failed."""
    from tests.cluster.plane.plane import start_plane, use_cluster
    from tests.cluster.plane.tools import ToolError

    folder = tmp_path_factory.mktemp("plane")
    named = os.environ.get("ASTRA_TEST_KUBECONFIG")
    say = _speaker(request.config)
    problem = ""
    try:
        plane = use_cluster(folder, Path(named)) if named else start_plane(folder, say)
    except ToolError as error:
        problem = str(error)
    if problem:
        pytest.fail(problem, pytrace=False)
    try:
        yield plane
    finally:
        failed = request.session.testsfailed > 0
        plane.stop(keep_logs=failed)
        if failed:
            say(f"control plane: logs are in {folder / 'logs'}")


@pytest.fixture(scope="session")
def kueue(plane: "ControlPlane") -> "ControlPlane":
    """The control plane with Kueue on it from here on; Jobs without a queue label are not its business."""
    from tests.cluster.plane.kueue import start_kueue

    start_kueue(plane)
    return plane


@pytest.fixture(scope="session")
def kwok(plane: "ControlPlane") -> "ControlPlane":
    """The control plane with one node of kwok, tainted, so that only pods come there that tolerate `kwok.x-k8s.io/node`."""
    from tests.cluster.plane.addons import start_kwok

    start_kwok(plane)
    return plane


def _speaker(config: pytest.Config):
    """Prints a line on the terminal even while pytest captures the output of tests."""
    capture = config.pluginmanager.getplugin("capturemanager")
    reporter = config.pluginmanager.getplugin("terminalreporter")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    return say
