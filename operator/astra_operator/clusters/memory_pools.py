"""The Deployment controller as a cluster in memory plays it: which pods a pool lacks and has too many, and what its status says. Pure.

There are no ReplicaSets: pods name one, as theirs do, under the Deployment's UID.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from astra_operator.clusters.base import UNREAD, Object, format_time
from astra_operator.desired.naming import LABEL_POOL, LABEL_UID


def children(items: Collection[Object], uid: str) -> list[Object]:
    """Return what a run owns, in any depth, as the protocol tells it: no Secret, and pods of pools by the pool's NetworkPolicy."""
    found = []
    for item in items:
        if item["kind"] in UNREAD or not any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences", [])):
            continue
        name, below = item["metadata"]["name"], item["metadata"]["uid"]
        if item["kind"] == "NetworkPolicy":
            found += [item, *(pod for pod in items if pod["kind"] == "Pod" and pod["metadata"]["labels"].get(LABEL_POOL) == name)]
        else:
            found += [item, *(children(items, below) if item["kind"] != "Deployment" else [])]
    return found


def orphans(items: Collection[Object], uid: str) -> list[Object]:
    """Return a run's pods whose workload has gone before them: they stay in sight until they are gone themselves."""
    present = {item["metadata"]["uid"] for item in items}
    pods = [item for item in items if item["kind"] == "Pod" and item["metadata"].get("labels", {}).get(LABEL_UID) == uid]
    return [
        pod for pod in pods if LABEL_POOL not in pod["metadata"]["labels"] and pod["metadata"]["ownerReferences"][0]["uid"] not in present
    ]


def lacks(template: Object, namespace: str, objects: Mapping[tuple[str, str, str], Object], asleep: bool) -> bool:
    """Tell if a workload's pods mount the key of a pool that is not there, or that does not answer and is not to be ``asleep``."""
    keys = [volume["secret"]["secretName"] for volume in template["spec"]["volumes"] if "secret" in volume]
    if not keys:
        return False
    pools = [item for item in objects.values() if item["kind"] == "Deployment" and keys[0].startswith(item["metadata"]["name"])]
    kept = [item for item in pools if "deletionTimestamp" not in item["metadata"]]
    serves = any(asleep or item.get("status", {}).get("availableReplicas") for item in kept)
    return not (serves and ("Secret", namespace, keys[0]) in objects)


def missing(deployment: Object, pods: list[Object], uid: str) -> Object | None:
    """Return one pod that a Deployment lacks, without UID, or None; the name ends in ``uid``."""
    if "deletionTimestamp" in deployment["metadata"] or len(_living(pods)) >= deployment["spec"]["replicas"]:
        return None
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"{metadata['name']}-7d4b9c",
        "uid": metadata["uid"],
        "controller": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{metadata['name']}-7d4b9c-{uid}",
            "namespace": metadata["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {},
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    }


def surplus(deployment: Object, pods: list[Object]) -> list[Object]:
    """Return the pods to be removed: the newest first, and those that have ended."""
    living = _living(pods)
    over = living[: max(0, len(living) - deployment["spec"]["replicas"])]
    return over + [pod for pod in pods if pod["status"]["phase"] in ("Succeeded", "Failed")]


def status(deployment: Object, pods: list[Object], now: datetime, refusal: str) -> dict[str, Any]:
    """Return a Deployment's status after its pods; ``refusal`` is why the last one could not be made."""
    before = {entry["type"]: entry for entry in deployment.get("status", {}).get("conditions", [])}
    available = sum(_serves(pod) for pod in pods)
    wanted = {"Available": (available > 0, "")} | ({"ReplicaFailure": (True, refusal)} if refusal else {})
    conditions = []
    for kind, (value, message) in wanted.items():
        entry = {"type": kind, "status": str(value), "reason": "FailedCreate" if message else "Pods", "message": message}
        old = before.get(kind)
        flipped = old is None or old["status"] != entry["status"]
        conditions.append(entry | {"lastTransitionTime": format_time(now) if flipped or old is None else old["lastTransitionTime"]})
    return ({"availableReplicas": available} if available else {}) | {"conditions": conditions}


def run(pod: Object, now: datetime) -> None:
    """Let a pod run and be ready."""
    started = format_time(now)
    states = [{"name": "sandbox", "ready": True, "state": {"running": {"startedAt": started}}}]
    pod["status"] = {"phase": "Running", "startTime": started, "containerStatuses": states}


def _living(pods: list[Object]) -> list[Object]:
    found = [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running") and "deletionTimestamp" not in pod["metadata"]]
    return sorted(found, key=lambda pod: str(pod["metadata"].get("uid", "")), reverse=True)


def _serves(pod: Object) -> bool:
    states = pod["status"].get("containerStatuses") or [{}]
    return pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"] and bool(states[0].get("ready"))
