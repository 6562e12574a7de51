"""Between a pod as the API server knows it and a pod as the process kubelet runs it. Pure.

The process kubelet (``astra_operator.clusters.processes``) knows one container, folders and plain environment values. What an API
server adds is resolved or left out here: init containers are not this one's (``node_inits``), the service-account token is not mounted,
ConfigMap and Secret references become values, a Secret's files are laid out as a ConfigMap's, ``python`` is this interpreter, and the
name of a PyTorchJob's master, which only cluster DNS could resolve, becomes an address.
"""

import base64
import copy
import hashlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from astra_operator.clusters.base import Object
from astra_operator.clusters.processes import address_of

MISSING_TAG = ":missing"  # an image of this tag is in no registry
_MASTER = ("MASTER_ADDR", "PET_MASTER_ADDR")
_PORT = ("MASTER_PORT", "PET_MASTER_PORT")
_SCRATCH = ".termination-log"


class Reference(NamedTuple):
    """A ConfigMap or Secret that a pod reads; ``files`` when it is mounted and not an environment variable."""

    kind: str
    name: str
    optional: bool = False
    files: bool = False


def box_of(pod: Object) -> dict[str, Any]:
    """Return the pod's first container; the kubelet refuses pods with more."""
    found: dict[str, Any] = pod["spec"]["containers"][0]
    return found


def references(pod: Object) -> Iterator[Reference]:
    """Yield what has to be fetched before the pod can start."""
    box = box_of(pod)
    for volume in pod["spec"].get("volumes", []):
        if "configMap" in volume:
            yield Reference("ConfigMap", volume["configMap"]["name"], volume["configMap"].get("optional", False), files=True)
        if "secret" in volume:
            yield Reference("Secret", volume["secret"]["secretName"], volume["secret"].get("optional", False), files=True)
    for source in box.get("envFrom", []):
        kind = "Secret" if "secretRef" in source else "ConfigMap"
        found = source.get("secretRef") or source["configMapRef"]
        yield Reference(kind, found["name"], found.get("optional", False))
    for entry in box.get("env", []):
        source = entry.get("valueFrom", {})
        for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
            if key in source:
                yield Reference(kind, source[key]["name"], source[key].get("optional", False))


def files_of(need: Reference) -> str:
    """Return the name under which the process kubelet finds a ConfigMap or Secret that is mounted; the two may have the same name."""
    return need.name if need.kind == "ConfigMap" else f"secret/{need.name}"


def texts_of(item: Object) -> dict[str, str]:
    """Return the data of a ConfigMap or Secret as text."""
    data = item.get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()} if item["kind"] == "Secret" else dict(data)


def address(uid: str) -> str:
    """Return a pod's address: a pure function of its UID, so that every node of this machine knows the others' pods."""
    return address_of(uid, ())


def master_of(pod: Object) -> str | None:
    """Return the name of the pod that a rank has to find, or None when it is no rank of a PyTorchJob."""
    if "training.kubeflow.org/replica-type" not in pod["metadata"].get("labels", {}):
        return None
    return next((entry.get("value") for entry in box_of(pod).get("env", []) if entry["name"] == "MASTER_ADDR"), None)


def rendezvous_port(master_uid: str) -> int:
    """Return the port of a job's rendezvous: torch's store listens on every address, so all jobs of a machine need other ports.

    From 10000 to 11999, where no program gets a port by chance and the control plane of a test has none.
    """
    return 10_000 + int.from_bytes(hashlib.sha256(master_uid.encode()).digest()[:4]) % 2_000


def runnable(pod: Object, found: Mapping[tuple[str, str], Mapping[str, str]], master_uid: str | None) -> Object:
    """Return the pod for the process kubelet; ``found`` is by kind and name, what is not there was optional."""
    plain = copy.deepcopy(pod)
    plain["spec"].pop("initContainers", None)
    box = box_of(plain)
    tokens = {volume["name"] for volume in plain["spec"].get("volumes", []) if "projected" in volume}
    for volume in plain["spec"].get("volumes", []):
        if "secret" in volume:
            source = volume.pop("secret")
            volume["configMap"] = source | {"name": files_of(Reference("Secret", source["secretName"]))}
    if box.get("command", [""])[0] == "python":
        box["command"][0] = sys.executable
    box["volumeMounts"] = [mount for mount in box.get("volumeMounts", []) if mount["name"] not in tokens]
    working = box.setdefault("workingDir", "/")
    if box.get("terminationMessagePath", "/dev/termination-log") == "/dev/termination-log":
        box["terminationMessagePath"] = f"{working.rstrip('/')}/{_SCRATCH}"
    values = _from_sources(box.pop("envFrom", []), found)
    for entry in box.get("env", []):
        resolved = _resolved(entry, found)
        if resolved is not None:
            values.pop(entry["name"], None)
            values[entry["name"]] = resolved
    if master_uid is not None:
        values |= {name: {"name": name, "value": address(master_uid)} for name in _MASTER}
        values |= {name: {"name": name, "value": str(rendezvous_port(master_uid))} for name in _PORT}
        # All ranks are on this machine: gloo must not look for another interface.
        values["GLOO_SOCKET_IFNAME"] = {"name": "GLOO_SOCKET_IFNAME", "value": "lo"}
    box["env"] = list(values.values())
    return plain


def _from_sources(sources: list[Any], found: Mapping[tuple[str, str], Mapping[str, str]]) -> dict[str, Any]:
    values = {}
    for source in sources:
        kind = "Secret" if "secretRef" in source else "ConfigMap"
        name = (source.get("secretRef") or source["configMapRef"])["name"]
        for key, value in found.get((kind, name), {}).items():
            full = source.get("prefix", "") + key
            values[full] = {"name": full, "value": value}
    return values


def _resolved(entry: dict[str, Any], found: Mapping[tuple[str, str], Mapping[str, str]]) -> dict[str, Any] | None:
    source = entry.get("valueFrom", {})
    for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if key in source:
            value = found.get((kind, source[key]["name"]), {}).get(source[key]["key"])
            return None if value is None else {"name": entry["name"], "value": value}
    return entry
