from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.cluster.cluster_benches import Bench, KubernetesBench, LocalBench, MemoryBench


@pytest.fixture(params=["memory", "local", "kubernetes"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """One cluster of each implementation; the Kubernetes one in a namespace of its own."""
    if request.param == "memory":
        yield MemoryBench()
    elif request.param == "local":
        local = LocalBench(tmp_path)
        yield local
        local.close()
    else:
        yield from _kubernetes(request.getfixturevalue("plane"))


@pytest.fixture
def kubernetes(plane) -> Iterator[KubernetesBench]:
    yield from _kubernetes(plane)


def _kubernetes(plane) -> Iterator[KubernetesBench]:
    with plane.api() as api:
        yield KubernetesBench(api, plane.namespace("conf"))
