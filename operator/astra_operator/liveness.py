"""Is the operator alive: do events flow, does its loop turn? Red means that only a new process will help.

Three signs. The Lease that calls show in a version must also come, in that version or a newer one, through the stream of
events. Two lists in a row must not find changes that no event has brought. The loop that hands out work must tick. An API server
that is away is not a sign: a new process would find it away as well.
"""

import threading
import time
from collections.abc import Callable


class Liveness:
    """Collects signs from any thread. ``echo_seconds`` is how long an event may take, ``tick_seconds`` how long one turn of the loop."""

    def __init__(self, echo_seconds: float, tick_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._echo_seconds = echo_seconds
        self._tick_seconds = tick_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._ticked = clock()
        self._waiting: dict[str, tuple[int, float]] = {}
        self._echoed: dict[str, int] = {}
        self._misses = 0

    def tick(self) -> None:
        """Say that the loop turns."""
        self._ticked = self._clock()

    def shown(self, namespace: str, version: int) -> None:
        """Say that a call has shown the Lease of a namespace in a version: its event is now waited for."""
        with self._lock:
            if version > self._echoed.get(namespace, 0) and namespace not in self._waiting:
                self._waiting[namespace] = (version, self._clock())

    def echoed(self, namespace: str, version: int) -> float:
        """Say that the stream has brought the Lease in a version; return how late it was, in seconds."""
        with self._lock:
            self._echoed[namespace] = max(version, self._echoed.get(namespace, 0))
            waited = self._waiting.get(namespace)
            if waited is None or version < waited[0]:
                return 0.0
            del self._waiting[namespace]
            return self._clock() - waited[1]

    def late(self, namespace: str) -> bool:
        """Tell if the event of a Lease has taken half of the time that it may take."""
        with self._lock:
            waited = self._waiting.get(namespace)
            return waited is not None and self._clock() - waited[1] > self._echo_seconds / 2

    def forget(self, namespace: str) -> None:
        """Say that events of a namespace's Lease are not waited for any more, until a call shows it again."""
        with self._lock:
            self._waiting.pop(namespace, None)
            self._echoed.pop(namespace, None)

    def listed(self, missed: int) -> None:
        """Say how many changes a list found that no event had brought."""
        self._misses = self._misses + 1 if missed else 0

    def problems(self) -> list[str]:
        """Return what is wrong, one line each; empty when all is well."""
        now = self._clock()
        with self._lock:
            late = {namespace: now - since for namespace, (_, since) in self._waiting.items()}
        found = [f"no event of the Lease in namespace {name} for {age:.0f} s" for name, age in late.items() if age > self._echo_seconds]
        if self._misses > 1:
            found.append(f"the last {self._misses} lists found changes that no event had brought")
        if now - self._ticked > self._tick_seconds:
            found.append(f"the loop has not turned for {now - self._ticked:.0f} s")
        return found
