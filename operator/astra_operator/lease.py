"""One Lease a namespace, so that of several operators only one writes there.

The holder renews it every third of its time and trusts it for four fifths, counted from before the renewal was sent, on a clock
that also runs while the process is stopped; another operator takes it only after it saw no renewal for the whole time. So no
two believe at once that they hold it, whatever their clocks say. A write that was on its way when the process was stopped can
still arrive: fixed names, UIDs and resource versions keep that harmless.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from astra_operator.clusters.base import Object
from astra_operator.clusters.kubernetes_calls import Call, Calls, Verb
from astra_operator.clusters.kubernetes_errors import Answer, failure

GROUP, VERSION, PLURAL, NAME = "coordination.k8s.io", "v1", "leases", "astra-operator"
_TRUSTED = 0.8

_log = logging.getLogger(__name__)


def boot_clock() -> float:
    """Return seconds since the machine started, time asleep or stopped included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One namespace's Lease. ``held`` may be asked by any thread; ``tick`` and ``release`` make calls and run one at a time.

    ``seen`` is told the resource version of the Lease whenever a call shows it.
    """

    def __init__(self, calls: Calls, namespace: str, identity: str, seconds: float, seen: Callable[[str, int], None]) -> None:
        self.namespace = namespace
        self.period = seconds / 3
        self._calls = calls
        self._identity = identity
        self._seconds = seconds
        self._seen = seen
        self._lock = threading.Lock()
        self._until = 0.0
        self._lease: Object | None = None
        self._unchanged_since = 0.0

    @property
    def held(self) -> bool:
        """Tell if this operator may write to the namespace at this moment."""
        return boot_clock() < self._until

    def tick(self) -> None:
        """Renew the Lease, or take it when it is free; raises ``ClusterError``."""
        with self._lock:
            if not self._turn():
                self._turn()  # somebody wrote to it since it was read: look once more, and leave it to them if it happens again

    def release(self) -> None:
        """Give the Lease up, so that another operator need not wait; raises ``ClusterError``."""
        with self._lock:
            held, self._until = self.held, 0.0
            if held and self._lease is not None:
                self._write("update", {"holderIdentity": ""})

    def _turn(self) -> bool:
        if not self._is_mine():
            self._read()
        if self._lease is None:
            return self._write("create", {"leaseTransitions": 0, "acquireTime": _now()})
        if self._is_mine():
            return self._write("update", {})
        if self._is_free():
            passed = int(self._lease["spec"].get("leaseTransitions") or 0) + 1
            return self._write("update", {"leaseTransitions": passed, "acquireTime": _now()})
        return True

    def _is_mine(self) -> bool:
        return self._lease is not None and self._lease["spec"].get("holderIdentity") == self._identity

    def _is_free(self) -> bool:
        assert self._lease is not None, "a Lease that is not there is made"
        spec = self._lease["spec"]
        allowed = float(spec.get("leaseDurationSeconds") or self._seconds)
        return not spec.get("holderIdentity") or boot_clock() - self._unchanged_since > allowed

    def _read(self) -> None:
        answer = self._send("get")
        if answer.code != 404 and not answer.good:
            raise failure(f"Lease of {self.namespace}", answer)
        self._keep(answer.body if answer.good else None)

    def _keep(self, lease: Object | None) -> None:
        """Remember a Lease as it was last seen, and since when it has not changed."""
        before = self._lease["metadata"]["resourceVersion"] if self._lease else ""
        if lease is None or lease["metadata"]["resourceVersion"] != before:
            self._unchanged_since = boot_clock()
        self._lease = lease
        if lease is not None:
            self._seen(self.namespace, int(lease["metadata"]["resourceVersion"]))

    def _write(self, verb: Verb, changes: Object) -> bool:
        """Write the Lease; return False when it was written to by somebody else since it was read."""
        sent, held = boot_clock(), self.held
        known, self._lease = self._lease, None  # without an answer nobody knows what is there: the next turn reads it first
        spec = (known["spec"] if known else {}) | {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._seconds)),
            "renewTime": _now(),
        }
        metadata = known["metadata"] if known else {"name": NAME, "namespace": self.namespace}
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Lease", "metadata": metadata, "spec": spec | changes}
        answer = self._send(verb, body)
        if answer.code in (404, 409):
            return False
        if not answer.good:
            raise failure(f"Lease of {self.namespace}", answer)
        self._keep(answer.body)
        mine = self._is_mine()
        self._until = sent + self._seconds * _TRUSTED if mine else 0.0
        if mine and not held:
            _log.info("took the Lease of namespace %s", self.namespace, extra={"namespace": self.namespace})
        return True

    def _send(self, verb: Verb, body: Object | None = None) -> Answer:
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}"
        return self._calls.send(Call(verb, PLURAL, path if verb == "create" else f"{path}/{NAME}", body=body))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
