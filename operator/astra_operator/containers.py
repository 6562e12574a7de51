"""Containers of a pod → which of them is the job's own, what stands beside it, what keeps it from starting. Pure.

A service mesh or a platform may put containers into every pod: before ours or after it in the list, or as a native sidecar (an init
container with restartPolicy Always). Ours is known by its name, and it alone decides how a pod ended.
"""

from typing import Any, NamedTuple

from astra_operator import causes
from astra_operator.clusters.base import Object

JOB_CONTAINERS = ("job", "pytorch")
"""Names of the job's container: a Job's is ours to choose, a PyTorchJob demands the other."""
CONTAINERS = (*JOB_CONTAINERS, "sandbox")
"""Names of a pod's own container, pools included; others were put in by somebody's admission webhook."""
_STARTING = ("", "PodInitializing", "ContainerCreating")
_PULLING = ("ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable")
_REFUSING = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError")
_SANDBOX = ("FailedCreatePodSandBox", "CreatePodSandboxError", "RuntimeClassNotFound")


class Ended(NamedTuple):
    """A container that ended: its name, its terminated state, and if it is the pod's own."""

    name: str
    state: dict[str, Any]
    own: bool


def own_state(status: Object) -> dict[str, Any]:
    """Return the state of the pod's own container, empty while the node has told none."""
    found: Object = next((item for item in status.get("containerStatuses") or [] if item.get("name") in CONTAINERS), {})
    state: dict[str, Any] = found.get("state") or {}
    return state


def ended_of(pod: Object) -> Ended | None:
    """Return the end that counts: of the pod's own container, else of an init container that failed, for then ours never runs."""
    status = pod.get("status", {})
    own: Object = next((item for item in status.get("containerStatuses") or [] if item.get("name") in CONTAINERS), {})
    if ended := (own.get("state") or {}).get("terminated"):
        return Ended(own["name"], ended, own=True)
    if status.get("phase") != "Failed":
        return None
    for item in status.get("initContainerStatuses") or []:
        ended = (item.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode") and item.get("name") not in sidecars(pod):
            return Ended(item.get("name", ""), ended, own=False)
    return None


def beside(status: Object) -> str:
    """Return the name of a container that runs beside the pod's own, empty when there is none. A native sidecar ends by itself."""
    others = (item for item in status.get("containerStatuses") or [] if item.get("name") not in CONTAINERS)
    return next((item.get("name", "") for item in others if "running" in (item.get("state") or {})), "")


def sidecars(pod: Object) -> set[str]:
    """Return the names of the native sidecars of a pod."""
    listed = pod.get("spec", {}).get("initContainers") or []
    return {item["name"] for item in listed if item.get("restartPolicy") == "Always"}


def hindrance(pod: Object) -> str:
    """Return 'Reason: message' of the container that keeps a pod from starting, as its node tells it; empty when none is said to."""
    status = pod.get("status", {})
    for item in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        told = _waiting(item) or (_again(item) if item.get("name") in sidecars(pod) else "")
        if told:
            return told
    return ""


def first(pod: Object) -> str:
    """Return what of a pod has to end, or to be ready, before its own container may start; empty when nothing has."""
    for item in pod.get("status", {}).get("initContainerStatuses") or []:
        name, state = item.get("name", ""), item.get("state") or {}
        if "running" in state and name not in sidecars(pod):
            return f"init container {name} has not ended yet"
        if "running" in state and item.get("started") is False:
            return f"sidecar {name} is not ready yet"
    return ""


def _waiting(item: Object) -> str:
    waiting = (item.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason") or "", waiting.get("message") or ""
    who = "" if item.get("name") in CONTAINERS else f"{item.get('name', '')}: "
    told = f"{who}{reason} {message}".strip()
    if reason in _PULLING:
        return f"ImageUnavailable: {told}"
    if reason in _REFUSING:
        return f"{causes.reason_of(message, 'ContainerRefused')}: {told}"
    if reason in _SANDBOX:
        return f"SandboxRuntimeMissing: {told}"
    if reason in _STARTING or item.get("name") in CONTAINERS:
        return ""
    delay, _, _ = message.partition(" restarting")
    return f"SidecarFailing: {who}{reason}" + (f", {delay}" if delay else "") + _last(item)


def _again(item: Object) -> str:
    """Return what is known of a sidecar that was started again after it failed, and that is not ready."""
    ready = "running" in (item.get("state") or {}) and item.get("started") is not False
    return f"SidecarFailing: {item.get('name', '')}: ends again and again{last}" if not ready and (last := _last(item)) else ""


def _last(item: Object) -> str:
    code = ((item.get("lastState") or {}).get("terminated") or {}).get("exitCode")
    return f", last with exit code {code}" if code else ""
