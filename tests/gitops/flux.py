"""Flux's way with health expressions, as tests hold it: its order, its own look at the generation, and waiting while one cannot be told.

The interpreter is Google's cel-cpp. Flux runs cel-go on unchecked expressions, with the object's top-level fields as variables.
"""

from pathlib import Path
from typing import Any

import yaml  # kubernetes brings it
from cel_expr_python import cel

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "manifests" / "gitops" / "flux"
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
_ENV = cel.NewEnv(variables=dict.fromkeys(_TOP, cel.Type.DYN))


class CannotTell(Exception):
    """An expression refers to what is not there: Flux goes on waiting."""


def expressions(kind: str) -> dict[str, str]:
    """Return the expressions of a kind by their names."""
    documents = list(yaml.safe_load_all((FOLDER / "runs.yaml").read_text()))
    (found,) = [item for item in documents[1]["spec"]["healthCheckExprs"] if item["kind"] == kind]
    return {key: text for key, text in found.items() if key not in ("apiVersion", "kind")}


def truth(expression: str, run: Object) -> bool:
    """Return what an expression says of a run; raises ``CannotTell``."""
    value = _ENV.compile(expression, disable_check=True).eval(data={key: run[key] for key in _TOP if key in run})
    if value.type() != cel.Type.BOOL:
        raise CannotTell(str(value.plain_value()))
    return bool(value.plain_value())


def health(run: Object, exprs: dict[str, str]) -> str:
    """Return InProgress, Failed or Current, as Flux would."""
    seen = run.get("status", {}).get("observedGeneration")
    if seen is not None and seen != run["metadata"]["generation"]:
        return "InProgress"
    try:
        return next((word for name, word in ORDER.items() if truth(exprs[name], run)), "InProgress")
    except CannotTell:
        return "InProgress"


ORDER = {"inProgress": "InProgress", "failed": "Failed", "current": "Current"}
