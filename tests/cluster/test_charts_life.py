"""Install, upgrade, rollback and uninstall of the charts while runs are at work: no run and no namespace is harmed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # kubernetes brings it

from tests.charts.helm import CHARTS, RELEASE, Object, helm, render
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.plane import tools
from tests.cluster.plane.plane import ControlPlane
from tests.cluster.releases import ChartTeam, Release
from tests.patience import patience

JOB = "tools-corpus-1-collect-0"
CRD = "toolcorpora.astra.dev"
MONITORING = ("servicemonitors", "prometheusrules")
EXAMPLES = sorted((CHARTS / RELEASE / "examples").glob("*.yaml"))


def definition(plane: ControlPlane) -> Object:
    return json.loads(plane.kubectl("get", "crd", CRD, "-o", "json").stdout)


def columns(plane: ControlPlane) -> list[str]:
    return [column["name"] for column in definition(plane)["spec"]["versions"][0]["additionalPrinterColumns"]]


def test_the_crds_are_taken_over_upgraded_rolled_back_and_kept(plane: ControlPlane, tmp_path: Path) -> None:
    plane.require_own()
    team = ChartTeam(plane)
    team.put("ToolCorpus", suspend=True)
    uid, before = team.run()["metadata"]["uid"], definition(plane)
    release = Release(plane, plane.namespace("system"), "astra-crds")
    assert "cannot be imported into the current release" in release.helm("install", str(CHARTS / "astra-crds"), check=False)
    release.install("--take-ownership", "--force-conflicts")

    newer = tmp_path / "newer"
    shutil.copytree(CHARTS / "astra-crds", newer)
    file = newer / "templates" / "toolcorpora.yaml"
    file.write_text(file.read_text().replace("- name: Age\n", "- name: Since\n"))
    release.upgrade("--force-conflicts", chart=newer)
    assert "Since" in columns(plane)
    release.helm("rollback", "1")
    assert "Since" not in columns(plane)

    assert "kept due to the resource policy" in release.helm("uninstall")
    after = definition(plane)
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    assert team.run()["metadata"]["uid"] == uid
    plane.kubectl("delete", "namespace", release.namespace, f"--timeout={patience():.0f}s")


@pytest.fixture
def team(plane: ControlPlane) -> ChartTeam:
    plane.require_own()
    return ChartTeam(plane)


@pytest.fixture
def release(plane: ControlPlane, team: ChartTeam) -> Iterator[Release]:
    """An operator for the team, released into a namespace of its own."""
    release = Release(plane, plane.namespace("system"))
    release.install("--set=scope.mode=Namespaces", f"--set=scope.namespaces={{{team.namespace}}}")
    yield release
    release.helm("uninstall", "--ignore-not-found")


def at_work(team: ChartTeam, release: Release, folder: Path) -> OperatorProcess:
    """Start the release's operator and a run that does not end."""
    operator = release.operator(folder)
    operator.start()
    team.put("ToolCorpus")
    team.wait_for_job(JOB)
    return operator


def test_an_upgrade_and_a_rollback_change_rights_and_settings_and_no_run(
    plane: ControlPlane, team: ChartTeam, release: Release, tmp_path: Path
) -> None:
    second = ChartTeam(plane)
    with at_work(team, release, tmp_path / "first") as operator:
        uid = team.objects("jobs")[0]["metadata"]["uid"]
        both = f"--set=scope.namespaces={{{team.namespace},{second.namespace}}}"
        release.upgrade("--set=scope.mode=Namespaces", both, "--set=pace.workers=3", "--set=leastIsolation.enabled=true")
        assert operator.stop() == 0
        assert release.environment()["ASTRA_WORKERS"] == "3"
        second.put("ToolCorpus")
        with release.operator(tmp_path / "second"):
            second.wait_for_job(JOB)
        assert second.can(release.account, "create", "jobs")
        release.helm("rollback", "1")
        assert release.environment()["ASTRA_WORKERS"] == "8"
        second.wait("the right is taken back", lambda: not second.can(release.account, "create", "jobs"))
        assert plane.kubectl("get", "validatingadmissionpolicies", "-o", "name").stdout.count("astra-least-isolation") == 0
        with release.operator(tmp_path / "third") as third:
            team.wait("it holds the Lease", lambda: team.holder() != "")
            assert third.healthy()
        assert team.objects("jobs")[0]["metadata"]["uid"] == uid
        assert team.run()["status"]["attempt"]["number"] == 1


def test_uninstalling_with_live_runs_deletes_none_and_no_namespace_hangs(
    plane: ControlPlane, team: ChartTeam, release: Release, tmp_path: Path
) -> None:
    with at_work(team, release, tmp_path) as operator:
        runs, jobs = team.objects("astra"), team.objects("jobs")
        release.helm("uninstall", "--wait")
        team.wait("its rights are gone", lambda: not team.can(release.account, "list", "jobs"))
        refusal = "cannot get resource"
        team.wait("it says that it may not", lambda: refusal in operator.log() or "forbidden" in operator.log(), 60)
        operator.program.require()
        assert [item["metadata"]["uid"] for item in team.objects("astra")] == [item["metadata"]["uid"] for item in runs]
        assert [item["metadata"]["uid"] for item in team.objects("jobs")] == [item["metadata"]["uid"] for item in jobs]
        left = plane.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name").stdout
        assert release.namespace not in left
    release.install("--set=scope.mode=Namespaces", f"--set=scope.namespaces={{{team.namespace}}}")
    with release.operator(tmp_path / "again"):
        team.wait("the next release takes over", lambda: team.holder() != "")
        team.settled()
        assert team.objects("jobs")[0]["metadata"]["uid"] == jobs[0]["metadata"]["uid"]
    release.helm("uninstall")
    plane.kubectl("delete", "namespace", release.namespace, f"--timeout={patience():.0f}s")
    plane.kubectl("delete", "namespace", team.namespace, f"--timeout={patience():.0f}s")


def test_a_namespace_with_a_finalizer_does_hang(plane: ControlPlane) -> None:
    """The control of the test above: that deletion is waited for, and what would hold it up."""
    namespace = plane.namespace("hung")
    metadata = {"name": "held", "namespace": namespace, "finalizers": ["example.com/held"]}
    plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    assert plane.kubectl("delete", "namespace", namespace, "--timeout=3s", check=False).returncode != 0
    plane.kubectl("-n", namespace, "patch", "configmap", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    plane.kubectl("wait", "--for=delete", f"namespace/{namespace}", f"--timeout={patience():.0f}s")


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_api_server_takes_every_example(plane: ControlPlane, file: Path) -> None:
    namespace = plane.namespace("example")
    values = yaml.safe_load(file.read_text())
    for name in values.get("scope", {}).get("namespaces", ()):
        plane.require_own()
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    text = helm("template", RELEASE, str(CHARTS / RELEASE), "--namespace", namespace, "--values", str(file)).stdout
    said = plane.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text).stdout
    assert said.count("serverside-applied (server dry run)") == text.count("\nkind: ")


def test_the_prometheus_operators_kinds_take_what_monitoring_switches_on(plane: ControlPlane) -> None:
    plane.require_own()
    kinds = tools.ensure("prometheus-operator") / "manifests" / "example" / "prometheus-operator-crd"
    plane.kubectl("apply", "--server-side", "-f", str(kinds))
    plane.wait_for_crds()
    release = Release(plane, plane.namespace("monitored"))
    switches = "--set=serviceMonitor.enabled=true,prometheusRule.enabled=true"
    release.install(switches)
    made = {kind: json.loads(plane.kubectl("-n", release.namespace, "get", kind, "-o", "json").stdout)["items"] for kind in MONITORING}
    (monitor,), (rules,) = made.values()
    rendered = {item["kind"]: item.get("spec") for item in render(RELEASE, switches, namespace=release.namespace)}
    assert (monitor["spec"], rules["spec"]) == (rendered["ServiceMonitor"], rendered["PrometheusRule"]), "nothing is pruned"
    wrong = rules | {"metadata": {"name": "wrong", "namespace": release.namespace}}
    wrong["spec"]["groups"][0]["rules"][0]["expression"] = wrong["spec"]["groups"][0]["rules"][0].pop("expr")
    refusal = plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(wrong), check=False).stderr
    assert 'unknown field "spec.groups[0].rules[0].expression"' in refusal
    release.helm("uninstall")
    for kind in MONITORING:
        assert plane.kubectl("-n", release.namespace, "get", kind, "-o", "name").stdout == ""


def test_its_pod_is_admitted_under_restricted_pod_security_and_can_be_drained(plane: ControlPlane) -> None:
    namespace = plane.namespace("restricted", {"pod-security.kubernetes.io/enforce": "restricted"})
    release = Release(plane, namespace)
    release.install("--set=scope.mode=Namespace,rights.runtimeClasses=false,rights.people=false")
    (pod,) = plane.wait_for("its pod", "-n", namespace, "get", "pods", "-o", "name").split()
    looser = json.loads(plane.kubectl("-n", namespace, "get", pod, "-o", "json").stdout)
    looser["metadata"] = {"name": "looser", "namespace": namespace}
    looser["spec"]["securityContext"] = {}
    refusal = plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(looser), check=False).stderr
    assert 'violates PodSecurity "restricted' in refusal

    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    plane.kubectl("-n", namespace, "patch", pod, "--subresource=status", "--type=merge", "-p", json.dumps(ready))
    allowed = "jsonpath={.status.disruptionsAllowed}"
    wanted = ["-n", namespace, "wait", f"--for={allowed}=1", f"pdb/{RELEASE}", f"--timeout={patience():.0f}s"]
    plane.kubectl(*wanted)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.split("/")[1], "namespace": namespace}}
    plane.kubectl(
        "create", "--raw", f"/api/v1/namespaces/{namespace}/{pod.replace('pod/', 'pods/')}/eviction", "-f", "-", stdin=json.dumps(eviction)
    )
    plane.kubectl("-n", namespace, "wait", "--for=delete", pod, f"--timeout={patience():.0f}s")
