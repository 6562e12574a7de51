"""How many sessions a pool can keep alive, beside how many rollouts the stage has at once. Pure.

A session beyond that is not lost: its process makes way, and is forked and brought up to date again at its next call, which
costs milliseconds in place of microseconds. So too small a pool makes a stage slow and never wrong; it is told with the remedy,
and not refused, because the pool's size may be changed while the stage runs.
"""

import math
from typing import NamedTuple

from astra_jobs.api.v1alpha1.rl import RlAlgorithm
from astra_operator.desired.sandbox import PoolPlan, live_sessions


class Capacity(NamedTuple):
    """Live sessions of a pool and what they are for. ``wanted`` and ``by`` are None where a spec does not say."""

    replicas: int
    each: int
    """Live sessions of a pod, by its memory."""
    wanted: int | None = None
    """Rollouts at once; a round in which few groups are valid has up to four times as many."""
    by: str = ""
    """How that number came about, in the spec's own fields."""

    @property
    def enough(self) -> bool:
        """Tell whether every rollout's session can stay alive."""
        return self.wanted is None or self.replicas * self.each >= self.wanted

    @property
    def told(self) -> str:
        """Return one line: the numbers, and the remedy where they do not suffice."""
        line = f"{self.replicas * self.each} live sessions ({self.replicas} pods x {self.each})"
        if self.wanted is None:
            return line
        line += f" for {self.wanted} rollouts at once ({self.by})"
        if self.enough:
            return line
        pods = math.ceil(self.wanted / self.each)
        return f"{line}: too few, calls will wait for sessions to be replayed; set spec.sandbox.replicas to {pods} or raise its memory"


def capacity(plan: PoolPlan) -> Capacity:
    """Return what a pool can hold, and what its stage asks of it."""
    replicas, each = plan.size.replicas, live_sessions(plan)
    if plan.frozen.kind != "RLRun" or plan.stage != "train":
        return Capacity(replicas, each)
    algorithm = RlAlgorithm.model_validate(plan.spec.get("algorithm") or {})
    by = f"groupsPerStep {algorithm.groups_per_step} x groupSize {algorithm.group_size}"
    return Capacity(replicas, each, algorithm.groups_per_step * algorithm.group_size, by)
