"""The samples and the paper's settings are runs that the real API server takes, and the models too."""

import pytest

from astra_cli.manifests import load
from astra_jobs.api.artifact import KINDS
from astra_operator.crdgen.names import NAMES
from tests.cluster.plane.plane import ROOT, ControlPlane

DRY = ("--server-side", "--dry-run=server", "--validate=strict", "--field-manager=test")


@pytest.fixture(scope="module")
def namespace(plane: ControlPlane) -> str:
    return plane.namespace("accepted")


@pytest.mark.parametrize("folder", ["samples", "paper"])
def test_both_take_every_kind(plane: ControlPlane, namespace: str, folder: str) -> None:
    path = ROOT / "manifests" / folder
    assert [run["kind"] for run in load([path]).runs] == list(KINDS)
    told = plane.kubectl("-n", namespace, "apply", *DRY, "-f", str(path), "-o", "name").stdout
    assert sorted(line.split("/")[0] for line in told.splitlines()) == sorted(f"{names.singular}.astra.dev" for names in NAMES.values())


def test_a_wrong_one_would_be_refused(plane: ControlPlane, namespace: str) -> None:
    wrong = (ROOT / "manifests" / "paper" / "rlrun.yaml").read_text().replace("groupSize: 8", "groupSize: 1")
    done = plane.kubectl("-n", namespace, "apply", *DRY, "-f", "-", stdin=wrong, check=False)
    assert done.returncode != 0
    assert "spec.algorithm.groupSize" in done.stderr
