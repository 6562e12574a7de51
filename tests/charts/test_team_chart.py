"""The chart astra-team as helm renders it: every value counts, wrong ones are refused by name, and what it says fits the code."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.artifact import KINDS
from astra_operator.chartgen.team_values import Addresses, Neighbour, TeamValues
from astra_operator.chartgen.values import PORTS_ABOUT, Image
from astra_operator.crdgen.names import NAMES
from astra_operator.desired import naming
from astra_operator.desired.launch import RunName, pool_plan
from astra_operator.desired.pod import PROGRESS_PORT
from astra_operator.desired.preview import preview
from astra_operator.desired.sandbox import METRICS_LABEL, PORT, network_policy
from astra_operator.frozen import Frozen
from astra_operator.settings import TeamSettings, parse_team
from astra_operator.stages import plan
from tests.charts import helm as charts
from tests.charts.chart_values import all_wrong, get_at, leaves, other_values, set_at, unnamed
from tests.charts.helm import CHARTS, Object, helm, of_kind
from tests.charts.reach import Pod, allowed
from tests.reconcile.harness import manifest
from tests.unit.operator.test_desired_objects import SITE

TEAM, NAME = "blue", "astra-team"
CHART = CHARTS / NAME
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
STORE = ("--set", "settings.storeUrl=s3://models/blue")
Values = dict[str, Any]
DEFAULTS: Values = TeamValues().model_dump(mode="json", by_alias=True)
NETWORK: Values = {
    "addresses": [{"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"], "ports": [443]}],
    "namespaces": [{"name": "storage", "ports": [9000]}],
}
ON: Values = {
    **DEFAULTS,
    "settings": {**DEFAULTS["settings"], "storeUrl": "s3://models/blue"},
    "queue": {**DEFAULTS["queue"], "enabled": True},
    "operator": {**DEFAULTS["operator"], "rights": True},
    "network": {**DEFAULTS["network"], **NETWORK},
    "collection": {**DEFAULTS["collection"], "claim": "team-store"},
}
"""Everything that can be switched on, so that what stands behind a switch is rendered."""
OTHERS: Values = {
    "URL of the team's artifact store, which no other namespace uses": "file:///store/blue",
    "S3 endpoint URL, for stores that are not AWS": "http://store:9000",
    "digest of the image; when it is set, the tag is not looked at": "sha256:" + "1" * 64,
    "CPU that all pods together may request": "3",
    "memory that all pods together may request": "3Gi",
    "CPU that is requested for a container that says nothing": "3",
    "memory that is requested for a container that says nothing, and its limit": "3Gi",
    "most memory that one container may have": "3Gi",
    "when, as a CronJob has it": "1 2 3 * *",
    "user of every pod, by number and not root; Assigned where the cluster gives each namespace users of its own (OpenShift)": "Assigned",
    "group of every pod and of the volumes that it mounts, by number": 2000,
    "more of the quota, as Kubernetes has it: persistentvolumeclaims, say": {"persistentvolumeclaims": 3},
    "more addresses that answer, as CIDRs: 169.254.20.10/32 with NodeLocal DNSCache": ["169.254.20.10/32"],
    PORTS_ABOUT: [{"port": 5353, "protocol": "UDP"}],
    "where the claim is mounted, with settings.storeUrl below it": "/other",
    "ports of the API server, which the collection asks": [16443],
    "addresses of the API server; empty allows its ports anywhere, to the collection alone": ["10.0.0.1/32"],
    "taints that the pod may be placed beside": [{"operator": "Exists"}],
    "Secrets to pull images with, for this account and the collection's": ["pull"],
} | {
    info.description: []
    for _, info, _ in leaves(TeamValues())
    if (info.description or "").startswith(("addresses that pods may reach", "namespaces that pods may reach"))
}
LEAVES = {".".join(path): (path, info, found) for path, info, found in leaves(TeamValues())}
render = partial(charts.render, NAME, namespace=TEAM, release=NAME)


def rendered(values: Values, folder: Path) -> str:
    file = folder / "values.yaml"
    file.write_text(json.dumps(values))
    return helm("template", NAME, str(CHART), "--namespace", TEAM, "--values", str(file)).stdout


@pytest.mark.parametrize("name", LEAVES)
def test_every_value_changes_what_is_rendered(name: str, tmp_path: Path) -> None:
    path, info, _ = LEAVES[name]
    before = rendered(ON, tmp_path)
    for other in other_values(info, get_at(ON, path), OTHERS):
        assert rendered(set_at(ON, path, other), tmp_path) != before, (name, other)


@pytest.mark.parametrize(
    ("path", "other"),
    [
        (("addresses", "cidr"), "11.0.0.0/8"),
        (("addresses", "except"), []),
        (("addresses", "ports"), [8443]),
        (("namespaces", "name"), "elsewhere"),
        (("namespaces", "ports"), [9001]),
    ],
)
def test_every_part_of_a_list_changes_what_is_rendered(path: tuple[str, str], other: Any, tmp_path: Path) -> None:
    models = {"addresses": Addresses, "namespaces": Neighbour}
    assert path[1] in {info.alias for info in models[path[0]].model_fields.values()}
    changed = [{**NETWORK[path[0]][0], path[1]: other}]
    assert rendered(set_at(ON, ("network", path[0]), changed), tmp_path) != rendered(ON, tmp_path)


def test_wrong_values_are_refused_in_a_line_that_names_each(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(all_wrong(LEAVES.values())))
    done = helm("template", NAME, str(CHART), "--values", str(file), check=False)
    assert done.returncode != 0
    assert unnamed(LEAVES.values(), done.stderr) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("settings.storeURL=s3://a/b", "- at '/settings': additional properties 'storeURL' not allowed"),
        ("settings.storeUrl=gs://a/b", "- at '/settings/storeUrl': 'gs://a/b' does not match pattern '^((s3://|file:///).+)?$'"),
        ("quota.gpus=-1", "- at '/quota/gpus': minimum: got -1, want 0"),
        ("quota.cpu=many", "- at '/quota/cpu': 'many' does not match pattern"),
        ("settings.podUser=root", "- at '/settings/podUser': 'root' does not match pattern"),
        ("network.names.pods.matchLabels=null", "- at '/network/names/pods': minProperties: got 0, want 1"),
        ("collection.days=0", "- at '/collection/days': minimum: got 0, want 1"),
        ("settings.isolation=None", "- at '/settings/isolation': value must be one of 'Process', 'gVisor'"),
        ("network.addresses[0].cidr=all", "- at '/network/addresses/0/cidr': 'all' does not match pattern"),
        ("network.addresses[0].cidr=0.0.0.0/0", "- at '/network/addresses/0': missing property 'ports'"),
    ],
)
def test_what_does_not_fit_is_refused(words: str, line: str) -> None:
    done = helm("template", NAME, str(CHART), "--set", words, check=False)
    assert done.returncode != 0
    assert [said for said in done.stderr.splitlines() if said.strip().startswith(line)], done.stderr


def test_without_a_store_there_is_one_line_that_names_it() -> None:
    done = helm("template", NAME, str(CHART), check=False)
    assert done.returncode != 0
    assert "settings.storeUrl: it is not set; name the team's artifact store, for example s3://BUCKET/TEAM" in done.stderr


@pytest.mark.parametrize("file", [None, *EXAMPLES], ids=lambda file: file.stem if file else "defaults")
def test_helm_lints_it(file: Path | None) -> None:
    words = ["--values", str(file)] if file else STORE
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), *words).stdout


# ---- settings


def settings(*words: str) -> TeamSettings:
    (config,) = [item for item in of_kind(render(*words), "ConfigMap") if item["metadata"]["name"] == "astra-team"]
    return parse_team(config["data"], TEAM)


def test_the_operator_reads_every_setting() -> None:
    told = settings(*STORE)
    assert told == TeamSettings(store_url="s3://models/blue", image="astra-jobs:0.1.0")
    words = {
        "storeUrl": "s3://a/b",
        "storeEndpoint": "http://store:9000",
        "storeSecret": "key",
        "image": "jobs:1",
        "isolation": "gVisor",
        "runtimeClass": "kata",
        "networkPolicy": "Unenforced",
        "sandboxImage": "box:2",
        "sandboxUsers": "Shared",
        "podUser": "1000",
        "podGroup": "0",
    }
    assert set(words) == {info.alias for info in TeamSettings.model_fields.values()} == set(DEFAULTS["settings"])
    told = settings("--set", ",".join(f"settings.{key}={word}" for key, word in words.items()))
    assert told.model_dump(by_alias=True) == words


# ---- rights


def test_the_operators_rights_are_those_of_its_own_chart_and_given_where_a_value_says_so() -> None:
    (role,), (binding,) = (
        [item for item in of_kind(render(*STORE, "--set=operator.rights=true"), kind) if item["metadata"]["name"] == "astra-operator"]
        for kind in ("Role", "RoleBinding")
    )
    words = ("--set", "scope.mode=Namespace")
    (own,), (bound,) = (of_kind(charts.render("astra-operator", *words), kind) for kind in ("Role", "RoleBinding"))
    assert role["rules"] == own["rules"]
    assert binding["subjects"] == bound["subjects"]
    assert "astra-operator" not in {item["metadata"]["name"] for item in of_kind(render(*STORE), "Role", "RoleBinding")}


def test_no_service_account_has_a_token_and_only_the_collection_has_rights() -> None:
    items = render(*STORE)
    accounts = of_kind(items, "ServiceAccount")
    assert {item["metadata"]["name"] for item in accounts} == {"default", "astra-jobs", "astra-collection"}
    assert all(item["automountServiceAccountToken"] is False for item in accounts)
    subjects = {subject["name"] for item in of_kind(items, "RoleBinding") for subject in item["subjects"]}
    assert subjects == {"astra-collection"}
    assert not of_kind(items, "ClusterRole", "ClusterRoleBinding")


def test_everything_but_the_namespace_is_in_the_namespace_and_what_holds_runs_is_kept() -> None:
    items = render(*STORE, "--set", "queue.enabled=true")
    for item in items:
        assert item["metadata"].get("namespace") == (None if item["kind"] == "Namespace" else TEAM)
        assert item["metadata"]["labels"][naming.LABEL_MANAGED] == "Helm"
    kept = [item["kind"] for item in items if item["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"]
    assert kept == ["Namespace", "ServiceAccount"]
    assert not of_kind(render(*STORE, "--set", "namespace.manage=false"), "Namespace")


def test_every_kind_of_run_is_counted() -> None:
    (quota,) = of_kind(render(*STORE), "ResourceQuota")
    counted = {name for name in quota["spec"]["hard"] if name.endswith(".astra.dev")}
    assert counted == {f"count/{NAMES[kind].plural}.astra.dev" for kind in KINDS}
    assert quota["spec"]["hard"]["requests.nvidia.com/gpu"] == "8"


# ---- the collection


def test_the_container_that_sees_the_cluster_has_no_store_and_the_other_no_token() -> None:
    (cron,) = of_kind(render(*STORE, "--set", "settings.storeSecret=key,collection.claim=vol"), "CronJob")
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    (lister,), (collector,) = pod["initContainers"], pod["containers"]
    assert {mount["name"] for mount in lister["volumeMounts"]} == {"live", "token"}
    assert {mount["name"] for mount in collector["volumeMounts"]} == {"live", "store"}
    assert "envFrom" not in lister
    assert collector["envFrom"] == [{"secretRef": {"name": "key"}}]
    assert lister["image"] == f"{Image(repository='astra-operator').repository}:0.1.0"
    for box in (lister, collector):
        assert box["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert box["securityContext"]["allowPrivilegeEscalation"] is False


def test_nothing_is_removed_unless_a_value_says_so() -> None:
    def words(*more: str) -> list[str]:
        (cron,) = of_kind(render(*STORE, *more), "CronJob")
        return cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]

    assert words() == ["--store=s3://models/blue", "--live=/live/live.json", "--days=7"]
    assert "--remove" in words("--set", "collection.remove=true")
    assert words("--set", "settings.storeEndpoint=http://s:1,collection.days=30")[1:] == [
        "--endpoint=http://s:1",
        "--live=/live/live.json",
        "--days=30",
    ]


# ---- the network

OPERATOR = Pod("astra-system", {}, {"kubernetes.io/metadata.name": "astra-system"})
METRICS = Pod("monitoring", {}, {"kubernetes.io/metadata.name": "monitoring", METRICS_LABEL: ""})
STRANGER = Pod("green", {naming.LABEL_UID: "u-1"}, {"kubernetes.io/metadata.name": "green"})
NAMESERVER = Pod("kube-system", {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})
STORAGE = Pod("storage", {}, {"kubernetes.io/metadata.name": "storage"})
OUTSIDE, METADATA, INSIDE = Pod(ip="52.1.2.3"), Pod(ip="169.254.169.254"), Pod(ip="10.1.2.3")


def world() -> tuple[list[Object], dict[str, Pod]]:
    """Return the policies of the chart and of one pool, and the pods of the team, with the labels that the builders give them."""
    run = manifest("EnvSynthesis")
    run["metadata"] |= {"uid": "u-1", "namespace": TEAM}
    frozen = Frozen.model_validate_json(preview(run, SITE)[0]["data"]["attempt.json"]).model_copy(update={"isolation": "gVisor"})
    stage = plan("EnvSynthesis", frozen.spec)[0]
    pool = pool_plan(RunName(TEAM, "envs", "u-1"), frozen, stage, frozen.spec)
    assert pool is not None
    own = network_policy(pool)
    own["metadata"]["namespace"] = TEAM
    job = next(item for item in preview(run, SITE) if item["kind"] == "Job")["spec"]["template"]["metadata"]["labels"]
    team = partial(Pod, TEAM, namespace_labels={"kubernetes.io/metadata.name": TEAM})
    pods = {
        "job": team(job),
        "other run": team({**job, naming.LABEL_UID: "u-2"}),
        "pool": team(pool.marks),
        "report": team({"astra.dev/inspect": "report"}),
        "collection": team({"astra.dev/inspect": "collect"}),
        "somebody": team({}),
    }
    egress = "network.addresses[0].cidr=0.0.0.0/0,network.addresses[0].except={10.0.0.0/8,169.254.0.0/16},network.addresses[0].ports={443}"
    rules = render(*STORE, "--set", egress, "--set", "network.namespaces[0].name=storage,network.namespaces[0].ports={9000}")
    return [*of_kind(rules, "NetworkPolicy"), own], pods


REACHED = [
    ("job", "job", 23456, True),
    ("job", "pool", PORT, True),
    ("other run", "pool", PORT, False),
    ("report", "pool", PORT, False),
    ("somebody", "pool", PORT, False),
    ("pool", "pool", PORT, False),
    ("pool", "job", PROGRESS_PORT, False),
    ("pool", "somebody", 80, False),
    ("somebody", "job", PROGRESS_PORT, False),
    ("job", "somebody", 80, False),
    (OPERATOR, "job", PROGRESS_PORT, True),
    (OPERATOR, "job", 22, False),
    (OPERATOR, "pool", PORT, False),
    (METRICS, "job", PROGRESS_PORT, True),
    (METRICS, "pool", PORT, True),
    (STRANGER, "job", PROGRESS_PORT, False),
    (STRANGER, "pool", PORT, False),
    ("job", STRANGER, 80, False),
    ("job", OUTSIDE, 443, True),
    ("job", OUTSIDE, 22, False),
    ("job", METADATA, 443, False),
    ("job", INSIDE, 443, False),
    ("job", STORAGE, 9000, True),
    ("job", STORAGE, 9001, False),
    ("report", OUTSIDE, 443, True),
    ("report", "job", PROGRESS_PORT, False),
    ("pool", OUTSIDE, 443, False),
    ("pool", STORAGE, 9000, False),
    ("somebody", OUTSIDE, 443, False),
    ("collection", INSIDE, 6443, True),
    ("report", INSIDE, 6443, False),
    ("job", INSIDE, 6443, False),
]


def test_where_names_are_asked_for_is_a_value() -> None:
    """OpenShift's DNS pods listen on 5353; NodeLocal DNSCache answers at an address that is no pod's."""
    words = "network.names.ports[0].port=5353,network.names.ports[0].protocol=UDP,network.names.addresses={169.254.20.10/32}"
    rules = of_kind(render(*STORE, "--set", words), "NetworkPolicy")
    _, pods = world()
    cache = Pod(ip="169.254.20.10")
    for name, other, port, wanted in (
        ("job", NAMESERVER, 5353, True),
        ("job", NAMESERVER, 53, False),
        ("job", cache, 5353, True),
        ("pool", cache, 5353, False),
        ("job", METADATA, 5353, False),
        ("report", cache, 5353, True),
    ):
        assert allowed(rules, pods[name], other, port, "UDP") == wanted, (name, other, port)


def test_who_reaches_whom() -> None:
    policies, pods = world()
    end = {**pods}
    for source, target, port, wanted in REACHED:
        one = end[source] if isinstance(source, str) else source
        other = end[target] if isinstance(target, str) else target
        assert allowed(policies, one, other, port) == wanted, (source, target, port)
    for name, wanted in (("job", True), ("report", True), ("collection", True), ("pool", False), ("somebody", False)):
        assert allowed(policies, pods[name], NAMESERVER, 53, "UDP") == wanted, name


def test_without_the_policies_everybody_reaches_everybody() -> None:
    """Positive control of the one above, and what the switch means."""
    _, pods = world()
    rules = of_kind(render(*STORE, "--set", "network.enabled=false"), "NetworkPolicy")
    assert rules == []
    assert allowed(rules, pods["pool"], OUTSIDE, 22)


def test_the_notes_name_the_next_command() -> None:
    done = helm("install", NAME, str(CHART), "--namespace", TEAM, "--dry-run=client", *STORE).stdout.split("NOTES:")[1]
    assert f"kubectl -n {TEAM} apply -f manifests/samples/toolcorpus.yaml" in done
    assert "create job --from=cronjob/astra-collection" in done
    more = helm("install", NAME, str(CHART), "--namespace", TEAM, "--dry-run=client", *STORE, "--set=collection.remove=true").stdout
    assert "create job" not in more.split("NOTES:")[1]
