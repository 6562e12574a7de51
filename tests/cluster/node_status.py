"""What the node writes into a pod's status: the process kubelet's answer in the form that a real kubelet gives it. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from astra_operator.clusters.base import Object
from tests.cluster.node_pods import box_of

NODE_ADDRESS = "127.0.0.1"
_LOOPBACK, _PUBLISHED = "127.", "10."
# Pods of other tests must not run here, however long they have been pending.
TAINT = {"key": "astra.dev/process-node", "value": "true", "effect": "NoSchedule"}


def published(pod: Object, address: str) -> str:
    """Return what a pod's status says of its address on loopback.

    An API server takes no loopback address for a Service's endpoint. So pods that are asked if they are ready, as those behind a Service
    are, publish 10.X.Y.Z for 127.X.Y.Z, and the cluster's DNS gives it back (``listening``); nothing is ever sent to 10.0.0.0/8.
    """
    return _PUBLISHED + address.removeprefix(_LOOPBACK) if "readinessProbe" in box_of(pod) else address


def listening(address: str) -> str:
    """Return where a pod listens that published an address."""
    return _LOOPBACK + address.removeprefix(_PUBLISHED) if address.startswith(_PUBLISHED) else address


class Health(NamedTuple):
    """What probes say of a container, how often it was started again, and how the last one ended."""

    started: bool = False
    ready: bool = False
    restarts: int = 0
    last: Mapping[str, Any] = MappingProxyType({})


NEVER_RAN = Health()


def initialising(pod: Object, inits: list[dict[str, Any]], now: str, over: bool = False) -> dict[str, Any]:
    """Return the status of a pod whose init containers are in some states; ``over`` tells that one has failed for good."""
    main = _container(pod, {"waiting": {"reason": "PodInitializing"}}, NEVER_RAN)
    why = _condition(pod, "Initialized", False, "ContainersNotInitialized", now)
    status = {"hostIP": NODE_ADDRESS, "startTime": pod.get("status", {}).get("startTime", now), **init_states(pod, inits)}
    return {"phase": "Failed" if over else "Pending"} | status | {"containerStatuses": [main], "conditions": [why]}


def init_states(pod: Object, inits: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the part of a status that tells of init containers, empty for a pod that has none."""
    told = [
        {"name": box["name"], "image": box["image"], "imageID": "", "restartCount": 0, "ready": _ended_well(state), "state": state}
        for box, state in zip(pod["spec"].get("initContainers") or [], inits, strict=True)
    ]
    return {"initContainerStatuses": told} if told else {}


def _ended_well(state: dict[str, Any]) -> bool:
    return bool(state.get("terminated", {}).get("exitCode", 1) == 0)


def waiting(pod: Object, reason: str, message: str = "", health: Health = NEVER_RAN) -> dict[str, Any]:
    """Return the status of a pod that is on the node and whose container has not started, or waits to start again."""
    state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
    status = {"hostIP": NODE_ADDRESS, "containerStatuses": [_container(pod, state, health)]}
    if not health.restarts:
        return {"phase": "Pending"} | status
    return (
        {"phase": "Running"}
        | status
        | {"conditions": _readiness(pod, False, "ContainersNotReady", health.last["terminated"]["finishedAt"])}
    )


def ran(pod: Object, found: dict[str, Any], tail: str, now: str, health: Health) -> dict[str, Any]:
    """Return the status of a pod that the kubelet has started; ``tail`` is the end of its log."""
    running = found["phase"] == "Running"
    status: dict[str, Any] = {"phase": found["phase"], "hostIP": NODE_ADDRESS, "startTime": found["startTime"]}
    status |= {key: found[key] for key in ("reason", "message") if key in found}
    address = published(pod, found["podIP"])
    status |= {"podIP": address, "podIPs": [{"ip": address}]}
    status["containerStatuses"] = [_container(pod, state_of(pod, found, tail, now), health)]
    why = "ContainersNotReady" if running else "PodCompleted" if found["phase"] == "Succeeded" else "PodFailed"
    status["conditions"] = [_condition(pod, "Initialized", True, "", now), *_readiness(pod, health.ready, why, now)]
    if found.get("reason") in ("NodeLost", "Shutdown"):
        status["conditions"].append(_condition(pod, "DisruptionTarget", True, "TerminationByKubelet", now))
    return status


def state_of(pod: Object, found: dict[str, Any], tail: str, now: str) -> dict[str, Any]:
    """Return the state of a container that was started."""
    state: dict[str, Any] = found["containerStatuses"][0]["state"] if found.get("containerStatuses") else _lost(found, now)
    ended = state.get("terminated")
    if ended and ended["exitCode"] and not ended["message"] and box_of(pod).get("terminationMessagePolicy") == "FallbackToLogsOnError":
        return {"terminated": ended | {"message": tail}}
    return state


def covers(pod: Object, status: dict[str, Any]) -> bool:
    """Tell if the pod's stored status says all of ``status`` already."""
    stored = pod.get("status", {})
    conditions = {item["type"]: item["status"] for item in stored.get("conditions", [])}
    same = all(conditions.get(item["type"]) == item["status"] for item in status.get("conditions", []))
    told, known = (
        [(box["state"], box["ready"], box["restartCount"]) for box in boxes]
        for boxes in (status["containerStatuses"], stored.get("containerStatuses", []))
    )
    return (
        same and told == known and all(stored.get(key) == status[key] for key in status if key not in ("conditions", "containerStatuses"))
    )


def _lost(found: dict[str, Any], now: str) -> dict[str, Any]:
    # A real kubelet that finds no container of a started pod says this.
    ended = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": found.get("message", "")}
    return {"terminated": ended | {"startedAt": found["startTime"], "finishedAt": now}}


def _container(pod: Object, state: dict[str, Any], health: Health) -> dict[str, Any]:
    box = box_of(pod)
    known = {"name": box["name"], "image": box["image"], "imageID": "", "restartCount": health.restarts}
    return known | {"ready": health.ready, "started": health.started, "state": state, "lastState": dict(health.last)}


def _readiness(pod: Object, ready: bool, why: str, now: str) -> list[dict[str, Any]]:
    return [_condition(pod, kind, ready, "" if ready else why, now) for kind in ("ContainersReady", "Ready")]


def _condition(pod: Object, kind: str, value: bool, reason: str, now: str) -> dict[str, Any]:
    text = str(value)
    old = next((item for item in pod.get("status", {}).get("conditions", []) if item["type"] == kind), {})
    since = old["lastTransitionTime"] if old.get("status") == text else now
    return {"type": kind, "status": text, "reason": reason, "lastTransitionTime": since}
