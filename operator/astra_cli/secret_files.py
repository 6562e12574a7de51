"""Secrets on a laptop: ``.astra/secrets/NAME/KEY``, each a file that its owner alone may read (SPEC 1, credentials).

Looked at before anything starts, so that a missing one costs no work. Values are never shown.
"""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from astra_cli.manifests import BadManifests, Manifests, value_path
from astra_operator.clusters.base import Object, key_of

LONGEST = 65_536


def check(manifests: Manifests, state: Path) -> None:
    """Raise BadManifests with one line for each reference to a secret that cannot be used."""
    problems = [
        f"{file}:{document.line_of(value_path(field))}: {field}: found {json.dumps(key)}: {problem}"
        for run in manifests.runs
        for file, document in [manifests.places[key_of(run)]]
        for field, name, key in _references(run)
        if (problem := _problem(state / "secrets" / name / key))
    ]
    if problems:
        raise BadManifests(problems)


def _references(run: Object) -> Iterator[tuple[str, str, str]]:
    """Yield (field, Secret, key) for each reference of a run."""
    for number, source in enumerate(run["spec"].get("sources", [])):
        for place, item in enumerate((source.get("mcp") or {}).get("env") or []):
            yield f"spec.sources[{number}].mcp.env[{place}].key", item["secret"], item["key"]


def _problem(path: Path) -> str:
    """Return what is wrong with a secret's file and how to put it right, '' when nothing is."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return f"{path} is no file; put the value into a file of that name"
        if mode & 0o077:
            return f"{path} has mode {stat.S_IMODE(mode):04o}, so others can read it; chmod 600 {path}"
        if not os.access(path, os.R_OK):
            return f"{path} cannot be read; chmod 600 {path}, or let it belong to you"
        value = path.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    except FileNotFoundError:
        folder = path.parent
        return f"there is no file {path}; make it with (umask 077; mkdir -p {folder}; cat > {path}) and type the value, then Ctrl-D"
    except OSError as error:
        return f"{path}: {error.strerror}; make it a file that you can read"
    if not value or len(value) > LONGEST or b"\0" in value:
        return f"{path} must hold 1 to {LONGEST} bytes and no zero byte, but has {len(value)} bytes; write the value into it"
    try:
        value.decode()
    except UnicodeDecodeError:
        return f"{path} is no UTF-8, as the value of an environment variable has to be; write it as text"
    return ""
