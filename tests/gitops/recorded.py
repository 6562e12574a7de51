"""Runs as the real API server gave them in every state that a health check has to tell apart, less what differs from time to time.

``tests/cluster/test_gitops_states.py`` records them, and fails when what is committed here is not true any more.
"""

import json
import re
from pathlib import Path
from typing import Any

Object = dict[str, Any]

FILE = Path(__file__).parent / "recorded.json"
VERDICTS: dict[str, tuple[str, str]] = {
    "not seen": ("Progressing", "InProgress"),
    "waiting for input": ("Progressing", "InProgress"),
    "waiting for capacity": ("Progressing", "InProgress"),
    "running": ("Progressing", "InProgress"),
    "suspended before it began": ("Suspended", "Current"),
    "suspended midway": ("Suspended", "Current"),
    "failed": ("Degraded", "Failed"),
    "failed and changed": ("Progressing", "InProgress"),
    "succeeded": ("Healthy", "Current"),
    "succeeded and outdated": ("Healthy", "Current"),
    "succeeded and changed": ("Progressing", "InProgress"),
    "succeeded and suspended": ("Healthy", "Current"),
}
"""What Argo CD and Flux have to say of each state."""

_SERVERS = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace", "annotations")
_CHANGING = ("progress", "metrics")
_VOLATILE = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "0" * 64),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "2026-01-01T00:00:00Z"),
    (re.compile(r'file://[^"]*/team/'), "file:///store/"),
    (re.compile(r"(pod [\w-]+)-\w{5}: \d+/\d+ nodes are available:[^\"]*"), r"\1: no node has room"),
)


def runs() -> dict[str, Object]:
    """Return the recorded runs by state and kind: ``succeeded ToolCorpus``."""
    return json.loads(FILE.read_text())


def lasting(run: Object) -> Object:
    """Return what of a run is the same whenever and wherever it is recorded."""
    metadata = {key: value for key, value in run["metadata"].items() if key not in _SERVERS}
    kept = {key: value for key, value in run.items() if key not in ("metadata", "status")} | {"metadata": metadata}
    if "status" in run:
        kept["status"] = {key: value for key, value in run["status"].items() if key not in _CHANGING}
    text = json.dumps(kept).replace(run["metadata"]["namespace"], "team")
    for pattern, value in _VOLATILE:
        text = pattern.sub(value, text)
    return json.loads(text)
