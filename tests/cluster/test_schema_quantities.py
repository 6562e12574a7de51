"""Quantities at the API server: the models' verdict on each, and what we write into pods is taken by a pod."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.plane.plane import ControlPlane
from tests.cluster.schema_wire import Wire, refusal
from tests.unit.api.test_quantities import CPUS, MEMORIES, NO_CPU, NO_MEMORY


@pytest.fixture(scope="module")
def wire(plane: ControlPlane) -> Iterator[Wire]:
    with contextlib.closing(Wire(plane)) as wire:
        yield wire


def of_run(wire: Wire, resources: Any) -> str:
    """Return why the API server refuses a run whose pods need that, empty when it does not."""
    spec = {"sources": [{"name": "worlds", "procedural": {"servers": 3}}], "pod": {"resources": resources}}
    body = {"apiVersion": "astra.dev/v1alpha1", "kind": "ToolCorpus", "metadata": {"name": "q"}, "spec": spec}
    return refusal(*wire.try_run("ToolCorpus", body))


def of_pod(wire: Wire, resources: Any) -> str:
    """Return why the API server refuses a pod of that size, empty when it does not."""
    box = {"name": "a", "image": "a", "resources": {"requests": resources}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}, "spec": {"containers": [box]}}
    return refusal(*wire.try_create(f"/api/v1/namespaces/{wire.namespace}/pods", body))


@pytest.mark.parametrize(("field", "good", "bad"), [("cpu", CPUS, NO_CPU), ("memory", MEMORIES, NO_MEMORY)])
def test_the_api_server_has_the_models_verdict(wire: Wire, field: str, good: dict[Any, str], bad: tuple[Any, ...]) -> None:
    for written, kept in good.items():
        assert of_run(wire, {field: written}) == "", written
        assert of_pod(wire, {field: written}) == "", f"a pod may not say {written!r}, why may a run"
        assert of_pod(wire, {field: kept}) == "", kept
    for written in bad:
        if isinstance(written, float) and not math.isfinite(written):
            continue  # no JSON
        said = of_run(wire, {field: written})
        assert f"spec.pod.resources.{field}" in said, (written, said)
