"""Bad input that a job found: the same line as for bad input that the manifests show, with file, line, field, value and mend.

A job names a field of its spec (``sources[0].mcp.command``), an input by its role (``inputs.corpus``) or the store
(``store.url``). Only the command line knows in which file and line these were written.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from astra_cli.manifests import value_path
from astra_cli.state import for_input, state_of
from astra_cli.yaml12 import Document
from astra_jobs.api.result import ErrorInfo
from astra_operator.clusters.base import Object, RunKey, key_of
from astra_operator.frozen import spec_model
from astra_operator.observed import observe
from astra_operator.resolve import references

_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9]*(\[\d+\])*(\.[A-Za-z][A-Za-z0-9]*(\[\d+\])*)*")


@dataclass(frozen=True)
class Places:
    """Where runs and the team's ``storeUrl`` (file:line, empty when not given) are written."""

    runs: Mapping[RunKey, tuple[str, Document]] = field(default_factory=dict)
    store: str = ""


def refused(run: Object, children: Iterable[Object]) -> ErrorInfo | None:
    """Return what a job of a failed run refused as bad input, or None when the run failed for another reason."""
    ends = [launch for launch in observe(children).launches if launch.end is not None and launch.end.cause == "BadInput"]
    if ends:
        newest = max(ends, key=lambda launch: (launch.made, launch.restart))
        told = [pod.result.error for pod in newest.pods if pod.exit_code == 78 and pod.result and pod.result.error]
        assert newest.end is not None, "chosen by that"
        return told[0] if told else ErrorInfo(where="", reason=newest.end.reason, message=newest.end.message)
    condition: dict[str, str] = next((item for item in run["status"]["conditions"] if item["type"] == "Succeeded"), {})
    if condition.get("reason") in ("InvalidSpec", "SettingsInvalid", "ReferenceCycle"):
        return ErrorInfo(where="", reason=condition["reason"], message=condition["message"])
    return None


def line_for(run: Object, error: ErrorInfo, places: Places) -> str:
    """Return the line: ``file:line: field: problem; mend (kind name: reason)``."""
    place, name = _place(run, error.where, places)
    head = "".join(f"{part}: " for part in (place, name) if part)
    return f"{head}{error.message} ({run['kind']} {run['metadata']['name']}: {error.reason})"


def _place(run: Object, where: str, places: Places) -> tuple[str, str]:
    """Return file:line and the field as it is written there; without a file only what the job said."""
    if where == "store.url":
        return places.store, "data.storeUrl" if places.store else where
    name = _field(run, where)
    if key_of(run) not in places.runs:
        return "", name or where
    file, document = places.runs[key_of(run)]
    return f"{file}:{document.line_of(value_path(name) if name else ('metadata', 'name'))}", name or where


def _field(run: Object, where: str) -> str:
    """Return the field of the manifest that a job's word means, empty when it means none."""
    if where.startswith("inputs."):
        role = where.removeprefix("inputs.")
        return next((item.field for item in references(run) if item.role == role), "")
    name = where.removeprefix("spec.")
    known = {item.alias or key for key, item in spec_model(run["kind"]).model_fields.items()}
    return f"spec.{name}" if _FIELD.fullmatch(name) and re.split(r"[.\[]", name)[0] in known else ""


def waits(key: RunKey, runs: Mapping[RunKey, Object], seen: frozenset[RunKey] = frozenset()) -> tuple[RunKey, ...]:
    """Return the failed or suspended runs for which a waiting run waits, directly or through others."""
    if key not in runs or key in seen or not for_input(runs[key]):
        return ()
    found: set[RunKey] = set()
    for target in (reference.target for reference in references(runs[key])):
        if target in runs and state_of(runs[target]) in ("Failed", "Suspended"):
            found.add(target)
        found |= set(waits(target, runs, seen | {key}))
    return tuple(sorted(found))
