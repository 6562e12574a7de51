"""Every object that the builders make is one that a real API server and the training operator's webhook admit, field by field."""

from datetime import UTC, datetime
from typing import Any

import pytest

from astra_operator.clusters.base import key_of
from astra_operator.clusters.kubernetes_calls import Call
from astra_operator.desired.preview import preview
from astra_operator.settings import parse_team
from astra_operator.site import Site
from tests.conformance.cluster.cluster_benches import KubernetesBench
from tests.reconcile.harness import SETTINGS, SPECS, TEAM, manifest


@pytest.mark.parametrize("kind", ["EnvSynthesis", "SFTRun", "RLRun"])
def test_the_objects_of_every_sandbox_pool_are_admitted(kubernetes: KubernetesBench, kind: Any) -> None:
    item = manifest(kind)
    item["metadata"]["namespace"] = kubernetes.namespace
    made = kubernetes.put_run(item)
    run = kubernetes.cluster.get_run(*key_of(made))
    assert run is not None
    team = parse_team(TEAM | {"isolation": "gVisor"}, kubernetes.namespace)
    objects = [found for found in preview(run, Site(team, SETTINGS, datetime.now(UTC))) if "astra.dev/pool" in found["metadata"]["labels"]]
    kubernetes.cluster.admit(objects, run)
    assert kubernetes.cluster.apply(objects, run) == [found["metadata"]["name"] for found in objects]
    assert kubernetes.cluster.apply(objects, run) == [], "nothing is made or changed twice"
    kubernetes.see()
    there = [found["kind"] for found in kubernetes.cluster.children(run["metadata"]["uid"]) if found["kind"] != "Pod"]
    assert sorted(there) == sorted(found["kind"] for found in objects if found["kind"] != "Secret")
    for found in objects:
        known = kubernetes.cluster.index.find(found["kind"], kubernetes.namespace, found["metadata"]["name"])
        kubernetes.cluster.delete(known or found | {"metadata": found["metadata"] | {"namespace": kubernetes.namespace}})
    kubernetes.until("all are gone", lambda: kubernetes.cluster.children(run["metadata"]["uid"]) == [])
    assert all(found["metadata"]["name"] not in secrets(kubernetes) for found in objects if found["kind"] == "Secret")


def secrets(bench: KubernetesBench) -> set[str]:
    answer = bench.calls.send(Call("list", "test", f"/api/v1/namespaces/{bench.namespace}/secrets"))
    return {found["metadata"]["name"] for found in answer.body["items"]}


@pytest.mark.parametrize("kind", SPECS)
def test_the_objects_of_every_stage_are_admitted(kubernetes: KubernetesBench, kind: Any) -> None:
    item = manifest(kind)
    item["metadata"]["namespace"] = kubernetes.namespace
    made = kubernetes.put_run(item)
    run = kubernetes.cluster.get_run(*key_of(made))
    assert run is not None
    objects = preview(run, Site(parse_team(TEAM, kubernetes.namespace), SETTINGS, datetime.now(UTC)))
    kinds = {found["kind"] for found in objects}
    assert {"ConfigMap", "Job"} <= kinds or kinds == {"ConfigMap", "PyTorchJob"}
    kubernetes.cluster.admit(objects, run)
    assert kubernetes.cluster.apply(objects, run) == [found["metadata"]["name"] for found in objects]
    kubernetes.see()
    there = [found for found in kubernetes.cluster.children(run["metadata"]["uid"]) if found["kind"] in kinds]
    assert len(there) == len(objects)
