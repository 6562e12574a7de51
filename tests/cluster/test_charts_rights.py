"""The shipped rights one by one: without any of them something says so in a line, and nothing crashes or holds up other namespaces.

And what people get: `view` and `edit` of Kubernetes hold what `kubectl astra` needs, and no more than that.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from astra_cli.kubectl import main
from tests.charts.helm import Object, of_kind
from tests.cluster.faults.player import PodPlayer
from tests.cluster.operator_pools import Pools
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import rights
from tests.cluster.plane.plane import ControlPlane
from tests.cluster.releases import ChartTeam, Release
from tests.reconcile.harness import bad, good

TAKEN = [
    ("envsyntheses", "list"), ("envsyntheses", "watch"), ("envsyntheses/status", "update"), ("envsyntheses/finalizers", "update"),
    ("configmaps", "get"), ("configmaps", "list"), ("configmaps", "create"), ("configmaps", "patch"),
    ("pods", "list"), ("pods", "watch"), ("jobs", "list"), ("jobs", "create"), ("pytorchjobs", "list"),
    ("deployments", "list"), ("deployments", "create"), ("deployments", "delete"), ("services", "create"), ("networkpolicies", "create"),
    ("poddisruptionbudgets", "create"), ("secrets", "create"), ("leases", "create"), ("leases", "watch"),
]  # fmt: skip
SECONDS = 120
# Lists and probes that soon complain of events that do not come: those that may not come are no reason to start anew.
WATCHFUL = {"ASTRA_SILENCE_SECONDS": "10", "ASTRA_RESYNC_SECONDS": "10"}


class Short(Pools):
    """A team whose operator lacks one verb on one resource; with none taken, it has all."""

    def __init__(self, plane: ControlPlane, taken: tuple[str, str] | None) -> None:
        self.taken = taken
        super().__init__(plane)

    def grant(self) -> None:
        """Give all rights but one."""
        items = rights(self.namespace)
        (role,) = of_kind(items, "Role")
        role["rules"] = [rest for rule in role["rules"] for rest in without(rule, self.taken)]
        self.plane.apply(*items)

    def said(self, operator: OperatorProcess) -> str:
        """Return everything that tells of this team: its lines in the log, and its run's conditions."""
        lines = [line["message"] for line in operator.lines() if self.namespace in (line.get("namespace"), *line["message"].split('"'))]
        conditions = self.run("envs", "envsynthesis").get("status", {}).get("conditions", [])
        return "\n".join([*lines, *(str(item.get("message", "")) for item in conditions)])


def without(rule: Object, taken: tuple[str, str] | None) -> list[Object]:
    """Return a rule less a verb on a resource."""
    if taken is None or taken[0] not in rule["resources"] or taken[1] not in rule["verbs"]:
        return [rule]
    others = [name for name in rule["resources"] if name != taken[0]]
    verbs = [verb for verb in rule["verbs"] if verb != taken[1]]
    rest = [rule | {"resources": others}] if others else []
    return rest + ([rule | {"resources": [taken[0]], "verbs": verbs}] if verbs else [])


@pytest.mark.bench  # two minutes: each right is taken away
def test_a_right_that_is_missing_is_named_and_keeps_nobody_else_waiting(plane: ControlPlane, runtime: None, tmp_path: Path) -> None:
    plane.require_own()
    whole = Short(plane, None)
    short = {taken: Short(plane, taken) for taken in TAKEN}
    teams = {team.namespace: team for team in (whole, *short.values())}
    failing = {short["configmaps", "patch"].namespace}  # how an attempt's pods ended is noted on its request, and only failures are

    def script(pod: Object) -> Callable | None:
        metadata = pod["metadata"]
        mine = metadata["namespace"] in teams and "astra.dev/pool" not in metadata["labels"]
        if mine and metadata["namespace"] in failing:
            return lambda request, shard: (bad("Transient", "the store is away", 75), 75)
        return (lambda request, shard: (good(request, shard), 0)) if mine else None

    for team in teams.values():
        team.put("EnvSynthesis", "envs", shards=1)
    with OperatorProcess(whole.identity(), list(teams), tmp_path, **WATCHFUL) as operator, PodPlayer(plane, script):
        pid = operator.pid
        whole.until("Succeeded", "True", "Finished", SECONDS)

        def unnamed() -> list[tuple[str, str]]:
            return [taken for taken, team in short.items() if not any(words in team.said(operator) for words in refusals(*taken))]

        with contextlib.suppress(AssertionError):
            whole.wait("every one is named", lambda: not unnamed(), SECONDS)
        assert unnamed() == []
        # Streams that stay closed would be red by now, were they to count: two lists have found what no event had brought.
        assert operator.metric("astra_missed_events_total") == 0
        assert operator.pid == pid
        operator.program.require()
        assert "Traceback" not in operator.log()
        assert operator.healthy(), operator.problems()
        failing.clear()
        for team in short.values():  # what was missing comes, and it goes on by itself
            team.plane.apply(*rights(team.namespace))
        for team in short.values():
            team.until("Succeeded", "True", "Finished", SECONDS)
        assert operator.stop() == 0


def refusals(resource: str, verb: str) -> tuple[str, ...]:
    """What the API server says of a right that is missing, or the operator, who finds out about streams by asking."""
    if resource.endswith("/finalizers"):
        return ("cannot set blockOwnerDeletion",)
    return (f'cannot {verb} resource "{resource}"', f"no events of {resource} come in")


@pytest.fixture(scope="module")
def team(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartTeam]:
    """A team with a run, and the chart's roles for people."""
    plane.require_own()
    team = ChartTeam(plane)
    release = Release(plane, plane.namespace("system"))
    release.install("--set=scope.mode=Namespaces", f"--set=scope.namespaces={{{team.namespace}}}")
    assert not team.can("stranger", "list", "toolcorpora.astra.dev")
    team.put("ToolCorpus")
    with release.operator(tmp_path_factory.mktemp("people")):
        team.wait_for_job("tools-corpus-1-collect-0")
    yield team
    release.helm("uninstall")


def person(team: ChartTeam, name: str, role: str) -> Path:
    """Return the kubeconfig of somebody with a role of Kubernetes' own in the team's namespace."""
    team.kubectl("create", "rolebinding", name, f"--clusterrole={role}", f"--user={name}")
    team.wait("the role is bound", lambda: team.can(name, "list", "toolcorpora.astra.dev"), 30)
    return team.plane.user_kubeconfig(name)


def astra(kubeconfig: Path, team: ChartTeam, *words: str) -> tuple[int, str]:
    """Run kubectl astra as somebody."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*words, "-n", team.namespace, "--kubeconfig", str(kubeconfig)])
    return code, out.getvalue() + err.getvalue()


def test_who_may_view_sees_runs_and_changes_nothing(team: ChartTeam) -> None:
    viewer = person(team, "viewer", "view")
    code, said = astra(viewer, team, "status", "tools")
    assert code == 0, said
    assert "forbidden" not in said
    assert "stage collect" in said
    code, said = astra(viewer, team, "suspend", "tools")
    assert (code, 'cannot patch resource "toolcorpora"' in said) == (1, True), said
    for words in (("create", "rlruns.astra.dev"), ("delete", "toolcorpora.astra.dev"), ("get", "secrets")):
        assert not team.can("viewer", *words)


def test_who_may_edit_changes_runs_and_not_their_status(team: ChartTeam) -> None:
    editor = person(team, "editor", "edit")
    for words in (("status", "tools"), ("suspend", "tools"), ("resume", "tools"), ("rerun", "tools")):
        code, said = astra(editor, team, *words)
        assert code == 0, said
    assert team.run()["spec"]["rerun"]
    for verb in ("create", "update", "patch", "delete", "deletecollection"):
        assert team.can("editor", verb, "envsyntheses.astra.dev")
    for words in (("update", "toolcorpora.astra.dev", "--subresource=status"), ("create", "clusterroles"), ("patch", "crds")):
        assert not team.can("editor", *words)
    for needed in (
        ("create", "jobs"),
        ("create", "configmaps"),
        ("patch", "configmaps"),
        ("delete", "jobs"),
        ("get", "pods", "--subresource=log"),
    ):
        assert team.can("editor", *needed), "kubectl astra report makes a Job and reads its pod's log"
