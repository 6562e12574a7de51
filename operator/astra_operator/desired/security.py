"""Who a pod runs as: a user that is not root, said for the whole pod, so that containers that others add to it are not root either.

The training operator gives each worker an init container whose image runs as root. A kubelet refuses a container that may not be root
(``runAsNonRoot``) and whose user only its image says, so the pod has to name the user. ``fsGroup`` makes a claim's volume writable.
"""

from typing import Any

ASSIGNED = "Assigned"
"""The team's ``podUser`` where the cluster gives each namespace users of its own, as OpenShift does: the pods name none."""


def user_of(setting: str) -> str:
    """Return the user that pods name, empty where the cluster assigns it."""
    return "" if setting == ASSIGNED else setting


def pod_security(user: str, group: str = "") -> dict[str, Any]:
    """Return a pod's security context; ``group`` left out is the user's number. Both empty: whom the cluster or the image says."""
    context: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if user:
        context["runAsUser"] = int(user)
    if group := group or user:
        # A large volume is walked through only once, and not at every start.
        context |= {"runAsGroup": int(group), "fsGroup": int(group), "fsGroupChangePolicy": "OnRootMismatch"}
    return context
