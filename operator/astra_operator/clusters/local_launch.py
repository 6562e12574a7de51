"""From a pod to what a process needs: program, environment, folders. Pure, but for the folders that ``lay_out`` makes.

A pod's working folder (``/astra`` in a cluster) becomes ``root/`` in the pod's own folder here; every mount and the
termination message path must lie under it, so that jobs use the same relative paths on both clusters (DESIGN section 4).
"""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from astra_operator.clusters.base import Object

POD_MARK = "ASTRA_POD_UID"
_COMMANDS = {"astra-job": ("-P", "-m", "astra_jobs.runtime.main")}


class CannotRun(Exception):
    """The pod asks for something that this machine does not offer; said in its status, never worked around."""


@dataclass(frozen=True)
class Launch:
    """What to start: ``message`` is where the job writes its result, relative to ``root``.

    ``fallback`` tells that the end of the log stands for a result that a failed job did not write.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    message: str
    fallback: bool = False


def container(pod: Object) -> dict[str, Any]:
    """Return the pod's only container."""
    containers = pod["spec"]["containers"]
    if len(containers) != 1:
        raise CannotRun(f"{len(containers)} containers; a local pod has one")
    found: dict[str, Any] = containers[0]
    return found


def below(working: str, path: str) -> str:
    """Return an absolute path of the pod relative to its working folder."""
    try:
        return str(PurePosixPath(path).relative_to(working))
    except ValueError:
        raise CannotRun(f"{path} is not under the working folder {working}") from None


def plan(pod: Object, address: str, environment: Mapping[str, str]) -> Launch:
    """Return how to start a pod.

    ``environment`` is what the machine gives to every pod; the pod's own entries win. ``astra-job`` runs in the
    interpreter that runs this, so that no other installation on PATH can be taken for it.
    """
    box = container(pod)
    argv = [*box.get("command", []), *box.get("args", [])]
    if not argv:
        raise CannotRun("no command; a local pod has no image to take one from")
    if "envFrom" in box:
        raise CannotRun("envFrom: there are no Secrets here; a local pod inherits credentials from your own environment")
    own = {entry["name"]: _value(entry, pod, address) for entry in box.get("env", [])}
    env = {**environment, **own, POD_MARK: pod["metadata"]["uid"]}
    if argv[0] in _COMMANDS:
        argv = [sys.executable, *_COMMANDS[argv[0]], *argv[1:]]
    elif shutil.which(argv[0], path=env.get("PATH")) is None:
        raise CannotRun(f"{argv[0]}: no such program on PATH")
    working = box.get("workingDir", "/")
    message = below(working, box.get("terminationMessagePath", f"{working.rstrip('/')}/termination-log"))
    return Launch(tuple(argv), env, message, box.get("terminationMessagePolicy") == "FallbackToLogsOnError")


def _value(entry: Mapping[str, Any], pod: Object, address: str) -> str:
    if "value" in entry or "valueFrom" not in entry:
        return str(entry.get("value", ""))
    field = entry["valueFrom"].get("fieldRef", {}).get("fieldPath", "")
    if field == "status.podIP":
        return address
    metadata = pod["metadata"]
    for part in ("labels", "annotations"):
        head = f"metadata.{part}['"
        if field.startswith(head):
            return str(metadata.get(part, {}).get(field.removeprefix(head).removesuffix("']"), ""))
    if field in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(metadata[field.removeprefix("metadata.")])
    raise CannotRun(f"env {entry['name']}: {entry['valueFrom']} cannot be resolved on this machine")


def lay_out(pod: Object, root: Path, config: Mapping[str, Mapping[str, str]], secrets: Path) -> None:
    """Make the pod's folders under ``root`` and write its ConfigMaps (``config``: name → file name → text) as files.

    Secrets are not copied: the job reads them where they are, under ``secrets``.
    """
    box = container(pod)
    working = box.get("workingDir", "/")
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    root.mkdir(parents=True, exist_ok=True)
    for mount in box.get("volumeMounts", []):
        volume = volumes[mount["name"]]
        folder = root / below(working, mount["mountPath"])
        if "secret" in volume:
            _check_secret(volume["secret"], secrets)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            _write_config(volume["configMap"], folder, config)
        elif "emptyDir" not in volume:
            raise CannotRun(f"volume {mount['name']}: a local pod knows configMap, secret and emptyDir only")


def _check_secret(source: Mapping[str, Any], secrets: Path) -> None:
    for item in source.get("items", []):
        path = secrets / source["secretName"] / item["key"]
        if not path.is_file():
            raise CannotRun(f"Secret {source['secretName']} has no key {item['key']}: there is no file {path}")


def _write_config(source: Mapping[str, Any], folder: Path, config: Mapping[str, Mapping[str, str]]) -> None:
    data = config.get(source["name"])
    if data is None:
        raise CannotRun(f"ConfigMap {source['name']} does not exist")
    paths = {item["key"]: item["path"] for item in source["items"]} if "items" in source else {key: key for key in data}
    for key, path in paths.items():
        if key not in data:
            raise CannotRun(f"ConfigMap {source['name']} has no key {key}")
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(data[key])
