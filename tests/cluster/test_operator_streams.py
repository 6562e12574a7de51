"""When the way to the API server is bad: it is away for a while, or its streams of events fall silent while calls still work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_proxy import StreamProxy
from tests.cluster.operator_team import IDENTITY, OperatorTeam
from tests.cluster.plane.plane import ControlPlane

SILENCE = 4


class Line:
    """An operator behind a proxy."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.team = OperatorTeam(plane, "line")
        self.proxy = StreamProxy(plane, IDENTITY, folder / "proxy")
        self.operator = OperatorProcess(self.proxy.kubeconfig(), [self.team.namespace], folder, ASTRA_SILENCE_SECONDS=str(SILENCE))
        self.operator.start()
        self.team.put("ToolCorpus", "one")
        self.team.wait_for_job("one-corpus-1-collect-0")

    def close(self) -> None:
        self.operator.close()
        self.proxy.stop()


@pytest.fixture
def line(plane: ControlPlane, tmp_path: Path) -> Iterator[Line]:
    plane.require_own()
    line = Line(plane, tmp_path)
    try:
        yield line
    finally:
        line.close()


def test_an_api_server_that_was_away_is_served_again_by_the_same_process(line: Line) -> None:
    pid = line.operator.pid
    line.proxy.away(True)
    line.team.put("ToolCorpus", "two")
    line.team.kubectl("delete", "toolcorpus", "one", "--wait=false")
    line.team.wait("the operator noticed", lambda: "lost the Lease" in line.operator.log())
    assert "two-corpus-1-collect-0" not in line.team.jobs()
    assert line.operator.healthy(), "a new process would find the API server away as well"
    line.proxy.away(False)
    line.team.wait_for_job("two-corpus-1-collect-0", 60)
    line.team.wait(
        "the deleted run is forgotten", lambda: line.operator.metric("astra_runs", kind="ToolCorpus", condition="Reconciling") == 1, 60
    )
    assert line.operator.pid == pid
    line.operator.program.require()
    assert line.operator.healthy(), line.operator.problems()


def test_silent_streams_turn_the_probe_red_and_flowing_ones_green(line: Line) -> None:
    line.team.wait("the probe is green", line.operator.healthy)
    line.proxy.silent = True
    problems = line.team.wait("the probe is red", line.operator.problems, SILENCE * 4)
    assert problems.startswith(f"no event of the Lease in namespace {line.team.namespace} for ")
    assert line.team.holder(), "calls still work"
    line.proxy.silent = False
    line.team.wait("the probe is green again", line.operator.healthy, SILENCE * 4)
    line.team.put("ToolCorpus", "two")
    line.team.wait_for_job("two-corpus-1-collect-0")
