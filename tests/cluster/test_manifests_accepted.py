"""The samples and the paper's settings are runs that the real API server takes, and the models too; Argo CD's settings are patched in."""

import json

import pytest

from astra_cli.manifests import load
from astra_jobs.api.artifact import KINDS
from astra_operator.crdgen.names import NAMES
from tests.cluster.plane.plane import ROOT, ControlPlane
from tests.gitops import argo

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


def test_argo_cds_settings_are_patched_in_and_others_stay(plane: ControlPlane, namespace: str) -> None:
    def settings() -> dict[str, str]:
        return json.loads(plane.kubectl("-n", namespace, "get", "configmap", "argocd-cm", "-o", "json").stdout)["data"]

    others = {"url": "https://argocd.example.com", "resource.customizations": "example.com/*:\n  health.lua: return {}\n"}
    plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": namespace}, "data": others})
    for _ in range(2):
        plane.kubectl("-n", namespace, "patch", "configmap", "argocd-cm", "--type", "merge", "--patch-file", str(argo.SETTINGS))
        assert settings() == others | argo.settings()
