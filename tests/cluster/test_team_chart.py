"""The chart astra-team on a real API server: two teams that cannot touch each other, quota, examples, the collection, and the end."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.base import digest_of
from astra_jobs.api.live import LiveList
from astra_jobs.api.request import StageRequest, StoreSettings
from astra_jobs.runtime.store import Draft, open_store
from astra_operator.clusters.kubernetes_calls import Call, Calls
from tests.charts.helm import helm
from tests.cluster.operator_process import ROOT
from tests.cluster.plane.plane import ControlPlane
from tests.cluster.team_release import CHART, OPERATOR, TeamRelease, caller, reads, writes
from tests.patience import patience

ACCOUNTS = ("default", "astra-jobs", "astra-collection", OPERATOR)
JOB = "tools-corpus-1-collect-0"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def teams(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TeamRelease, TeamRelease]]:
    """Two teams, each with an operator of its own that has begun a run."""
    folder = tmp_path_factory.mktemp("teams")
    modes = {"blue": "Namespace", "green": "Namespaces"}
    blue, green = (TeamRelease(plane, folder, name, "--set=namespace.enforce=restricted", mode=mode) for name, mode in modes.items())
    with blue.operator(), green.operator():
        for team in (blue, green):
            team.kubectl("create", "secret", "generic", "key", "--from-literal=word=whisper")
            team.put()
        for team in (blue, green):
            team.wait("its Job and its pod", lambda team=team: team.pods())
        yield blue, green
    blue.leave()
    green.leave()


@pytest.fixture(scope="module")
def admin(plane: ControlPlane) -> Calls:
    return caller(plane.kubeconfig)


def test_no_account_of_a_team_reads_changes_or_starts_anything_of_the_other(teams: tuple[TeamRelease, TeamRelease], admin: Calls) -> None:
    for mine, other in (teams, teams[::-1]):
        (pod,) = (item["metadata"]["name"] for item in other.pods())
        tries = [*reads(admin, other.namespace), *writes(other.namespace, pod, JOB)]
        good = {item.name: item.by(admin, dry=True) for item in tries}
        assert {name: code for name, code in good.items() if code not in (200, 201)} == {}, "positive control: each of these can be done"
        before = kept(other)
        for account in ACCOUNTS:
            somebody = caller(mine.token(account))
            found = {item.name: item.by(somebody) for item in tries}
            assert {name: code for name, code in found.items() if code != 403} == {}, account
        assert kept(other) == before


def kept(team: TeamRelease) -> dict[str, str]:
    """Return what there is in a namespace that nobody but a thief would change."""
    items = [item for kind in ("configmaps", "secrets", "jobs", "pods", "serviceaccounts", "roles") for item in team.objects(kind)]
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["uid"] for item in items}


def test_each_account_has_the_rights_that_it_needs_at_home_and_none_beyond(
    teams: tuple[TeamRelease, TeamRelease], plane: ControlPlane
) -> None:
    blue, green = teams
    plane.kubectl("-n", blue.namespace, "create", "serviceaccount", "nobody")
    nothing = rules(blue, "nobody", blue.namespace)
    for account in ("default", "astra-jobs"):
        assert rules(blue, account, blue.namespace) == nothing
    home = {account: rules(blue, account, blue.namespace) - nothing for account in ("astra-collection", OPERATOR)}
    runs = ("toolcorpora", "chainsyntheses", "envsyntheses", "sftruns", "rlruns")
    assert home["astra-collection"] == {("list", plural) for plural in (*runs, "configmaps", "pods")}
    assert {("create", "jobs"), ("update", "rlruns/status"), ("create", "secrets")} < home[OPERATOR]
    assert not {("get", "secrets"), ("list", "secrets"), ("create", "pods"), ("create", "pods/exec")} & home[OPERATOR]
    for account in ACCOUNTS:
        assert rules(blue, account, green.namespace) == nothing


def rules(team: TeamRelease, account: str, namespace: str) -> set[tuple[str, str]]:
    """Return what the API server itself says that an account may do in a namespace: verb and resource."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    status = caller(team.token(account)).send(Call("create", "selfsubjectrulesreviews", path, {}, body)).body["status"]
    assert not status["incomplete"]
    return {(verb, resource) for rule in status["resourceRules"] for verb in rule["verbs"] for resource in rule["resources"]}


def test_pods_have_no_token_and_fit_the_strictest_level(teams: tuple[TeamRelease, TeamRelease]) -> None:
    blue, _ = teams
    levels = json.loads(blue.kubectl("get", "namespace", blue.namespace, "-o", "json"))["metadata"]["labels"]
    assert levels["pod-security.kubernetes.io/enforce"] == "restricted"
    (pod,) = blue.pods()
    assert not [volume for volume in pod["spec"]["volumes"] if "projected" in volume]
    box = {"name": "box", "image": "none"}
    plain = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain"}, "spec": {"containers": [box]}}
    words = ("-n", blue.namespace, "create", "--dry-run=server", "-o", "json", "-f", "-")
    refused = blue.plane.kubectl(*words, stdin=json.dumps(plain), check=False)
    assert 'violates PodSecurity "restricted:latest"' in refused.stderr, "positive control: another pod does not"
    safe = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}
    fits = plain | {"spec": spec | {"containers": [box | {"securityContext": safe}]}}
    made = json.loads(blue.plane.kubectl(*words, stdin=json.dumps(fits)).stdout)
    assert "volumes" not in made["spec"], "the default service account gives no token either"
    assert made["spec"]["containers"][0]["resources"]["limits"] == {"memory": "512Mi"}, "the LimitRange speaks for it"


# ---- the collection


def lister(team: TeamRelease, out: Path) -> subprocess.CompletedProcess[str]:
    """Do what the first container of the collection does, under its service account."""
    words = ["--namespace", team.namespace, "--out", str(out), "--kubeconfig", str(team.token("astra-collection"))]
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"}
    command = [sys.executable, "-m", "astra_operator.collection", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=patience(), check=False)


def test_a_collection_keeps_what_the_cluster_refers_to(teams: tuple[TeamRelease, TeamRelease], tmp_path: Path) -> None:
    blue, _ = teams
    configs = {item["metadata"]["name"]: item["data"] for item in blue.objects("configmaps")}
    request = StageRequest.model_validate_json(configs[JOB]["request.json"])
    store = open_store(StoreSettings(url=f"file://{blue.store}"))
    store.enter(blue.namespace)
    (tmp_path / "made").mkdir()
    (tmp_path / "made/a.txt").write_text("a")
    for key in (request.key(0), digest_of("of a run that is gone")):
        store.commit(Draft(key, "ToolCorpus", "collect"), tmp_path / "made")
    past = time.time() - 30 * 86_400
    for path in blue.store.rglob("*"):
        os.utime(path, (past, past))
    mark = blue.plane.audit_mark()
    done = lister(blue, tmp_path / "live.json")
    assert done.returncode == 0, done.stderr
    live = LiveList.model_validate_json((tmp_path / "live.json").read_bytes())
    assert ([run.name for run in live.runs], live.namespace) == (["tools"], blue.namespace)
    calls = [event for event in blue.plane.audit(mark) if event["user"]["username"].endswith(f":{blue.namespace}:astra-collection")]
    assert {(event["verb"], event["objectRef"]["resource"]) for event in calls} == {
        ("list", name) for name in ("pods", "configmaps", "toolcorpora", "chainsyntheses", "envsyntheses", "sftruns", "rlruns")
    }, "and the rule for it grants nothing else"
    words = [arg.replace("/live/", f"{tmp_path}/") for arg in collector(blue)["args"]]
    told = subprocess.run(
        ["astra-job", "collect", *words], capture_output=True, text=True, timeout=patience(), env=environment(), check=False
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.count("would remove artifact") == 1
    gone = subprocess.run(
        ["astra-job", "collect", *words, "--remove"], capture_output=True, text=True, timeout=patience(), env=environment(), check=False
    )
    assert gone.stdout.splitlines()[-1].startswith("removed 1 things of "), gone
    assert store.find(request.key(0)) is not None
    assert store.find(digest_of("of a run that is gone")) is None


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"}


def collector(team: TeamRelease) -> dict[str, Any]:
    (cron,) = team.objects("cronjobs")
    return cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]


def test_a_list_that_cannot_be_whole_is_not_written(teams: tuple[TeamRelease, TeamRelease], tmp_path: Path) -> None:
    _, green = teams
    role = json.loads(green.kubectl("get", "role", "astra-collection", "-o", "json"))
    less = [rule | {"resources": [name for name in rule["resources"] if name != "pods"]} for rule in role["rules"]]
    green.kubectl("patch", "role", "astra-collection", "--type=merge", "-p", json.dumps({"rules": less}))
    try:
        done = lister(green, tmp_path / "live.json")
    finally:
        green.kubectl("patch", "role", "astra-collection", "--type=merge", "-p", json.dumps({"rules": role["rules"]}))
    assert (done.returncode, list(tmp_path.iterdir())) == (78, [])
    assert 'cannot list resource "pods"' in done.stderr
    assert lister(green, tmp_path / "live.json").returncode == 0


def test_the_collections_pod_is_made_in_the_strictest_namespace(teams: tuple[TeamRelease, TeamRelease]) -> None:
    blue, _ = teams
    blue.kubectl("create", "job", "--from=cronjob/astra-collection", "now")
    (pod,) = blue.wait("its pod", lambda: blue.objects("pods", "-l", "job-name=now"))
    assert pod["spec"]["serviceAccountName"] == "astra-collection"
    projected = [volume["name"] for volume in pod["spec"]["volumes"] if "projected" in volume]
    assert projected == ["token"]
    boxes = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    mounts = {box["name"]: {mount["name"] for mount in box["volumeMounts"]} for box in boxes}
    assert mounts == {"list": {"live", "token"}, "collect": {"live"}}
    blue.kubectl("delete", "job", "now")


# ---- quota


def test_quota_refusals_are_reasons_on_the_run(plane: ControlPlane, tmp_path: Path) -> None:
    team = TeamRelease(plane, tmp_path, "small", "--set=quota.runs=1,quota.jobs=0")
    quota_counts(team)
    with team.operator():
        team.put()
        team.wait("the refusal", lambda: team.condition("Stalled")[:2] == ("True", "QuotaRefused"))
        assert (
            "exceeded quota: astra-team, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: count/jobs.batch=0"
            in (team.condition("Stalled")[2])
        )
        assert "exceeded quota: astra-team, requested: count/toolcorpora.astra.dev=1" in team.put(name="second", check=False)
        team.release.upgrade(*team.words, "--set=quota.runs=1,quota.jobs=5,quota.pods=0")
        team.put(seed=1)  # else it looks again after a minute
        team.wait("it goes on once there is quota", lambda: team.objects("jobs"))
        team.wait(
            "a Job that gets no pod says so", lambda: "exceeded quota: astra-team, requested: pods=1" in team.condition("Reconciling")[2]
        )
    team.leave()


def quota_counts(team: TeamRelease) -> None:
    """Wait until the quota is counted: what is not yet refuses everything."""
    team.wait("the quota is counted", lambda: "count/jobs.batch" in team.objects("resourcequotas")[0].get("status", {}).get("used", {}))


# ---- install, examples, the end


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_api_server_takes_every_example(kueue: ControlPlane, file: Path) -> None:
    namespace = kueue.namespace("example")
    text = helm("template", "astra-team", str(CHART), "--namespace", namespace, "--values", str(file)).stdout
    words = ("apply", "--server-side", "--force-conflicts", "--field-manager=asker", "--dry-run=server")
    done = kueue.kubectl(*words, "-f", "-", stdin=text)
    assert done.stdout.count("serverside-applied (server dry run)") == text.count("\nkind: ")


def test_an_upgrade_and_an_uninstall_leave_runs_as_they_are(plane: ControlPlane, tmp_path: Path) -> None:
    team = TeamRelease(plane, tmp_path, "leaving")
    with team.operator():
        team.put()
        team.wait("its pod", lambda: team.pods())
        run = json.loads(team.kubectl("get", "toolcorpus", "tools", "-o", "json"))
        team.release.upgrade(*team.words, "--set=settings.image=astra-jobs:next")
        team.wait("the newer image is seen", lambda: team.condition("Outdated")[:2] == ("True", "CodeChanged"))
        team.release.helm("rollback", "1")
        assert team.objects("configmaps", "--field-selector=metadata.name=astra-team")[0]["data"]["image"] == "astra-jobs:test"
        team.release.helm("uninstall")
        after = json.loads(team.kubectl("get", "toolcorpus", "tools", "-o", "json"))
        assert (after["metadata"]["uid"], after["spec"]) == (run["metadata"]["uid"], run["spec"])
        assert "deletionTimestamp" not in after["metadata"]
        assert [item["metadata"]["name"] for item in team.objects("jobs")] == [JOB]
        assert json.loads(team.kubectl("get", "namespace", team.namespace, "-o", "json"))["status"]["phase"] == "Active"
        assert team.objects("networkpolicies") + team.objects("resourcequotas") + team.objects("cronjobs") == []
        team.release.install("--take-ownership", *team.words)
        team.wait("the settings are there again", lambda: team.objects("configmaps", "--field-selector=metadata.name=astra-team"))
    team.release.helm("uninstall")
    plane.kubectl("delete", "namespace", team.namespace, f"--timeout={patience():.0f}s")
    plane.kubectl("delete", "namespace", team.home, "--wait=false")


def test_without_taking_ownership_the_refusal_names_the_namespace_and_the_switch_helps(plane: ControlPlane) -> None:
    namespace = plane.namespace("owned")
    plane.kubectl("-n", namespace, "delete", "configmap", "astra-team")
    where = (f"--kubeconfig={plane.kubeconfig}", f"--namespace={namespace}", "--set=settings.storeUrl=s3://b/team")
    done = helm("install", "astra-team", str(CHART), *where, check=False, cache=plane.folder / "discovery")
    assert done.returncode != 0
    assert f'Namespace "{namespace}"' in done.stderr
    helm("install", "astra-team", str(CHART), *where, "--set=namespace.manage=false", cache=plane.folder / "discovery")
