"""What an API server tells of troubles that no object of a run shows: Warning events, and a namespace that is being deleted.

Both are asked for only where nothing else explains what is seen, and answers are kept for a moment: a run that stands still is looked at
every few seconds. Neither needs more than a namespace's own rights.
"""

import logging
import time
from collections import OrderedDict

from astra_operator.causes import Warned
from astra_operator.clusters.base import Object, parse_time
from astra_operator.clusters.kubernetes_calls import Call, Calls
from astra_operator.clusters.kubernetes_errors import Answer, failure

_WARNED_SECONDS, _ENDING_SECONDS = 30.0, 5.0
_MOST, _PAGE = 2000, 100
_PROBE = "astra-is-this-namespace-ending"

_log = logging.getLogger(__name__)


class Troubles:
    """Thread-safe: who asks at the same time asks twice at worst."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._warned: OrderedDict[str, tuple[float, list[Warned]]] = OrderedDict()
        self._ending: dict[str, tuple[float, bool]] = {}

    def warnings(self, item: Object) -> list[Warned]:
        """Return the Warning events about an object; none, and a line in the log, where they may not be listed."""
        metadata, now = item["metadata"], time.monotonic()
        until, found = self._warned.get(metadata["uid"], (0.0, []))
        if now < until:
            return found
        query = {"fieldSelector": f"involvedObject.uid={metadata['uid']},type=Warning", "limit": str(_PAGE)}
        answer = self._calls.send(Call("list", "events", f"/api/v1/namespaces/{metadata['namespace']}/events", query))
        if answer.code == 403:
            _log.warning("no events can be read: %s", answer.message, extra={"namespace": metadata["namespace"]})
        elif not answer.good:
            raise failure(f"events of {item['kind']} {metadata['namespace']}/{metadata['name']}", answer)
        found = [told for event in answer.body.get("items", ()) if (told := _read(event))] if answer.good else []
        self._warned[metadata["uid"]] = (now + _WARNED_SECONDS, found)
        while len(self._warned) > _MOST:
            self._warned.popitem(last=False)
        return found

    def terminating(self, namespace: str) -> bool:
        """Tell if a namespace is being deleted, by trying to make something in it that is not kept (a dry run).

        A namespace belongs to no namespace, so the right to read one cannot be given in it; the refusal tells the same.
        """
        until, found = self._ending.get(namespace, (0.0, False))
        if time.monotonic() < until:
            return found
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _PROBE, "namespace": namespace}}
        answer = self._calls.send(Call("create", "configmaps", f"/api/v1/namespaces/{namespace}/configmaps", {"dryRun": "All"}, body))
        found = _is_ending(answer)
        self._ending[namespace] = (time.monotonic() + _ENDING_SECONDS, found)
        return found


def _is_ending(answer: Answer) -> bool:
    causes = (answer.body.get("details") or {}).get("causes") or ()
    return answer.code == 403 and any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def _read(event: Object) -> Warned | None:
    series = event.get("series") or {}
    moment = (
        series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    )
    return Warned(event.get("reason") or "", event.get("message") or "", parse_time(moment)) if moment else None
