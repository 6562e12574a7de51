"""Secrets that a run's spec names for single processes: which of them a stage's pod gets, as files (SPEC 1, credentials).

Only references travel in specs, requests and status. The files are in the one pod whose stage reads them, each Secret with no
other keys than those that are named; the job hands each value to the one process that its entry is for.
"""

from collections.abc import Mapping
from typing import Any

from astra_jobs.api.artifact import Kind
from astra_jobs.api.v1alpha1.pod import ROOT

FOLDER = f"{ROOT}/secrets"
Keys = Mapping[str, tuple[str, ...]]


def named(kind: Kind, stage: str, spec: Mapping[str, Any]) -> Keys:
    """Return the keys of each Secret that a stage needs, from its effective spec."""
    found: dict[str, set[str]] = {}
    if (kind, stage) == ("ToolCorpus", "collect"):
        for source in spec["sources"]:
            for item in source.get("mcp", {}).get("env", []):
                found.setdefault(item["secret"], set()).add(item["key"])
    return {name: tuple(sorted(keys)) for name, keys in sorted(found.items())}


def volumes(keys: Keys) -> list[dict[str, Any]]:
    """Return a volume for each Secret; a pod waits for one that is missing, and its events name it."""
    return [
        {"name": f"secret-{number}", "secret": {"secretName": name, "items": [{"key": key, "path": key} for key in chosen]}}
        for number, (name, chosen) in enumerate(keys.items())
    ]


def mounts(keys: Keys) -> list[dict[str, Any]]:
    """Return where they are: FOLDER/NAME/KEY."""
    return [{"name": f"secret-{number}", "mountPath": f"{FOLDER}/{name}", "readOnly": True} for number, name in enumerate(keys)]
