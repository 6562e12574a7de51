"""The services of the stage that a run is at, as its conditions tell of them. Pure.

When a pool is made and when it goes is for ``steps`` to say; what is wrong with it, for ``pools``.
"""

from typing import Literal

from astra_operator.causes import BLOCKING
from astra_operator.desired.capacity import capacity
from astra_operator.pools import Trouble
from astra_operator.restarts import GiveUp
from astra_operator.view import View

Verdict = tuple[Literal["True", "False", "Unknown"], str, str]


def holds_up(view: View) -> Trouble | None:
    """Return why the stage's workload is not started yet: its pool does not answer. None when it is not for that."""
    plan, launch = view.pool_plan, view.launch
    if plan is None or not view.pool_kept:
        return None
    if launch is not None and (launch.end is None or launch.leftovers or view.verdict):
        return None  # it is at work, or on its way to another start
    if view.pool_whole and view.pool is not None and (plan.asleep or view.pool.ready(view.now)):
        return None
    return _trouble(view)


def services_ready(view: View) -> Verdict:
    """Return the condition: once a pod of the pool answers it is true, and while a stage needs no pool."""
    obstacle = view.obstacle
    plan, pool = view.pool_plan, view.pool
    if plan is None:
        return "True", "NoServices", "the stage needs none" if view.current else "no stage needs any now"
    if not view.pool_kept:
        reason = view.verdict.reason if isinstance(view.verdict, GiveUp) else "Suspended"
        return "False", reason, f"sandbox pool {plan.name} is gone until the stage goes on"
    if obstacle is not None and not (view.pool_whole and pool is not None and pool.ready(view.now)):
        return "False", obstacle.reason, obstacle.message
    waits = holds_up(view)
    if waits is not None or pool is None or not pool.available:
        trouble = waits or _trouble(view)
        return "False", trouble.reason, trouble.message
    unguarded = plan.frozen.network_policy == "Unenforced"
    told = "; nothing enforces its NetworkPolicy (networkPolicy: Unenforced in astra-team)" if unguarded else ""
    told += "; its sessions share one user (sandboxUsers: Shared in astra-team)" if plan.shared else ""
    return "True", "ServicesReady", f"sandbox pool {plan.name}: {plan.frozen.isolation}; {capacity(plan).told}{told}"


def _trouble(view: View) -> Trouble:
    assert view.pool_plan is not None, "only a pool has troubles"
    if view.pool_plan.asleep:
        return Trouble("WaitingForQuota", f"sandbox pool {view.pool_plan.name} starts when the queue admits the workload")
    found = view.pool.trouble(view.now) if view.pool is not None else None
    if view.hint is not None and view.pool is not None and view.hint.name in {pod.name for pod in view.pool.pods}:
        hint = view.hint
        found = Trouble(hint.reason, f"pod {hint.name}: {hint.message}", hint.reason in BLOCKING)
    return found or Trouble("WaitingForServices", f"sandbox pool {view.pool_plan.name} is starting")
