"""The quickstart under a token of the service account that each mode of the operator's chart makes: real pods, real trainings."""

from pathlib import Path

import pytest

from tests.cluster.node_process import NodeProcess
from tests.cluster.node_team import Team, condition
from tests.cluster.operator_process import ROOT, OperatorProcess
from tests.cluster.releases import Release

FILES = [ROOT / "manifests" / "quickstart" / f"{kind}.yaml" for kind in ("toolcorpus", "chainsynthesis", "envsynthesis", "sftrun", "rlrun")]
RUNS = ("toolcorpus/tools", "chainsynthesis/chains", "envsynthesis/envs", "sftrun/base", "rlrun/astra")
MODES = ("Namespace", "Namespaces", "Cluster")


class ReleasedTeam(Team):
    """A team whose operator has a token of a release's service account, and no other rights."""

    def __init__(self, node: NodeProcess, folder: Path, mode: str) -> None:
        self.mode = mode
        super().__init__(node, folder, "quickstart")

    def employ(self, folder: Path) -> OperatorProcess:
        """Release the operator's chart in the mode, for this namespace."""
        self.release = Release.serving(self.plane, self.namespace, self.mode)
        return self.release.operator(folder, ASTRA_WORKERS="2")

    def __exit__(self, *_: object) -> None:
        """End the release with the operator: its own pod may be in this namespace, where none is to be left."""
        self.operator.close()
        self.release.helm("uninstall")
        super().__exit__()

    def refusals(self, mark: int) -> list[str]:
        """Return what the operator asked for anywhere since then, and was not given."""
        calls = [event for event in self.plane.audit(mark) if event["user"].get("username") == self.release.account]
        assert calls, "it has asked for nothing at all"
        return [f"{event['verb']} {event['requestURI']}" for event in calls if event["responseStatus"]["code"] == 403]


@pytest.mark.bench  # minutes a mode
@pytest.mark.parametrize("mode", MODES)
def test_the_quickstart_succeeds_with_the_rights_of_the_mode(node: NodeProcess, tmp_path: Path, mode: str) -> None:
    mark = node.plane.audit_mark()
    with ReleasedTeam(node, tmp_path, mode) as team:
        for file in FILES:
            team.apply(file.read_text())
        team.succeeded(*RUNS, seconds=1800)
        runs = [team.run(name) for name in RUNS]
        assert {condition(run, "Succeeded")["reason"] for run in runs} == {"Finished"}
        assert team.refusals(mark) == []
