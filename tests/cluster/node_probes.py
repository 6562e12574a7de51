"""The probes of a pod's container, as a kubelet carries them out: start-up first, then readiness and liveness beside each other.

One thread a container, which waits for one answer at a time. HTTP only; a pod that asks for another probe, or for a hook that is not
``sleep``, is refused.
"""

import http.client
import threading
import time
from collections.abc import Callable
from typing import Any

from astra_operator.clusters.base import Object
from tests.cluster.node_pods import box_of

KINDS = ("startupProbe", "readinessProbe", "livenessProbe")


def asked(pod: Object) -> dict[str, dict[str, Any]]:
    """Return the probes of a pod by their field."""
    box = box_of(pod)
    return {kind: box[kind] for kind in KINDS if kind in box}


def pre_stop(pod: Object) -> float:
    """Return for how many seconds a pod that is told to go is left alone."""
    return float(box_of(pod).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0))


def unknown(pod: Object) -> str:
    """Return what a pod asks for that cannot be done here, empty when it is nothing."""
    wrong = [kind for kind, probe in asked(pod).items() if "httpGet" not in probe]
    hooks = box_of(pod).get("lifecycle", {})
    wrong += [hook for hook in hooks if hook != "preStop" or list(hooks[hook]) != ["sleep"]]
    return f"{', '.join(wrong)}: the process node knows httpGet and sleep only" if wrong else ""


class _Count:
    """How a probe went of late."""

    def __init__(self, probe: dict[str, Any]) -> None:
        self.probe = probe
        self.due = time.monotonic() + probe.get("initialDelaySeconds", 0)
        self.good = self.bad = 0

    def add(self, ok: bool) -> bool | None:
        """Count one answer; return what is certain now, None when nothing is."""
        self.good, self.bad = (self.good + 1, 0) if ok else (0, self.bad + 1)
        self.due = time.monotonic() + self.probe.get("periodSeconds", 10)
        if self.good >= self.probe.get("successThreshold", 1):
            return True
        return False if self.bad >= self.probe.get("failureThreshold", 3) else None


class Probes:
    """What is known of one container; ``dead`` says why it has to be ended, and ``changed`` is called when something is new."""

    def __init__(self, pod: Object, address: str, changed: Callable[[], None]) -> None:
        self._probes, self._address, self._changed = asked(pod), address, changed
        self._ports = {port.get("name"): port["containerPort"] for port in box_of(pod).get("ports", [])}
        self.started = "startupProbe" not in self._probes
        self.ready = self.started and "readinessProbe" not in self._probes
        self.dead = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)
        if self._probes:
            self._thread.start()

    def stop(self) -> None:
        """Ask nothing any more."""
        self._over.set()

    def _run(self) -> None:
        if not self.started:
            self._started()
        counts = {kind: _Count(self._probes[kind]) for kind in KINDS[1:] if kind in self._probes}
        while counts and not self.dead and not self._over.is_set():
            kind = min(counts, key=lambda kind: counts[kind].due)
            if not self._over.wait(max(0.0, counts[kind].due - time.monotonic())):
                self._take(kind, counts[kind].add(self._ok(counts[kind].probe)))

    def _started(self) -> None:
        count = _Count(self._probes["startupProbe"])
        while not self.started and not self.dead and not self._over.wait(max(0.0, count.due - time.monotonic())):
            certain = count.add(self._ok(count.probe))
            if certain:
                self.started = True
                self.ready = "readinessProbe" not in self._probes
                self._changed()
            elif certain is False:
                self._die("startup")

    def _take(self, kind: str, certain: bool | None) -> None:
        if certain is None:
            return
        if kind == "livenessProbe":
            if not certain:
                self._die("liveness")
        elif certain != self.ready:
            self.ready = certain
            self._changed()

    def _die(self, what: str) -> None:
        self.dead, self.ready = f"container failed {what} probe, will be restarted", False
        self._changed()

    def _ok(self, probe: dict[str, Any]) -> bool:
        get = probe["httpGet"]
        port = self._ports.get(get["port"], get["port"])
        connection = http.client.HTTPConnection(get.get("host", self._address), int(port), timeout=probe.get("timeoutSeconds", 1))
        try:
            connection.request("GET", get.get("path", "/"), headers={"User-Agent": "kube-probe/process", "Connection": "close"})
            return 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
