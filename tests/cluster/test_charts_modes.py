"""Each mode of the operator's chart carries out runs under its own service account, with no right beyond the namespaces that it serves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.operator_process import OperatorProcess
from tests.cluster.plane.plane import ControlPlane
from tests.cluster.releases import ChartTeam, Release
from tests.patience import patience

QUICK_LOOKS = {"ASTRA_RESYNC_SECONDS": "5"}


@contextmanager
def released(plane: ControlPlane, team: ChartTeam, mode: str) -> Iterator[Release]:
    """The operator's chart in a mode that serves the team."""
    plane.require_own()
    release = Release.serving(plane, team.namespace, mode)
    try:
        yield release
    finally:
        release.helm("uninstall")


def refused(team: ChartTeam, release: Release, mark: int) -> list[str]:
    """Return what the operator asked for in the team's namespace and was not given."""
    calls = team.calls(release.account, mark)
    assert calls, "it has asked for nothing at all"
    return [f"{event['verb']} {event['objectRef']['resource']}" for event in calls if event["responseStatus"]["code"] == 403]


def synthesise(team: ChartTeam) -> None:
    """Carry out a ToolCorpus and an EnvSynthesis with pools; its nodes have to be played."""
    team.finishing = True
    team.put("ToolCorpus", "tools")
    team.put("EnvSynthesis", "envs")
    team.done("tools", "toolcorpus")
    team.done("envs", "envsynthesis")
    team.wait("its pools are gone", lambda: team.parts() == {})


@pytest.mark.parametrize("mode", ["Namespaces", "Namespace"])
def test_some_namespaces_are_served_and_no_other_is(plane: ControlPlane, runtime: None, tmp_path: Path, mode: str) -> None:
    team, other = ChartTeam(plane), ChartTeam(plane)
    with released(plane, team, mode) as release, team.playing():
        mark = plane.audit_mark()
        other.put("ToolCorpus", "tools")
        with release.operator(tmp_path) as operator:
            synthesise(team)
            assert operator.healthy()
            assert operator.stop() == 0
        assert refused(team, release, mark) == []
        assert other.calls(release.account, mark) == []
        assert ("status" in other.run(), other.jobs(), other.holder()) == (False, [], "")
        for words in (("list", "toolcorpora"), ("get", "configmaps"), ("create", "jobs"), ("list", "pods"), ("create", "secrets")):
            assert team.can(release.account, *words)
            assert not other.can(release.account, *words)
        assert not team.can(release.account, "get", "secrets")


def two_lists(team: ChartTeam, operator: OperatorProcess) -> None:
    """Wait until everything was listed twice more."""
    before = operator.metric("astra_api_calls_total", verb="list", resource="pods")
    team.wait("two more lists", lambda: operator.metric("astra_api_calls_total", verb="list", resource="pods") > before + 1)


def about(operator: OperatorProcess, team: ChartTeam) -> list[str]:
    """Return what the operator has said about a namespace."""
    return [line["message"] for line in operator.lines() if line.get("namespace") == team.namespace]


@pytest.mark.bench  # a minute
def test_every_namespace_is_served_also_those_that_come_later(plane: ControlPlane, runtime: None, tmp_path: Path) -> None:
    team = ChartTeam(plane)
    with released(plane, team, "Cluster") as release, team.playing():
        mark = plane.audit_mark()
        with release.operator(tmp_path, **QUICK_LOOKS) as operator:
            synthesise(team)
            later = ChartTeam(plane)
            later.finishing = True
            with later.playing():
                later.put("ToolCorpus", "tools")
                later.done("tools", "toolcorpus")
            assert later.holder() == team.holder() != ""
            for name in ("toolcorpus/tools", "envsynthesis/envs"):
                team.kubectl("delete", name)
            team.wait("a namespace without runs is left", lambda: team.holder() == "")
            team.put("ToolCorpus", "again")
            team.done("again", "toolcorpus")
            plane.kubectl("delete", "namespace", later.namespace, f"--timeout={patience():.0f}s")
            two_lists(team, operator)
            told = len(about(operator, later))
            two_lists(team, operator)
            assert len(about(operator, later)) == told, "it goes on about a namespace that is gone"
            assert operator.healthy()
            assert operator.stop() == 0
        assert refused(team, release, mark) == []
        assert team.holder() == ""
        assert not team.can(release.account, "get", "secrets")


def test_two_operators_for_one_namespace_leave_it_to_one(plane: ControlPlane, tmp_path: Path) -> None:
    team = ChartTeam(plane)
    with released(plane, team, "Namespace") as own, released(plane, team, "Cluster") as whole, own.operator(tmp_path / "own"):
        team.wait("the first has the Lease", lambda: team.holder() != "")
        first = team.holder()
        with whole.operator(tmp_path / "whole") as second:
            team.put("ToolCorpus", "tools")
            team.wait_for_job("tools-corpus-1-collect-0")
            team.wait("the second asks for the Lease", lambda: [event for event in team.calls(whole.account) if event["verb"] == "get"])
            assert second.healthy()
            assert team.holder() == first
            assert team.writes(whole.account) == []
            assert team.writes(own.account)
