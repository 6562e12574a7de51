"""Session fixtures for tests on a real control plane. Nothing is built or started before a test asks for it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cluster.plane.plane import ControlPlane


@pytest.fixture(scope="session")
def plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["ControlPlane"]:
    """The session's control plane; its logs are kept when a test failed."""
    from tests.cluster.plane.plane import start_plane, use_cluster

    folder = tmp_path_factory.mktemp("plane")
    named = os.environ.get("ASTRA_TEST_KUBECONFIG")
    say = _speaker(request.config)
    plane = use_cluster(folder, Path(named)) if named else start_plane(folder, say)
    try:
        yield plane
    finally:
        failed = request.session.testsfailed > 0
        plane.stop(keep_logs=failed)
        if failed:
            say(f"control plane: logs are in {folder / 'logs'}")


def _speaker(config: pytest.Config):
    """Prints a line on the terminal even while pytest captures the output of tests."""
    capture = config.pluginmanager.getplugin("capturemanager")
    reporter = config.pluginmanager.getplugin("terminalreporter")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    return say
