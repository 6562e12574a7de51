"""What an operator must not keep believing, and whom it must not keep waiting: a ghost after an expired watch, a team without rights."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.faults.gates import Gate, Gates
from tests.cluster.faults.proxy import Faults
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import IDENTITY, OperatorTeam, rights
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ControlPlane

JOB = "{}-corpus-1-collect-0"
SECONDS = 60
RARELY = {"ASTRA_RESYNC_SECONDS": "3600", "ASTRA_LEASE_SECONDS": "15"}


@pytest.fixture
def gate(plane: ControlPlane, tmp_path: Path) -> Iterator[Gate]:
    plane.require_own()
    gates = Gates(plane, IDENTITY, tmp_path / "proxy", 1)
    yield gates.gates[0]
    gates.stop()


def runs(operator: OperatorProcess) -> float:
    return operator.metric("astra_runs", kind="ToolCorpus", condition="Reconciling")


def test_a_run_that_was_deleted_while_watches_had_expired_is_forgotten(plane: ControlPlane, gate: Gate, tmp_path: Path) -> None:
    team = OperatorTeam(plane, "ghost")
    with OperatorProcess(gate.kubeconfig(), [team.namespace], tmp_path, **RARELY) as operator:
        for name in ("one", "two"):
            team.put("ToolCorpus", name)
            team.wait_for_job(JOB.format(name), SECONDS)
        wait_for("both are known", lambda: runs(operator) == 2, SECONDS)
        gate.inject(Faults(silent=True, cut=1, expired=1.0))
        wait_for("watches expire", lambda: gate.injected().get("expired", 0) > 3, SECONDS)
        team.kubectl("delete", "toolcorpus", "two", "--wait=true")
        assert runs(operator) == 2, "no event told of the deletion"
        gate.inject(Faults())
        wait_for("the ghost is gone", lambda: runs(operator) == 1, SECONDS)
        team.put("ToolCorpus", "two")
        team.wait_for_job(JOB.format("two"), SECONDS)


def test_a_team_without_rights_keeps_no_other_waiting_and_is_served_once_it_has_them(plane: ControlPlane, tmp_path: Path) -> None:
    plane.require_own()
    team, bare = OperatorTeam(plane, "first"), plane.namespace("bare")
    with OperatorProcess(team.identity(), [bare, team.namespace], tmp_path, **RARELY) as operator:
        team.put("ToolCorpus", "early")
        team.wait_for_job(JOB.format("early"), SECONDS)
        assert f'in the namespace \\"{bare}\\"' in operator.log(), "it says who waits for rights"
        plane.apply(*rights(bare))
        run = {"apiVersion": "astra.dev/v1alpha1", "kind": "ToolCorpus", "metadata": {"name": "late", "namespace": bare}}
        plane.apply(run | {"spec": team.run("early")["spec"]})
        plane.wait_for("its job", "-n", bare, "get", "job", JOB.format("late"), "--ignore-not-found", "-o", "name", seconds=SECONDS)
        operator.program.require()
        assert operator.stop() == 0
