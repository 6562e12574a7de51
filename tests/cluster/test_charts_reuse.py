"""`helm upgrade --reuse-values` from charts that are older: they lack values, and select the operator's pods by other labels."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.charts.helm import CHARTS, RELEASE
from tests.cluster.plane.plane import ControlPlane
from tests.cluster.releases import Release

NEW_SELECTOR = "astra.dev/component: operator\nastra.dev/release: {{ .Release.Name }}\n"
OLD_SELECTOR = "app.kubernetes.io/name: astra-operator\napp.kubernetes.io/instance: {{ .Release.Name }}\n"


def older(chart: str, folder: Path, *lacks: str) -> Path:
    """Return a copy of a chart without some blocks of its values."""
    copy = folder / chart
    shutil.copytree(CHARTS / chart, copy)
    kept, skip = [], False
    for line in (copy / "values.yaml").read_text().splitlines():
        if line and not line.startswith((" ", "-")):
            skip = line.rstrip(":") in lacks
        kept += [] if skip else [line]
    (copy / "values.yaml").write_text("\n".join(kept) + "\n")
    return copy


def found(release: Release, kind: str, name: str) -> Any:
    return json.loads(release.plane.kubectl("-n", release.namespace, "get", kind, name, "-o", "json").stdout)


def test_a_teams_values_of_an_older_chart_can_be_kept(plane: ControlPlane, tmp_path: Path) -> None:
    release = Release(plane, plane.namespace("reuse"), "astra-team")
    plane.kubectl("-n", release.namespace, "delete", "configmap", "astra-team")
    words = ("--set=settings.storeUrl=s3://b/team,namespace.manage=false,quota.cpu=8",)
    release.install(*words, chart=older("astra-team", tmp_path, "network", "limits", "collection", "serviceAccount"))
    release.upgrade("--reuse-values")
    assert found(release, "configmap", "astra-team")["data"]["podUser"] == "65532"
    assert found(release, "resourcequota", "astra-team")["spec"]["hard"]["requests.cpu"] == "8"
    ports = [rule.get("ports") for rule in found(release, "networkpolicy", "astra-jobs")["spec"]["egress"]]
    assert [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}] in ports
    release.helm("uninstall")


def test_an_operator_of_an_older_chart_is_upgraded_where_it_is(plane: ControlPlane, tmp_path: Path) -> None:
    """A Deployment's selector cannot change, so that of the older chart stays, and all else selects by the new labels."""
    old = older(RELEASE, tmp_path, "networkPolicy", "pace", "podDisruptionBudget")
    helpers = old / "templates" / "_helpers.tpl"
    helpers.write_text(helpers.read_text().replace(OLD_SELECTOR, "").replace(NEW_SELECTOR, OLD_SELECTOR))
    release = Release(plane, plane.namespace("reuse"))
    release.install("--set=scope.mode=Namespace,rights.runtimeClasses=false,rights.people=false", chart=old)
    before = found(release, "deployment", RELEASE)
    release.upgrade("--reuse-values")
    after = found(release, "deployment", RELEASE)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["selector"] == before["spec"]["selector"]
    assert "app.kubernetes.io/name" in after["spec"]["selector"]["matchLabels"]
    pods = after["spec"]["template"]["metadata"]["labels"]
    assert before["spec"]["selector"]["matchLabels"].items() <= pods.items()
    for kind in ("networkpolicy", "poddisruptionbudget"):
        spec = found(release, kind, RELEASE)["spec"]
        chosen = spec.get("podSelector") or spec["selector"]
        assert chosen["matchLabels"] == {"astra.dev/component": "operator", "astra.dev/release": RELEASE}
        assert chosen["matchLabels"].items() <= pods.items()
    release.helm("uninstall")
