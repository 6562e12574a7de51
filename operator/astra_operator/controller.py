"""What surrounds one reconcile: a queue of runs to look at, fed by events, by the clock and by each other.

``work`` is the whole loop where one thread does everything (a laptop, the tests). In a cluster ``workers`` takes the same
steps, ``take``, ``look`` and ``give_back``, with ``look`` in a pool of threads. A run whose status changed wakes the runs that
read it. A run that was never looked at comes before the others: when a thousand are applied at once, all of them start before any is
followed up.
"""

import logging
from collections.abc import Callable

from astra_operator.clusters.base import Cluster, ClusterError, Fenced, RunKey, Unreachable, key_of
from astra_operator.queue import WorkQueue
from astra_operator.reconcile import Outcome, Reconciler
from astra_operator.settings import OperatorSettings
from astra_operator.steps import Step
from astra_operator.view import View

_log = logging.getLogger(__name__)


class Controller:
    """Reconciles the runs of one cluster. ``taken`` is told of every step; ``clock`` returns seconds, by default the cluster's."""

    def __init__(
        self,
        cluster: Cluster,
        settings: OperatorSettings,
        taken: Callable[[View, Step], None] = lambda view, step: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.cluster = cluster
        self._moved: set[RunKey] = set()
        self._looked_at: set[RunKey] = set()
        self._untold: set[RunKey] = set()  # runs whose last look failed: it may have written what their readers wait for

        def step_taken(view: View, step: Step) -> None:
            self._moved.add(key_of(view.run))
            taken(view, step)

        self.reconciler = Reconciler(cluster, settings, step_taken)
        self.queue: WorkQueue[RunKey] = WorkQueue(clock or (lambda: cluster.now().timestamp()))

    def wake(self, key: RunKey) -> None:
        """Say that something about a run may have changed."""
        self.queue.add(key, first=key not in self._looked_at)

    def wake_all(self) -> None:
        """Look at every run: at the start, and slowly ever after, in case an event was missed."""
        for run in self.cluster.list_runs():
            self.wake(key_of(run))

    def work(self) -> float | None:
        """Reconcile everything that is due; return the seconds until something else is, or None."""
        while (key := self.queue.get()) is not None:
            try:
                outcome = self.look(key)
            except ClusterError as error:
                self.give_back(key, error)
                continue
            self.give_back(key, outcome)
        return self.queue.wait()

    def look(self, key: RunKey) -> Outcome:
        """Reconcile one run; raises ``ClusterError``. The only part that may run in another thread, one at a time for a key."""
        return self.reconciler.reconcile(key)

    def give_back(self, key: RunKey, result: Outcome | BaseException) -> None:
        """Take the result of a look: wake the run's readers, and the run itself when its time comes.

        A look that failed after it had taken a step begins its back-off anew: the run moves, if slowly.
        """
        moved = key in self._moved
        self._moved.discard(key)
        self._looked_at.add(key)
        if isinstance(result, Outcome):
            if result.gone:
                self._looked_at.discard(key)
                self.reconciler.readers.forget(key)
            if result.changed or result.gone or key in self._untold:
                self._untold.discard(key)
                for other in self.reconciler.readers.of(key):
                    self.queue.add(other)
            self.queue.done(key)
            if result.again is not None:
                self.queue.add(key, result.again)
        elif isinstance(result, Fenced):
            self.queue.done(key)  # whoever gets the namespace's Lease, this operator included, then looks at every run of it
        else:
            # A fault of the program is kept to the run that met it; the others go on.
            self._untold.add(key)
            trace = None if isinstance(result, ClusterError) else result
            delay = self.queue.fail(key, result.after if isinstance(result, Unreachable) else 0.0, anew=moved)
            where = {"kind": key.kind, "namespace": key.namespace, "run": key.name}
            level = logging.ERROR if trace else logging.WARNING
            _log.log(level, "%s %s: %s; again in %.0f s", key.kind, key.name, result, delay, exc_info=trace, extra=where)
