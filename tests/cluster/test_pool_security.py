"""Which of a pool's two forms a namespace admits, by the API server's own Pod Security, and what its team is told."""

from pathlib import Path

import pytest

from tests.cluster.operator_pools import Pools
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.plane.plane import ControlPlane

LABEL = "pod-security.kubernetes.io/enforce"


def team_of(plane: ControlPlane, level: str, users: str) -> Pools:
    team = Pools(plane, sandboxUsers=users)
    plane.kubectl("label", "namespace", team.namespace, f"{LABEL}={level}")
    return team


@pytest.mark.parametrize(("level", "users"), [("restricted", "Shared"), ("baseline", "Own")])
def test_each_form_is_admitted_at_its_level(plane: ControlPlane, runtime: None, tmp_path: Path, level: str, users: str) -> None:
    team = team_of(plane, level, users)
    team.put("EnvSynthesis", "envs")
    with OperatorProcess(team.identity(), [team.namespace], tmp_path), team.playing():
        message = team.until("ServicesReady", "True", "ServicesReady")
        assert ("its sessions share one user (sandboxUsers: Shared in astra-team)" in message) is (users == "Shared")
        pods = [pod for pod in team.objects("pods") if "astra.dev/pool" in pod["metadata"]["labels"]]
        assert pods
        for pod in pods:
            (box,) = pod["spec"]["containers"]
            assert ("runAsUser" in box["securityContext"], "unprivileged" in box["args"][1]) == (users == "Own", users == "Shared")


def test_a_namespace_that_admits_no_root_says_so_and_what_to_set(plane: ControlPlane, runtime: None, tmp_path: Path) -> None:
    team = team_of(plane, "restricted", "Own")
    team.put("EnvSynthesis", "envs")
    with OperatorProcess(team.identity(), [team.namespace], tmp_path):
        line = team.until("Stalled", "True", "Refused")
        assert 'violates PodSecurity "restricted' in line
        assert line.endswith("; set sandboxUsers: Shared in ConfigMap astra-team, and spec.rerun")
        assert team.condition("ServicesReady")[:2] == ("False", "Refused")
        assert (team.objects("pods"), team.jobs()) == ([], [])
    team.settings(sandboxUsers="Shared")
    team.put("EnvSynthesis", "envs", rerun="2")
    with OperatorProcess(team.identity(), [team.namespace], tmp_path):  # a new one, which cannot know the old settings
        team.wait("the other form is admitted", lambda: team.objects("pods"), 60)
        assert team.condition("Stalled")[0] == "False"
