"""What of a manifest a laptop cannot do: refused before anything starts, because leaving it out would make another run.

What only says where a pod goes or what it is made of (image, nodeSelector, tolerations, service account, pull secrets) is ignored
instead, because a laptop has one place and one program; the fields say so.
"""

import json
from typing import Any

from astra_cli.manifests import BadManifests, Manifests
from astra_jobs.api.v1alpha1.common import OPERATOR
from astra_operator.clusters.base import Object, key_of

_CANNOT = {
    ("queue",): "there is no Kueue on a laptop",
    ("priorityClassName",): "a laptop has no priorities",
    ("managedBy",): f"nobody but {OPERATOR} carries out runs on a laptop",
    ("pod", "volumes"): "there are no PersistentVolumeClaims on a laptop",
    ("pod", "secretEnv"): "there are no Secrets on a laptop; pods inherit your own environment",
}


def check(manifests: Manifests) -> None:
    """Raise ``BadManifests`` with one line for each thing that needs a cluster."""
    problems = [
        f"{file}:{document.line_of(('spec', *path))}: spec.{'.'.join(path)}: found {json.dumps(value)}: {why}; remove it or use a cluster"
        for run in manifests.runs
        for file, document in [manifests.places[key_of(run)]]
        for path, why in _CANNOT.items()
        if (value := _at(run, path)) and value != OPERATOR
    ]
    if problems:
        raise BadManifests(problems)


def _at(run: Object, path: tuple[str, ...]) -> Any:
    found: Any = run["spec"]
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found
