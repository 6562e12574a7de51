"""The charts as the real helm renders them: for tests of charts, and for tests that stand on the shipped rights and policies."""

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # kubernetes brings it

from tests.cluster.plane import tools
from tests.patience import patience

Object = dict[str, Any]
ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts"
SYSTEM, RELEASE = "astra-system", "astra-operator"


def helm(*words: str, stdin: str | None = None, check: bool = True, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm; with `check`, an AssertionError shows its words when it fails. `cache` is for what it finds out about a cluster."""
    environment = dict(os.environ) | ({"KUBECACHEDIR": str(cache)} if cache else {})
    command = [str(tools.program("helm")), *words]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=patience(300), env=environment)
    assert not check or done.returncode == 0, (
        f"helm {' '.join(words)} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-2000:]}"
    )
    return done


@cache
def text_of(chart: str, *words: str, namespace: str = SYSTEM, release: str = RELEASE) -> str:
    """Return what `helm template` prints; rendered once for the same question."""
    return helm("template", release, str(CHARTS / chart), "--namespace", namespace, *words).stdout


def render(chart: str, *words: str, namespace: str = SYSTEM, release: str = RELEASE) -> list[Object]:
    """Return the objects of a chart; every caller gets copies of its own."""
    return [item for item in yaml.load_all(text_of(chart, *words, namespace=namespace, release=release), yaml.CSafeLoader) if item]


def of_kind(items: list[Object], *kinds: str) -> list[Object]:
    """Return the objects of some kinds."""
    return [item for item in items if item["kind"] in kinds]
