"""The chart astra-operator as helm renders it: every value counts, wrong ones are refused by name, and what it says fits the code."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml  # kubernetes brings it

from astra_operator.chartgen.operator_values import OperatorValues
from astra_operator.chartgen.values import PORTS_ABOUT
from astra_operator.desired.naming import LABEL_UID
from astra_operator.desired.pod import PROGRESS_PORT
from astra_operator.settings import OperatorSettings, ProcessSettings, process_settings
from tests.charts.chart_values import all_wrong, get_at, leaves, other_values, set_at, unnamed
from tests.charts.helm import CHARTS, RELEASE, SYSTEM, Object, helm, of_kind, render

CHART = CHARTS / RELEASE
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
Values = dict[str, Any]
DEFAULTS: Values = OperatorValues().model_dump(mode="json", by_alias=True)
SWITCHES = ("serviceMonitor", "prometheusRule", "dashboard", "leastIsolation")
ON: Values = {
    **DEFAULTS,
    **{name: {**DEFAULTS[name], "enabled": True} for name in SWITCHES},
    "scope": {"mode": "Namespaces", "namespaces": ["one"]},
}
"""Everything that can be switched on, so that what stands behind a switch is rendered."""
OTHERS: Values = {
    "digest of the image; when it is set, the tag is not looked at": "sha256:" + "1" * 64,
    "how often metrics are read": "45s",
    "the namespaces to serve, with mode Namespaces; each has to exist when its Role is made": ["one", "two"],
    "more environment variables, as Kubernetes has them: a proxy, say": [{"name": "SOME", "value": "thing"}],
    "taints that the pod may be placed beside": [{"operator": "Exists"}],
    "Secrets of the release's namespace to pull the image with": ["pull"],
    "ports of the API server": [16443],
    "addresses of the API server, as CIDRs; empty allows its ports anywhere": ["10.0.0.1/32"],
    PORTS_ABOUT: [{"port": 5353, "protocol": "TCP"}],
    "RuntimeClasses that sandbox pods may have": ["gvisor", "kata"],
}
LEAVES = {".".join(path): (path, info, found) for path, info, found in leaves(OperatorValues())}


def rendered(values: Values, folder: Path) -> str:
    file = folder / "values.yaml"
    file.write_text(json.dumps(values))
    return helm("template", RELEASE, str(CHART), "--namespace", SYSTEM, "--values", str(file)).stdout


@pytest.mark.parametrize("name", LEAVES)
def test_every_value_changes_what_is_rendered(name: str, tmp_path: Path) -> None:
    path, info, _ = LEAVES[name]
    before = rendered(ON, tmp_path)
    for other in other_values(info, get_at(ON, path), OTHERS):
        values = set_at(ON, path, other)
        if other in ("Cluster", "Namespace"):
            values = set_at(values, ("scope", "namespaces"), [])
        assert rendered(values, tmp_path) != before, (name, other)


def test_wrong_values_are_refused_in_a_line_that_names_each(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(all_wrong(LEAVES.values())))
    done = helm("template", RELEASE, str(CHART), "--values", str(file), check=False)
    assert done.returncode != 0
    assert unnamed(LEAVES.values(), done.stderr) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("pase.workers=8", "- at '': additional properties 'pase' not allowed"),
        ("pace.worker=8", "- at '/pace': additional properties 'worker' not allowed"),
        ("pace.workers=0", "- at '/pace/workers': minimum: got 0, want 1"),
        ("scope.mode=Namespaces", "- at '/scope/namespaces': minItems: got 0, want 1"),
        ("scope.namespaces={a}", "- at '/scope/namespaces': maxItems: got 1, want 0"),
        ("scope.mode=cluster", "- at '/scope/mode': value must be one of 'Cluster', 'Namespaces', 'Namespace'"),
    ],
)
def test_what_does_not_fit_is_refused(words: str, line: str) -> None:
    done = helm("template", RELEASE, str(CHART), "--set", words, check=False)
    assert done.returncode != 0
    assert line in done.stderr.splitlines()


@pytest.mark.parametrize("file", [None, *EXAMPLES], ids=lambda file: file.stem if file else "defaults")
def test_helm_lints_it(file: Path | None) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), *(["--values", str(file)] if file else [])).stdout


def operator(items: list[Object]) -> Object:
    (deployment,) = of_kind(items, "Deployment")
    return deployment["spec"]["template"]["spec"]["containers"][0]


def told(*words: str) -> ProcessSettings:
    return process_settings({item["name"]: item["value"] for item in operator(render(RELEASE, *words))["env"]})


def test_the_operator_understands_what_it_is_told() -> None:
    assert told() == ProcessSettings(())
    assert told("--set", "scope.mode=Namespace").namespaces == (SYSTEM,)
    assert told("--set", "scope.mode=Namespaces,scope.namespaces={a,b}").namespaces == ("a", "b")
    paced = told("--set", "pace.resyncSeconds=86400,pace.pollSeconds=3600,pace.firstRestartSeconds=0,pace.workers=256")
    assert (paced.resync_seconds, paced.workers) == (86400, 256)
    assert paced.pace == OperatorSettings(poll=3600, first_restart_delay=0)


@pytest.mark.parametrize("end", ["ge", "le"])
def test_the_ends_of_every_range_are_the_operators_own(end: str) -> None:
    words = []
    for name, (path, info, _) in LEAVES.items():
        if path[0] == "pace":
            words.append(f"{name}={next(getattr(mark, end) for mark in info.metadata if hasattr(mark, end))}")
    assert told("--set", ",".join(words))


def test_the_network_policy_knows_the_port_and_the_label_of_pods() -> None:
    (policy,) = of_kind(render(RELEASE), "NetworkPolicy")
    (progress,) = [rule for rule in policy["spec"]["egress"] if "to" in rule]
    assert [port["port"] for port in progress["ports"]] == [PROGRESS_PORT]
    assert progress["to"][0]["podSelector"] == {"matchExpressions": [{"key": LABEL_UID, "operator": "Exists"}]}
    assert operator(render(RELEASE))["ports"][0]["containerPort"] == policy["spec"]["ingress"][0]["ports"][0]["port"]


def test_alerts_and_dashboard_are_the_shipped_files() -> None:
    items = render(RELEASE, "--set", "prometheusRule.enabled=true,dashboard.enabled=true")
    (rule,) = of_kind(items, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    (config,) = of_kind(items, "ConfigMap")
    assert json.loads(config["data"]["astra.json"]) == json.loads((CHART / "files" / "dashboard.json").read_text())
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_nothing_of_the_chart_looks_like_a_child_of_a_run() -> None:
    assert [item for item in render(RELEASE, "--set", "leastIsolation.enabled=true") if LABEL_UID in item["metadata"]["labels"]] == []


def test_nothing_is_selected_by_labels_that_a_policy_of_the_platform_may_own() -> None:
    items = render(RELEASE, "--set", "serviceMonitor.enabled=true")
    kinds = ("Deployment", "PodDisruptionBudget", "ServiceMonitor", "Service", "NetworkPolicy")
    deployment, budget, monitor, service, policy = (of_kind(items, kind)[0] for kind in kinds)
    pods = {"astra.dev/component": "operator", "astra.dev/release": RELEASE}
    for item in (deployment, budget, monitor):
        assert item["spec"]["selector"] == {"matchLabels": pods}
    assert policy["spec"]["podSelector"] == {"matchLabels": pods}
    assert service["spec"]["selector"] == pods
    for item in (deployment["spec"]["template"], service):
        assert pods.items() <= item["metadata"]["labels"].items()


CLUSTER_WIDE = ("ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "Namespace")


def scopes(*words: str) -> dict[str, set[str]]:
    """Return the kinds of the chart by the namespace that they are in."""
    found: dict[str, set[str]] = {}
    for item in render(RELEASE, *words):
        assert ("namespace" in item["metadata"]) == (item["kind"] not in CLUSTER_WIDE), item
        found.setdefault(item["metadata"].get("namespace", ""), set()).add(item["kind"])
    return found


def test_each_mode_has_the_rights_that_it_needs_and_where() -> None:
    own = {"ServiceAccount", "Deployment", "NetworkPolicy", "PodDisruptionBudget"}
    less = "rights.runtimeClasses=false,rights.people=false"
    assert scopes("--set", less) == {"": {"ClusterRole", "ClusterRoleBinding"}, SYSTEM: own}
    assert scopes("--set", f"{less},scope.mode=Namespace") == {SYSTEM: own | {"Role", "RoleBinding"}}
    teams = {name: {"Role", "RoleBinding"} for name in ("a", "b")}
    assert scopes("--set", f"{less},scope.mode=Namespaces,scope.namespaces={{a,b}}") == {SYSTEM: own} | teams


def test_the_rights_are_the_same_in_every_mode_and_read_no_secret() -> None:
    cluster = next(item for item in of_kind(render(RELEASE), "ClusterRole") if item["metadata"]["name"] == f"{SYSTEM}-{RELEASE}")
    (role,) = of_kind(render(RELEASE, "--set", "scope.mode=Namespace"), "Role")
    assert cluster["rules"] == role["rules"]
    for rule in cluster["rules"]:
        assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])
        if "secrets" in rule["resources"]:
            assert set(rule["verbs"]) <= {"create", "delete"}
    assert not any("exec" in resource or "escalate" in rule["verbs"] for rule in cluster["rules"] for resource in rule["resources"])


def test_two_releases_share_no_object_but_the_policies_of_the_cluster() -> None:
    def names(namespace: str, release: str) -> set[tuple[str, str, str]]:
        items = render(RELEASE, namespace=namespace, release=release)
        return {(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in items}

    assert not names("one", "astra") & names("two", "astra")
    assert not names("one", "astra") & names("one", "other")


def test_every_subject_is_the_service_account() -> None:
    for words in ((), ("--set", "serviceAccount.name=robot"), ("--set", "serviceAccount.create=false,serviceAccount.name=robot")):
        items = render(RELEASE, *words)
        account = "robot" if words else RELEASE
        assert {tuple(sorted(subject.items())) for item in of_kind(items, "ClusterRoleBinding") for subject in item["subjects"]} == {
            (("kind", "ServiceAccount"), ("name", account), ("namespace", SYSTEM))
        }
        (deployment,) = of_kind(items, "Deployment")
        assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == account
        assert [item["metadata"]["name"] for item in of_kind(items, "ServiceAccount")] == (
            [] if "create=false" in "".join(words) else [account]
        )


def test_an_umbrella_chart_may_hold_it(tmp_path: Path) -> None:
    """Helm gives every chart below an umbrella its `global`, which a closed schema has to let through."""
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: umbrella\nversion: 1.0.0\n")
    shutil.copytree(CHART, tmp_path / "charts" / RELEASE)
    words = ["template", "platform", str(tmp_path), "--set", f"global.site=here,{RELEASE}.pace.workers=3"]
    assert 'value: "3"' in helm(*words).stdout
    assert "at '/pace': additional properties 'site'" in helm(*words, "--set", f"{RELEASE}.pace.site=1", check=False).stderr


def test_a_template_holds_switches_and_no_program() -> None:
    """What has to be computed is computed in Python: no loops over maps, no variables, no arithmetic, no look-ups in the cluster.

    But for two: the generated template that fills defaults in, and the selector of a Deployment that is there, which cannot change.
    """
    forbidden = (":=", "lookup ", "tpl ", "add ", "mul ", "dict ", "regex", "$_", "fail ", "b64", "sha256", "range $")
    look_up = '- with lookup "apps/v1" "Deployment" .Release.Namespace .Release.Name '
    for file in set(CHARTS.glob("*/templates/*")) - set(CHARTS.glob("*/templates/_fill.tpl")):
        text = file.read_text().replace(look_up, "", 1)
        actions = [part.split("}}")[0] for part in text.split("{{")[1:]]
        assert [action for action in actions if any(word in action and "/*" not in action for word in forbidden)] == [], file


def test_the_notes_name_the_next_command() -> None:
    def notes(chart: str, *words: str) -> str:
        return helm("install", chart, str(CHARTS / chart), "--namespace", SYSTEM, "--dry-run=client", *words).stdout.split("NOTES:")[1]

    assert "helm install astra-operator charts/astra-operator --namespace astra-system" in notes("astra-crds")
    assert "helm install astra-team charts/astra-team" in notes(RELEASE)
    assert "serves a, b." in notes(RELEASE, "--set", "scope.mode=Namespaces,scope.namespaces={a,b}")


def test_the_crds_stay_when_their_release_goes() -> None:
    items = render("astra-crds", release="astra-crds")
    assert len(of_kind(items, "CustomResourceDefinition")) == len(items) == 5
    assert {item["metadata"]["annotations"]["helm.sh/resource-policy"] for item in items} == {"keep"}
