"""The chart's rights are exact: what the API server's audit log shows of operators in this session is what the chart allows, both ways.

It runs last, so that in a run of the whole suite it judges all of it. What the suite seldom meets, a lost race, is met here on purpose; so
the verdict is the same when it runs alone. Rights that no call uses are named with the reason why they are there.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from astra_jobs.api.artifact import KINDS
from astra_operator.clusters.base import ClusterError
from astra_operator.clusters.index import Index
from astra_operator.clusters.kubernetes import KubernetesCluster
from tests.charts.helm import RELEASE, of_kind, render
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.operator_team import OperatorTeam
from tests.cluster.plane.plane import ControlPlane

Object = dict[str, Any]
Right = tuple[str, str, str]
BOX = {"containers": [{"name": "pytorch", "image": "none"}]}
LABELS = {"astra.dev/run-uid": "usage"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": BOX}
CHILDREN: dict[tuple[str, str], Object] = {
    ("v1", "ConfigMap"): {"data": {"a": "b"}},
    ("batch/v1", "Job"): {"spec": {"suspend": True, "template": {"spec": BOX | {"restartPolicy": "Never"}}}},
    ("kubeflow.org/v1", "PyTorchJob"): {
        "spec": {"runPolicy": {"suspend": True}, "pytorchReplicaSpecs": {"Master": {"replicas": 1, "template": {"spec": BOX}}}}
    },
    ("apps/v1", "Deployment"): {"spec": {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}},
    ("v1", "Service"): {"spec": {"ports": [{"port": 1}]}},
    ("networking.k8s.io/v1", "NetworkPolicy"): {"spec": {"podSelector": {"matchLabels": {"no": "pod"}}}},
    ("policy/v1", "PodDisruptionBudget"): {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"no": "pod"}}}},
    ("v1", "Secret"): {},
}


def rights() -> set[Right]:
    """What the chart allows the operator where it serves a cluster: API group, resource with its subresource, verb."""
    roles = [item for item in of_kind(render(RELEASE), "ClusterRole") if not item["metadata"]["name"].endswith(("-view", "-edit"))]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(events: Iterable[Object]) -> set[Right]:
    """What operators have asked for and were given; what they were refused they did not use."""
    found = set()
    for event in events:
        reference, user = event.get("objectRef"), event["user"].get("username", "")
        mine = user.startswith("system:serviceaccount:") and user.endswith(f":{RELEASE}")
        asked = reference and not reference["resource"].startswith("selfsubject")  # what it may do itself everybody may ask
        if mine and asked and event["responseStatus"].get("code") != 403:
            resource = "/".join(part for part in (reference["resource"], reference.get("subresource")) if part)
            found.add((reference.get("apiGroup", ""), resource, event["verb"]))
    return found


def lose_races(team: OperatorTeam) -> None:
    """Write to runs that have changed, make what is there already, delete what is another by now, and do it all the plain way too."""
    with team.plane.api(team.identity()) as api:
        for kind in KINDS:
            team.put(kind, f"usage-{kind.lower()}", suspend=True)
            run = team.run(f"usage-{kind.lower()}", kind)
            with pytest.raises(ClusterError, match="has changed since it was read"):
                KubernetesCluster(api, Index()).write_status(run | {"metadata": run["metadata"] | {"resourceVersion": "1"}}, {})
        for (version, kind), rest in CHILDREN.items():
            item = {"apiVersion": version, "kind": kind, "metadata": {"name": "usage", "labels": LABELS}, **rest}
            first, second = KubernetesCluster(api, Index()), KubernetesCluster(api, Index())
            assert first.apply([item], run) == ["usage"]
            item["metadata"] = item["metadata"] | {"labels": LABELS | {"astra.dev/more": "labels"}}
            assert second.apply([item], run) == (["usage"] if kind == "Deployment" else [])
            made = second.index.find(kind, team.namespace, "usage") or item | {"metadata": item["metadata"] | {"namespace": team.namespace}}
            second.delete(made)
        cluster = KubernetesCluster(api, Index())
        assert cluster.has_runtime("gvisor")
        cluster.team(team.namespace)
        metadata = {"name": "usage", "namespace": team.namespace}
        team.plane.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"labels": LABELS}, "spec": BOX})
        cluster.delete({"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"uid": "another"}})
        assert cluster.warnings({"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"uid": "another"}}) == []
        assert not cluster.terminating(team.namespace)


def test_every_right_is_used_and_nothing_else(kueue: ControlPlane, runtime: None, tmp_path: Path) -> None:
    kueue.require_own()
    team = OperatorTeam(kueue, "usage")
    allowed, mark = rights(), kueue.audit_mark()
    # Nobody calls a subresource `finalizers`: admission asks for the right to it when an owner is named (see test_charts_rights).
    asked_by_admission = {right for right in allowed if right[1].endswith("/finalizers")}
    lose_races(team)
    with OperatorProcess(team.identity(), [team.namespace], tmp_path):
        seen = team.wait(
            "it watches everything", lambda: _whole(used(kueue.audit(mark)), {right for right in allowed if right[2] == "watch"}), 60
        )
    assert {right for right in seen if right[2] == "watch"} == {right for right in allowed if right[2] == "watch"}
    session = used(kueue.audit())
    assert session - allowed == set(), "used in this session and not in the chart's rules"
    assert allowed - session == asked_by_admission, "in the chart's rules and not used in this session"
    assert {event["objectRef"].get("name") for event in team.calls() if event["objectRef"]["resource"] == "leases"} <= {
        "astra-operator",
        None,
    }


def _whole(found: set[Right], wanted: set[Right]) -> set[Right] | None:
    return found if wanted <= found else None


def test_a_right_too_many_and_one_too_few_would_be_found() -> None:
    """The control: the two sides are read from the chart and from events, and differ where they should."""
    call = {
        "user": {"username": f"system:serviceaccount:x:{RELEASE}"}, "verb": "list", "responseStatus": {"code": 200},
        "objectRef": {"resource": "secrets", "apiVersion": "v1"},
    }  # fmt: skip
    assert used([call]) - rights() == {("", "secrets", "list")}
    assert used([call | {"responseStatus": {"code": 403}}]) == set()
    assert used([call | {"user": {"username": "admin"}}]) == set()
    status = {"resource": "rlruns", "apiGroup": "astra.dev", "subresource": "status"}
    assert used([call | {"verb": "update", "objectRef": status}]) == {("astra.dev", "rlruns/status", "update")} < rights()
