"""The init containers of a pod, one after the other before its own container, as a kubelet runs them.

Each is a pod of its own to a process kubelet of its own: the command, the environment and the end are the container's, the programs are
this machine's beside those of ``node_images``, and names are asked of the node's DNS server. No volumes, no token. A container that
fails ends a pod whose ``restartPolicy`` is Never, and is started again in any other. What has a ``restartPolicy`` of its own (a native
sidecar) is refused.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astra_operator.clusters.base import Object
from astra_operator.clusters.processes import Kubelet
from tests.cluster import node_dns, node_images, node_pods
from tests.cluster.nslookup import SEARCH, SERVER

PENDING = {"waiting": {"reason": "PodInitializing"}}


def inits_of(pod: Object) -> list[dict[str, Any]]:
    """Return a pod's init containers in their order."""
    return list(pod["spec"].get("initContainers") or [])


def unknown(pod: Object) -> str:
    """Return what of a pod's init containers cannot be done here, empty when it is nothing."""
    tokens = {volume["name"] for volume in pod["spec"].get("volumes", []) if "projected" in volume}
    mounts = {box["name"]: {mount["name"] for mount in box.get("volumeMounts", [])} - tokens for box in inits_of(pod)}
    wrong = [box["name"] for box in inits_of(pod) if "restartPolicy" in box or mounts[box["name"]]]
    return f"init container {', '.join(wrong)}: the process node knows no sidecars and mounts no volumes there" if wrong else ""


class Inits:
    """Runs init containers under ``folder``; ``server`` is the address and port of the node's DNS."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        own = {"PATH": os.pathsep.join([str(node_images.programs(folder / "programs")), environment.get("PATH", os.defpath)])}
        self.kubelet = Kubelet(folder / "containers", {**environment, **own})
        self.server = ""

    def tick(self) -> None:
        """See ``Kubelet.tick``."""
        self.kubelet.tick()

    def known(self) -> set[str]:
        """Return the UIDs of the pods of which a container is known."""
        return {known.rpartition(".")[0] for known in self.kubelet.known()}

    def states(self, pod: Object) -> list[dict[str, Any]]:
        """Return the states of a pod's init containers, in their order."""
        return [self._state(pod, place) for place in range(len(inits_of(pod)))]

    def done(self, pod: Object) -> bool:
        """Tell if all have ended well."""
        return all(state.get("terminated", {}).get("exitCode") == 0 for state in self.states(pod))

    def failed(self, pod: Object) -> bool:
        """Tell if one has ended a pod that is not tried again."""
        never = pod["spec"].get("restartPolicy", "Always") == "Never"
        return never and any(state.get("terminated", {}).get("exitCode") for state in self.states(pod))

    def next(self, pod: Object) -> tuple[int, dict[str, Any]] | None:
        """Return the place of the next container to start and the container; None while one runs, or when none is left."""
        for place, (box, state) in enumerate(zip(inits_of(pod), self.states(pod), strict=True)):
            if "running" in state or (self.failed(pod) and "terminated" in state):
                return None
            if state.get("terminated", {}).get("exitCode") != 0:
                return place, box
        return None

    def start(self, pod: Object, place: int, address: str) -> None:
        """Start a container; one that has failed is started again."""
        uid = self._uid(pod, place)
        if self.kubelet.started(uid):
            self.kubelet.forget(uid)
        box = dict(inits_of(pod)[place])
        namespace = pod["metadata"]["namespace"]
        search = f"{namespace}.svc.{node_dns.DOMAIN} svc.{node_dns.DOMAIN} {node_dns.DOMAIN}"
        told = [{"name": SERVER, "value": self.server}, {"name": SEARCH, "value": search}]
        box |= {"env": [*box.get("env", []), *told], "volumeMounts": []}
        metadata = pod["metadata"] | {"uid": uid}
        self.kubelet.start(node_pods.runnable({"metadata": metadata, "spec": {"containers": [box]}}, {}, None), address, {})

    def kill(self, uid: str) -> None:
        """End what runs of a pod's init containers and forget them all."""
        for known in self.kubelet.known():
            if known.rpartition(".")[0] == uid:
                self.kubelet.kill(known)
                if self.kubelet.gone(known):
                    self.kubelet.forget(known)

    def _uid(self, pod: Object, place: int) -> str:
        return f"{pod['metadata']['uid']}.{place}"

    def _state(self, pod: Object, place: int) -> dict[str, Any]:
        uid = self._uid(pod, place)
        if not self.kubelet.started(uid):
            return PENDING
        found = self.kubelet.status(uid)
        if not found.get("containerStatuses"):  # lost
            return {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": found["startTime"]}}
        state: dict[str, Any] = found["containerStatuses"][0]["state"]
        ended = state.get("terminated", {})
        return {"terminated": ended | {"message": self.kubelet.last_lines(uid)}} if ended.get("exitCode") else state
