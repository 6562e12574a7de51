"""What the plane hands to tests is true: rights, other users, the audit log, our kinds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes import client

from tests.patience import patience

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "manifests" / "samples"


def test_all_five_kinds_take_their_samples(plane):
    namespace = plane.namespace()
    created = plane.kubectl("-n", namespace, "create", "-f", str(SAMPLES), "-o", "name").stdout.split()
    kinds = {each.split(".")[0] for each in created}
    assert kinds == {"toolcorpus", "chainsynthesis", "envsynthesis", "sftrun", "rlrun"}
    listed = plane.kubectl("-n", namespace, "get", "astra", "-o", "name").stdout.split()
    assert sorted(listed) == sorted(created)


def test_another_user_has_the_rights_that_are_bound_and_no_more(plane):
    namespace = plane.namespace()
    account = plane.user_kubeconfig(f"system:serviceaccount:{namespace}:reader")
    kubectl = ("--kubeconfig", str(account), "-n", namespace)
    refused = plane.kubectl(*kubectl, "get", "pods", check=False)
    assert f'User "system:serviceaccount:{namespace}:reader" cannot list resource "pods"' in refused.stderr
    plane.kubectl("-n", namespace, "create", "rolebinding", "reader", "--clusterrole=view", f"--serviceaccount={namespace}:reader")
    plane.wait_for("the right to read", *kubectl, "auth", "can-i", "list", "pods", seconds=10)
    assert plane.kubectl(*kubectl, "get", "pods").returncode == 0
    assert plane.kubectl(*kubectl, "create", "configmap", "x", check=False).returncode != 0


def test_a_token_of_a_service_account_is_accepted(plane):
    namespace = plane.namespace()
    token = plane.kubectl("-n", namespace, "create", "token", "default").stdout.strip()
    settings = client.Configuration(host=plane.server, api_key={"authorization": f"Bearer {token}"})
    with plane.api() as admin:
        settings.ssl_ca_cert = admin.configuration.ssl_ca_cert
        with client.ApiClient(settings) as api:
            review = client.AuthenticationV1Api(api).create_self_subject_review({})
    assert review.status.user_info.username == f"system:serviceaccount:{namespace}:default"


def test_the_audit_log_tells_who_wrote_what(plane):
    namespace = plane.namespace()
    with plane.api() as api:
        api.user_agent = "audit-probe"
        core = client.CoreV1Api(api)
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "before"}})
        mark = plane.audit_mark()
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "after"}})
        with pytest.raises(client.ApiException):
            core.create_namespaced_config_map(namespace, {"metadata": {"name": "after"}})
    mine = [each for each in plane.audit(mark) if each["userAgent"] == "audit-probe"]
    assert [(each["verb"], each["objectRef"].get("name"), each["responseStatus"]["code"]) for each in mine] == [
        ("create", "after", 201),
        ("create", "after", 409),
    ]
    assert {each["objectRef"]["namespace"] for each in mine} == {namespace}


def test_namespaces_are_apart_and_bring_the_teams_settings(plane):
    first, second = plane.namespace("one"), plane.namespace("two")
    assert first.startswith("one-")
    assert plane.store(first) != plane.store(second)
    data = plane.kubectl("-n", first, "get", "configmap", "astra-team", "-o", "jsonpath={.data.storeUrl}").stdout
    assert data == f"file://{plane.store(first)}"


def test_an_existing_cluster_is_used_when_named(plane, tmp_path):
    plane.require_own()
    before = set(plane.kubectl("get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}").stdout.split())
    arguments = ["-p", "no:cacheprovider", f"--basetemp={tmp_path}", "-k", "five_kinds or audit", str(Path(__file__))]
    environment = dict(os.environ) | {"ASTRA_TEST_KUBECONFIG": str(plane.kubeconfig)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=patience(300)
    )
    assert "1 passed, 1 skipped" in done.stdout, done.stdout
    assert "ASTRA_TEST_KUBECONFIG names the cluster: this test needs the harness's own" in done.stdout
    left = plane.kubectl(
        "get", "namespaces", "-o", "jsonpath={range .items[?(@.status.phase=='Active')]}{.metadata.name} {end}"
    ).stdout.split()
    assert set(left) - before == set()
