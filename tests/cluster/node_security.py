"""The kubelet's rule for containers that may not be root: ``verifyRunAsNonRoot`` of ``pkg/kubelet/kuberuntime``, in its own words. Pure."""

from typing import Any

from astra_operator.clusters.base import Object
from tests.cluster.node_images import ImageUser, user_of

HIGHEST_USER = 2**31 - 1


def effective(pod: Object, box: dict[str, Any]) -> dict[str, Any]:
    """Return what holds for a container: its own security context over the pod's."""
    context: dict[str, Any] = (pod["spec"].get("securityContext") or {}) | (box.get("securityContext") or {})
    return context


def refused(pod: Object, box: dict[str, Any], image: ImageUser | None = None) -> str:
    """Return why a kubelet does not make a container, empty when it does."""
    image, context, metadata = image or user_of(box["image"]), effective(pod, box), pod["metadata"]
    where = f'(pod: "{metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})", container: {box["name"]})'
    if not context.get("runAsNonRoot"):
        return ""
    if (user := context.get("runAsUser")) is not None:
        return f"container's runAsUser breaks non-root policy {where}" if user == 0 else ""
    if image.number is None:
        told = f"container has runAsNonRoot and image has non-numeric user ({image.name}), cannot verify user is non-root {where}"
        return told if image.name else ""
    if image.number == 0:
        return f"container has runAsNonRoot and image will run as root {where}"
    if not 0 < image.number <= HIGHEST_USER:
        return f"container has runAsNonRoot and image has an invalid user id ({image.number}). {where}"
    return ""
