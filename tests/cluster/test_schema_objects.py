"""Every object that the builders make of random valid runs is one that a real API server takes, pods under the restricted profile."""

import contextlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from astra_jobs.api.artifact import KINDS, Kind
from astra_operator.desired.preview import preview
from astra_operator.settings import OperatorSettings, TeamSettings
from astra_operator.site import Site
from tests.cluster.plane.plane import ControlPlane
from tests.cluster.schema_specs import body_of, valid_spec
from tests.cluster.schema_wire import CREATED, Wire

TEAM = TeamSettings(store_url="s3://bucket/team", store_endpoint="http://store:9000", store_secret="store-key", image="jobs:1")
SITE = Site(TEAM, OperatorSettings(code_version="1.0"), datetime(2030, 1, 1, tzinfo=UTC))
COLLECTIONS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "PyTorchJob": "/apis/kubeflow.org/v1/namespaces/{}/pytorchjobs",
    "Pod": "/api/v1/namespaces/{}/pods",
}


@pytest.fixture(scope="module")
def wire(plane: ControlPlane) -> Iterator[Wire]:
    with contextlib.closing(Wire(plane)) as wire:
        wire.namespace = plane.namespace("restricted", {"pod-security.kubernetes.io/enforce": "restricted"})
        plane.apply(priority_class())
        yield wire


def priority_class() -> dict[str, Any]:
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "schema-tests"}, "value": 1}


def pods_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods that a controller would make of a workload."""
    spec = item.get("spec", {})
    templates = [replica["template"] for replica in spec.get("pytorchReplicaSpecs", {}).values()] or [spec.get("template")]
    head = {"apiVersion": "v1", "kind": "Pod"}
    return [head | {"metadata": template["metadata"] | {"name": "p"}, "spec": template["spec"]} for template in templates if template]


def refused(wire: Wire, item: dict[str, Any]) -> str:
    code, answer = wire.try_create(COLLECTIONS[item["kind"]].format(wire.namespace), item)
    return "" if code == CREATED else f"{item['kind']}: {answer.get('message', answer)}"


def runnable(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec that names only what is there in the test's namespace."""
    pod = {key: value for key, value in spec.get("pod", {}).items() if key != "serviceAccountName"}
    named = {"priorityClassName": "schema-tests"} if "priorityClassName" in spec else {}
    return spec | named | {"pod": pod}


@pytest.mark.parametrize("kind", KINDS)
def test_every_object_is_one_that_the_api_server_takes(wire: Wire, kind: Kind) -> None:
    @settings(max_examples=15, deadline=None, phases=[Phase.generate])
    @given(st.randoms(use_true_random=True))
    def every(rng: Random) -> None:
        run = body_of(kind, runnable(valid_spec(kind, rng)))
        run["metadata"] |= {"uid": str(uuid.UUID(int=rng.getrandbits(128))), "namespace": wire.namespace}
        built = preview(run, SITE)
        assert len(built) >= 3
        for item in [*built, *(pod for workload in built for pod in pods_of(workload))]:
            assert refused(wire, item) == "", (item, run["spec"])

    every()


def test_the_namespace_really_restricts_pods(wire: Wire) -> None:
    run = body_of("ToolCorpus", {"sources": [{"name": "a", "procedural": {"servers": 1}}]})
    run["metadata"] |= {"uid": str(uuid.UUID(int=1)), "namespace": wire.namespace}
    (pod,) = pods_of(preview(run, SITE)[-1])
    assert refused(wire, pod) == ""
    del pod["spec"]["securityContext"]
    assert "violates PodSecurity" in refused(wire, pod)
    assert "unknown field" in refused(wire, pod | {"spec": pod["spec"] | {"more": 1}})
