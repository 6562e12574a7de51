"""Writes events of runs beside the reconcile: one thread, a short queue. What cannot be written is dropped; nobody ever waits for it."""

import logging
import queue
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from astra_operator.clusters.base import ClusterError, Event, Object
from astra_operator.clusters.kubernetes_calls import Call, Calls
from astra_operator.clusters.kubernetes_resources import Resource

CONTROLLER = "astra.dev/operator"
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
_LONGEST = 1000

_log = logging.getLogger(__name__)


class EventWriter:
    """Takes events from any thread. ``may_write`` tells if the operator holds the Lease of a namespace now."""

    def __init__(self, calls: Calls, may_write: Callable[[str], bool]) -> None:
        self._calls = calls
        self._may_write = may_write
        self._waiting: queue.Queue[Object] = queue.Queue(_LONGEST)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._refused: set[str] = set()

    def put(self, run: Object, event: Event) -> None:
        """Have an event written soon; dropped while a thousand others wait."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="events", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(event_object(run, event, datetime.now(UTC)))
        except queue.Full:
            _log.warning("event %s is dropped: too many wait to be written", event.name)

    def _work(self) -> None:
        while True:
            item = self._waiting.get()
            namespace = item["metadata"]["namespace"]
            if not self._may_write(namespace):
                continue
            try:
                answer = self._calls.send(Call("create", EVENTS.plural, EVENTS.path(namespace), {}, item))
            except ClusterError as error:
                _log.info("event %s was not written: %s", item["metadata"]["name"], error)
                continue
            # One that exists tells the same already. What is refused once, for want of a right mostly, is told once.
            if not answer.good and answer.reason != "AlreadyExists" and namespace not in self._refused:
                self._refused.add(namespace)
                _log.warning("events of namespace %s are not written: %s", namespace, answer.message, extra={"namespace": namespace})


def event_object(run: Object, event: Event, now: datetime) -> dict[str, Any]:
    """Return an event as it is sent."""
    metadata = run["metadata"]
    regarding = {"apiVersion": run["apiVersion"], "kind": run["kind"]} | {key: metadata[key] for key in ("namespace", "name", "uid")}
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": event.name, "namespace": metadata["namespace"]},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": socket.gethostname()[:128] or CONTROLLER,
        "action": event.action,
        "reason": event.reason,
        "note": event.note,
        "type": "Warning" if event.warning else "Normal",
        "regarding": regarding,
    }
