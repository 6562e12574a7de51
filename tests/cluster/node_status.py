"""What the node writes into a pod's status: the process kubelet's answer in the form that a real kubelet gives it. Pure."""

from typing import Any

from astra_operator.clusters.base import Object
from tests.cluster.node_pods import box_of

NODE_ADDRESS = "127.0.0.1"
# Pods of other tests must not run here, however long they have been pending.
TAINT = {"key": "astra.dev/process-node", "value": "true", "effect": "NoSchedule"}


def waiting(pod: Object, reason: str, message: str = "") -> dict[str, Any]:
    """Return the status of a pod that is on the node and has not started."""
    state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
    return {"phase": "Pending", "hostIP": NODE_ADDRESS, "containerStatuses": [_container(pod, state, ready=False)]}


def ran(pod: Object, found: dict[str, Any], tail: str, now: str) -> dict[str, Any]:
    """Return the status of a pod that the kubelet has started; ``tail`` is the end of its log."""
    running = found["phase"] == "Running"
    status: dict[str, Any] = {"phase": found["phase"], "hostIP": NODE_ADDRESS, "startTime": found["startTime"]}
    status |= {key: found[key] for key in ("reason", "message") if key in found}
    status |= {"podIP": found["podIP"], "podIPs": [{"ip": found["podIP"]}]}
    state = found["containerStatuses"][0]["state"] if found.get("containerStatuses") else _lost(found, now)
    ended = state.get("terminated")
    if ended and ended["exitCode"] and not ended["message"] and box_of(pod).get("terminationMessagePolicy") == "FallbackToLogsOnError":
        state = {"terminated": ended | {"message": tail}}
    status["containerStatuses"] = [_container(pod, state, ready=running)]
    why = "" if running else "PodCompleted" if found["phase"] == "Succeeded" else "PodFailed"
    status["conditions"] = [
        _condition(pod, "Initialized", True, "", now),
        _condition(pod, "ContainersReady", running, why, now),
        _condition(pod, "Ready", running, why, now),
    ]
    if found.get("reason") in ("NodeLost", "Shutdown"):
        status["conditions"].append(_condition(pod, "DisruptionTarget", True, "TerminationByKubelet", now))
    return status


def covers(pod: Object, status: dict[str, Any]) -> bool:
    """Tell if the pod's stored status says all of ``status`` already."""
    stored = pod.get("status", {})
    conditions = {item["type"]: item["status"] for item in stored.get("conditions", [])}
    same = all(conditions.get(item["type"]) == item["status"] for item in status.get("conditions", []))
    states = [box["state"] for box in stored.get("containerStatuses", [])] == [box["state"] for box in status["containerStatuses"]]
    return same and states and all(stored.get(key) == status[key] for key in status if key not in ("conditions", "containerStatuses"))


def _lost(found: dict[str, Any], now: str) -> dict[str, Any]:
    # A real kubelet that finds no container of a started pod says this.
    ended = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": found.get("message", "")}
    return {"terminated": ended | {"startedAt": found["startTime"], "finishedAt": now}}


def _container(pod: Object, state: dict[str, Any], *, ready: bool) -> dict[str, Any]:
    box = box_of(pod)
    known = {"name": box["name"], "image": box["image"], "imageID": "", "restartCount": 0}
    return known | {"ready": ready, "started": ready, "state": state, "lastState": {}}


def _condition(pod: Object, kind: str, value: bool, reason: str, now: str) -> dict[str, Any]:
    text = str(value)
    old = next((item for item in pod.get("status", {}).get("conditions", []) if item["type"] == kind), {})
    since = old["lastTransitionTime"] if old.get("status") == text else now
    return {"type": kind, "status": text, "reason": reason, "lastTransitionTime": since}
