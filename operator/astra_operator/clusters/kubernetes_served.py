"""What an API server serves beyond single objects of a namespace: kinds, RuntimeClasses, streams. Answers are kept for a while.

A no is asked again after half a minute, a yes after ten: whoever waits for software to be installed waits for the first.
"""

import logging
import time

from astra_operator.clusters.base import ClusterError, Refused
from astra_operator.clusters.kubernetes_calls import Call, Calls
from astra_operator.clusters.kubernetes_errors import failure
from astra_operator.clusters.kubernetes_resources import root

_SERVED_SECONDS, _ABSENT_SECONDS = 600.0, 30.0
_RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

_log = logging.getLogger(__name__)


class Served:
    """Thread-safe: who asks at the same time asks twice at worst."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._kinds: dict[str, tuple[float, frozenset[str]]] = {}
        self._runtimes: dict[str, tuple[float, bool]] = {}

    def kind(self, api_version: str, kind: str) -> bool:
        """Tell if objects of a kind can be made."""
        until, kinds = self._kinds.get(api_version, (0.0, frozenset()))
        if time.monotonic() >= until or (kind not in kinds and time.monotonic() >= until - _SERVED_SECONDS + _ABSENT_SECONDS):
            answer = self._calls.send(Call("get", "discovery", root(api_version)))
            if not answer.good and answer.code != 404:
                raise failure(f"discovery of {api_version}", answer)
            kinds = frozenset(str(entry["kind"]) for entry in answer.body.get("resources", ()))
            self._kinds[api_version] = (time.monotonic() + _SERVED_SECONDS, kinds)
        return kind in kinds

    def runtime(self, name: str) -> bool:
        """Tell if there is a RuntimeClass; raises ``Refused``, with the mend, when that may not be asked."""
        until, found = self._runtimes.get(name, (0.0, False))
        if time.monotonic() < until:
            return found
        answer = self._calls.send(Call("get", "runtimeclasses", f"{_RUNTIMES}/{name}"))
        if answer.code == 403:
            raise Refused(f"{answer.message}; set rights.runtimeClasses=true in the values of chart astra-operator")
        if not answer.good and answer.code != 404:
            raise _not_refused(failure(f"RuntimeClass {name}", answer))
        self._runtimes[name] = (time.monotonic() + (_SERVED_SECONDS if answer.good else _ABSENT_SECONDS), answer.good)
        return answer.good

    def may_watch(self, group: str, plural: str, namespace: str, name: str = "") -> bool:
        """Tell if a stream of a resource can be open in a namespace ("": in all); say so where it may not.

        Everybody may ask that about himself. Without the right no event comes, and no new process would change that.
        """
        asked = {"group": group, "resource": plural, "verb": "watch", "namespace": namespace, "name": name}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        given = {key: value for key, value in asked.items() if value}
        answer = self._calls.send(Call("create", "selfsubjectaccessreviews", _REVIEWS, body=body | {"spec": {"resourceAttributes": given}}))
        allowed = not answer.good or bool(answer.body.get("status", {}).get("allowed"))
        if not allowed:
            where = f"the namespace {namespace}" if namespace else "all namespaces"
            _log.warning("no events of %s come in %s: give the right to watch them", plural, where, extra={"namespace": namespace or "*"})
        return allowed


def _not_refused(error: ClusterError) -> ClusterError:
    return ClusterError(str(error)) if isinstance(error, Refused) else error
