"""Fixtures on top of the control plane that several files of cluster tests use."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cluster.gitops_story import Recorder
    from tests.cluster.node_process import NodeProcess
    from tests.cluster.plane.plane import ControlPlane


@pytest.fixture(scope="session")
def node(plane: "ControlPlane", tmp_path_factory: pytest.TempPathFactory) -> Iterator["NodeProcess"]:
    """A node that runs pods as processes of this machine; only pods of ``node.namespace()`` come to it."""
    from tests.cluster.node_process import NodeProcess

    node = NodeProcess(plane, tmp_path_factory.mktemp("node"), cpu="16", memory="64Gi").start()
    try:
        plane.wait_for("the process node is ready", "get", "node", node.name, "--ignore-not-found", "-o", READY)
        yield node
    finally:
        node.stop()
        plane.kubectl("delete", "node", node.name, "--ignore-not-found")


@pytest.fixture(scope="session")
def recorder(node: "NodeProcess", tmp_path_factory: pytest.TempPathFactory) -> Iterator["Recorder"]:
    """Runs that the real operator has brought into every state, with the metrics of that operator meanwhile; it is stopped now."""
    from tests.cluster.gitops_story import Recorder, tell
    from tests.cluster.node_team import Team
    from tests.monitoring.scraper import Scraper

    recorder = Recorder(Team(node, tmp_path_factory.mktemp("states"), "states"))
    try:
        with Scraper("operator", recorder.team.operator.page) as scraper:
            recorder.look = scraper.look
            tell(recorder)
        recorder.samples = scraper.samples
        yield recorder
    finally:
        recorder.team.__exit__()


@pytest.fixture(scope="session")
def runtime(plane: "ControlPlane") -> None:
    """A RuntimeClass for sandbox pools, and the operator's right to see it."""
    from tests.cluster.operator_team import cluster_rights

    gvisor = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "gvisor"}, "handler": "runsc"}
    plane.apply(gvisor, *cluster_rights())


READY = "jsonpath={.status.conditions[?(@.status=='True')].type}"
