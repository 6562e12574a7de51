"""A team's settings, the ConfigMap ``astra-team`` of its namespace: asked for seldom, and a little old while there is no answer."""

import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from astra_operator.clusters.base import ClusterError, Unreachable
from astra_operator.clusters.kubernetes_calls import Call, Calls
from astra_operator.clusters.kubernetes_errors import failure
from astra_operator.clusters.kubernetes_resources import RESOURCE_OF
from astra_operator.settings import TEAM_CONFIG

_TRUSTED = 60.0
_SECONDS = 10.0


class _Read(NamedTuple):
    """Settings as they were last read, until when they are not asked for again, and until when they serve without an answer."""

    until: float = 0.0
    trusted: float = 0.0
    data: Mapping[str, str] = MappingProxyType({})
    error: ClusterError | None = None


class TeamReader:
    """Reads each namespace's settings every ten seconds at most, whoever asks. Thread-safe."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known: dict[str, _Read] = {}
        self._locks: dict[str, threading.Lock] = {}

    def settings(self, namespace: str) -> dict[str, str]:
        """Return the settings, a minute old at most; empty where there is no such ConfigMap. Raises what reading them ended with."""
        with self._locks.setdefault(namespace, threading.Lock()):
            known = self._known.get(namespace, _Read())
            if time.monotonic() >= known.until:
                known = self._known[namespace] = self._read(namespace, known)
        if known.error is not None:
            raise known.error.with_traceback(None)
        return dict(known.data)

    def _read(self, namespace: str, known: _Read) -> _Read:
        resource = RESOURCE_OF["ConfigMap"]
        until = time.monotonic() + _SECONDS
        try:
            answer = self._calls.send(Call("get", resource.plural, resource.path(namespace, TEAM_CONFIG)))
        except Unreachable as error:
            return known._replace(until=until, error=None if time.monotonic() < known.trusted else error)
        if not answer.good and answer.code != 404:
            return _Read(until, error=failure(f"ConfigMap {namespace}/{TEAM_CONFIG}", answer))
        return _Read(until, time.monotonic() + _TRUSTED, answer.body.get("data") or {} if answer.good else {})
