"""The loop around the reconcile: a queue of runs to look at, fed by events, by the clock and by each other.

A cluster's driver wakes runs and calls ``work``; it needs no thread. A run whose status changed wakes the runs that read it.
"""

import logging

from astra_operator.clusters.base import Cluster, ClusterError, RunKey, key_of
from astra_operator.queue import WorkQueue
from astra_operator.reconcile import Reconciler
from astra_operator.settings import OperatorSettings

_log = logging.getLogger(__name__)


class Controller:
    """Reconciles the runs of one cluster, one at a time."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings) -> None:
        self.cluster = cluster
        self.reconciler = Reconciler(cluster, settings)
        self.queue: WorkQueue[RunKey] = WorkQueue(lambda: cluster.now().timestamp())

    def wake(self, key: RunKey) -> None:
        """Say that something about a run may have changed."""
        self.queue.add(key)

    def wake_all(self) -> None:
        """Look at every run: at the start, and slowly ever after, in case an event was missed."""
        for run in self.cluster.list_runs():
            self.queue.add(key_of(run))

    def work(self) -> float | None:
        """Reconcile everything that is due; return the seconds until something else is, or None."""
        while (key := self.queue.get()) is not None:
            self._one(key)
        return self.queue.wait()

    def _one(self, key: RunKey) -> None:
        try:
            outcome = self.reconciler.reconcile(key)
            if outcome.changed or outcome.gone:
                for other in self.reconciler.readers.of(key):
                    self.queue.add(other)
        except ClusterError as error:
            delay = self.queue.fail(key)
            _log.warning("%s %s: %s; again in %.0f s", key.kind, key.name, error, delay)
            return
        self.queue.done(key)
        if outcome.again is not None:
            self.queue.add(key, outcome.again)
