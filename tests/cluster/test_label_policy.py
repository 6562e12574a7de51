"""A policy of the platform that owns `app.kubernetes.io/*` on all that is made in a namespace: runs go on as if it were not there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import OperatorTeam
from tests.cluster.plane.access import wait_for
from tests.cluster.plane.plane import ControlPlane

JOB = "tools-corpus-1-collect-0"
OWNED = {"app.kubernetes.io/managed-by": "platform-team", "app.kubernetes.io/name": "standard", "app.kubernetes.io/part-of": "platform"}


@pytest.fixture
def team(plane: ControlPlane) -> Iterator[OperatorTeam]:
    """A team whose namespace has the policy."""
    plane.require_own()
    team = OperatorTeam(plane, "labels")
    name = team.namespace
    labels = ", ".join(f'"{key}": "{value}"' for key, value in OWNED.items())
    rules = [
        {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}
        for resource in ("jobs", "configmaps", "pods", "deployments", "services", "networkpolicies", "poddisruptionbudgets")
    ]
    version = "admissionregistration.k8s.io/v1"
    plane.apply(
        {
            "apiVersion": version,
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}, "resourceRules": rules},
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {"expression": f"Object{{metadata: Object.metadata{{labels: {{{labels}}}}}}}"},
                    }
                ],
            },
        },
        {"apiVersion": version, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {"policyName": name}},
    )
    yield team
    plane.kubectl("delete", "mutatingadmissionpolicy,mutatingadmissionpolicybinding", name)


def acts(team: OperatorTeam) -> bool:
    """Tell if the policy is in force: it is read with some delay."""
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe", "namespace": team.namespace, "labels": {"a": "b"}}}
    team.kubectl("delete", "configmap", "probe", "--ignore-not-found")
    team.plane.apply(probe)
    found = json.loads(team.kubectl("get", "configmap", "probe", "-o", "json"))
    return OWNED.items() <= found["metadata"]["labels"].items()


def test_a_policy_that_owns_the_standard_labels_keeps_the_operator_from_nothing(team: OperatorTeam, tmp_path: Path) -> None:
    wait_for("the policy is in force", lambda: acts(team), 60)
    with OperatorProcess(team.identity(), [team.namespace], tmp_path):
        team.put()
        team.wait_for_job(JOB, 60)
        job = next(item for item in team.objects("jobs") if item["metadata"]["name"] == JOB)
        assert OWNED.items() <= job["metadata"]["labels"].items(), "the control: the policy did write"
        # It sees its objects: suspension removes the workload that is there, and what comes after it is made once.
        mark = team.plane.audit_mark()
        team.kubectl("patch", "toolcorpus", "tools", "--type=merge", "-p", '{"spec": {"suspend": true}}')
        team.wait("the workload is removed", lambda: JOB not in team.jobs(), 60)
        team.kubectl("wait", "--for=condition=Suspended", "toolcorpus/tools", "--timeout=60s")
        team.kubectl("patch", "toolcorpus", "tools", "--type=merge", "-p", '{"spec": {"suspend": false}}')
        team.wait("another workload is there", lambda: any(name != JOB for name in team.jobs()), 60)
    written = [event for event in team.writes(since=mark) if event["objectRef"]["resource"] == "configmaps"]
    assert len(written) < 12, "it does not write its own labels over and over"
