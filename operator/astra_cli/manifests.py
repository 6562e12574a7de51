"""Manifests: files and folders of YAML → checked runs and the team's settings, or every problem in one line each.

Nothing is started when anything is wrong. A line reads ``file:line: field: found value: problem; mend``. ``null`` means "not set",
as it does for the API server.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from astra_cli.yaml12 import Document, YamlProblem, read
from astra_cli.yaml12 import Path as ValuePath
from astra_jobs.api.artifact import KINDS
from astra_jobs.api.base import API_VERSION
from astra_jobs.api.invalid import explain_all
from astra_jobs.api.v1alpha1 import MODELS
from astra_jobs.api.v1alpha1.common import Resource
from astra_operator.clusters.base import Object, RunKey, key_of
from astra_operator.crdgen.schema import nested_model
from astra_operator.resolve import Reference, find_cycle, references
from astra_operator.settings import LAPTOP_CONFIG, TEAM_CONFIG, TeamSettings

SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 4_000_000


class BadManifests(Exception):
    """What is wrong, one line a problem; nothing was started."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass
class Manifests:
    """What the files say: runs in pipeline order and the team's settings. ``places`` tells where each run stands.

    The settings are the ConfigMap ``astra-laptop``, or where there is none ``astra-team``, which also a cluster reads.
    """

    runs: list[Object] = field(default_factory=list)
    team: dict[str, str] | None = None
    team_name: str = ""
    team_place: str = ""
    places: dict[RunKey, tuple[str, Document]] = field(default_factory=dict)


def load(paths: Iterable[Path], stored: Iterable[Object] = ()) -> Manifests:
    """Read manifests; references may also name runs that are ``stored`` already.

    Raises:
        BadManifests: with every problem found.
    """
    problems: list[str] = []
    found = Manifests()
    for file in _files(paths, problems):
        for document in _documents(file, problems):
            problems += _take(found, str(file), document)
    if not problems:
        problems += _check_references(found, stored)
    if not problems and not found.runs:
        problems.append(f"{', '.join(map(str, paths))}: no runs found; kinds are {', '.join(KINDS)}")
    if problems:
        raise BadManifests(problems)
    found.runs.sort(key=lambda run: (KINDS.index(run["kind"]), key_of(run)))
    return found


def _files(paths: Iterable[Path], problems: list[str]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(item for item in path.iterdir() if item.suffix in SUFFIXES and item.is_file())
            if not inside:
                problems.append(f"{path}: the folder holds no {', '.join(SUFFIXES)} files; name another")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            problems.append(f"{path}: no such file or folder; check the path")
    return list(dict.fromkeys(files))


def _documents(file: Path, problems: list[str]) -> list[Document]:
    try:
        if file.stat().st_size > MAX_BYTES:
            problems.append(f"{file}: more than {MAX_BYTES} bytes; a manifest is small, name another file")
            return []
        return list(read(file.read_text(encoding="utf-8")))
    except YamlProblem as error:
        problems.append(f"{file}:{error.line}: {error.message}; mend the YAML")
    except UnicodeDecodeError as error:
        problems.append(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8")
    except OSError as error:
        problems.append(f"{file}: {error.strerror}; make the file readable")
    return []


def _take(found: Manifests, file: str, document: Document) -> list[str]:
    """Check one document and add it; return its problems."""
    value = document.value
    here = f"{file}:{document.line_of(())}"
    if not isinstance(value, dict):
        return [f"{here}: found a {type(value).__name__}; write a mapping with apiVersion, kind, metadata and spec"]
    kind = value.get("kind")
    if kind == "ConfigMap" and _name(value) in (LAPTOP_CONFIG, TEAM_CONFIG):
        return _take_team(found, file, document)
    if not isinstance(kind, str) or kind not in MODELS:
        return [f"{file}:{document.line_of(('kind',))}: kind: {_unknown_kind(kind)}"]
    if "apiVersion" not in value:
        return [f"{here}: apiVersion: Field required; add apiVersion: {API_VERSION}"]
    clean = without_nulls(value, MODELS[kind])
    try:
        MODELS[kind].model_validate(clean)
    except ValidationError as error:
        return [f"{file}:{document.line_of(item.loc)}: {item}" for item in explain_all(error, MODELS[kind])]
    clean.pop("status", None)
    clean["metadata"].setdefault("namespace", "default")
    key = key_of(clean)
    if key in found.places:
        first_file, first = found.places[key]
        first_line = first.line_of(("metadata", "name"))
        line = document.line_of(("metadata", "name"))
        return [f"{file}:{line}: metadata.name: found {kind} {key.name!r} again, first in {first_file}:{first_line}; rename or remove one"]
    found.runs.append(clean)
    found.places[key] = (file, document)
    return []


def _name(value: dict[str, Any]) -> Any:
    metadata = value.get("metadata")
    return metadata.get("name") if isinstance(metadata, dict) else None


def _unknown_kind(kind: Any) -> str:
    if kind is None:
        return f"Field required; write one of {', '.join(KINDS)}"
    if kind == "ConfigMap":
        return f"the only ConfigMaps that are read are {LAPTOP_CONFIG} and {TEAM_CONFIG}; rename or remove this one"
    close = difflib.get_close_matches(str(kind), KINDS, n=1, cutoff=0.5)
    return f"found {kind!r}: unknown kind; write {close[0] if close else 'one of ' + ', '.join(KINDS)}"


def _take_team(found: Manifests, file: str, document: Document) -> list[str]:
    line, name = document.line_of(("metadata", "name")), str(_name(document.value))
    if found.team_name == name:
        return [f"{file}:{line}: metadata.name: found {name} again, first in {found.team_place}; remove one"]
    data = without_nulls(document.value.get("data") or {})
    unknown = sorted(set(document.value) - {"apiVersion", "kind", "metadata", "data"})
    if unknown or not isinstance(data, dict):
        where = (unknown[0],) if unknown else ("data",)
        return [f"{file}:{document.line_of(where)}: {where[0]}: a ConfigMap has apiVersion, kind, metadata and data; mend this field"]
    try:
        TeamSettings.model_validate(data | {"storeUrl": _as_url(data.get("storeUrl", "."))})
    except ValidationError as error:
        refused = explain_all(error, TeamSettings)
        return [f"{file}:{document.line_of(('data', *item.loc))}: data.{item}" for item in refused]
    if found.team_name == LAPTOP_CONFIG:
        return []
    found.team, found.team_name = {str(key): str(value) for key, value in data.items()}, name
    found.team_place = f"{file}:{document.line_of(('data', 'storeUrl'))}"
    return []


def _as_url(path: Any) -> Any:
    """Return a path in the form that a cluster demands; here it is read from where the state folder is."""
    return f"file:///{path}" if isinstance(path, str) and path and "://" not in path else path


def without_nulls(value: Any, model: type[BaseModel] | None = None) -> Any:
    """Return JSON data without the fields of mappings that are null, as the API server drops them; unknown fields stay, to be refused."""
    if isinstance(value, dict):
        known = _nested(model) if model else dict.fromkeys(value)
        return {key: without_nulls(item, known.get(key)) for key, item in value.items() if item is not None or key not in known}
    if isinstance(value, list):
        return [without_nulls(item, model) for item in value]
    return value


@cache
def _nested(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Return for each field of a model the model inside it; what the API server keeps beside a run's own fields is nobody's business."""
    found = {info.alias or name: nested_model(info.annotation) for name, info in model.model_fields.items()}
    return found | {"metadata": None} if issubclass(model, Resource) else found


def _check_references(found: Manifests, stored: Iterable[Object]) -> list[str]:
    by_key = {key_of(run): run for run in stored} | {key_of(run): run for run in found.runs}
    problems = []
    for run in found.runs:
        file, document = found.places[key_of(run)]
        for reference in references(run):
            if reference.target not in by_key:
                line = document.line_of(value_path(reference.field))
                problems.append(f"{file}:{line}: {reference.field}: {_dangling(reference, by_key)}")
        circle = find_cycle(key_of(run), by_key.get)
        if circle:
            chain = " → ".join(f"{key.kind} {key.name}" for key in circle)
            line = document.line_of(("metadata", "name"))
            problems.append(f"{file}:{line}: metadata.name: found a circle of references: {chain}; remove one of them")
    return problems


def _dangling(reference: Reference, by_key: Iterable[RunKey]) -> str:
    target = reference.target
    known = sorted(key.name for key in by_key if (key.kind, key.namespace) == (target.kind, target.namespace))
    close = difflib.get_close_matches(target.name, known, n=1)
    there = f"write {close[0]}" if close else f"there are: {', '.join(known[:10])}" if known else f"add a {target.kind} of that name"
    return f'found "{target.name}": there is no {target.kind} of that name; {there}'


def value_path(dotted: str) -> ValuePath:
    """Return the path of a field as it is spelled to users: ``spec.data[0].name``."""
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", dotted))
