"""Whose an object is that has the name of a run's child, and what a person can do about it. Pure.

Nothing that is not the run's own is ever changed, taken over or removed. What ``kubectl delete --cascade=orphan`` leaves behind is not
either: its pods may still be at work, under a run that nobody watches over. Secrets are not looked at (``base.UNREAD``): their names
hold a hash of the run's UID, so nobody else's has one.
"""

from astra_jobs.api.base import GROUP
from astra_operator.clusters.base import Conflict, Object
from astra_operator.desired.naming import LABEL_UID

_LEFT = "configmaps,jobs,pytorchjobs,deployments,services,networkpolicies,poddisruptionbudgets,secrets"


def taken(found: Object, run: Object) -> Conflict:
    """Return what stands in the way of making an object for ``run`` where ``found`` has its name."""
    metadata, owner = found["metadata"], _owner(found)
    what = f"{found['kind']} {metadata['name']}"
    remove = f"kubectl delete {found['kind'].lower()} {metadata['name']} -n {run['metadata']['namespace']}"
    if "deletionTimestamp" in metadata:
        return Conflict(f"{what} is still being removed; see its finalizers if it does not go")
    if owner is None and (uid := (metadata.get("labels") or {}).get(LABEL_UID)):
        left = f"kubectl delete {_LEFT} -n {run['metadata']['namespace']} -l {LABEL_UID}={uid} --ignore-not-found"
        return Conflict(
            f"{what} was left behind by an earlier run that was deleted without it (--cascade=orphan); remove it: {left}", False
        )
    if owner is None:
        return Conflict(f"{what} exists and is not this run's; remove or rename it, or give the run another name", False)
    whose = f"{owner['kind']} {owner['name']}"
    if owner["apiVersion"].startswith(f"{GROUP}/") and (owner["kind"], owner["name"]) == (run["kind"], run["metadata"]["name"]):
        return Conflict(f"{what} belongs to an earlier {whose} (uid {owner['uid']}); if it does not go by itself: {remove}")
    return Conflict(f"{what} belongs to {whose}; remove or rename it, or give the run another name", False)


def require_own(found: Object | None, run: Object) -> None:
    """Raise ``Conflict`` unless an object is the run's, or there is none."""
    if found is not None and run["metadata"]["uid"] not in [owner["uid"] for owner in found["metadata"].get("ownerReferences", [])]:
        raise taken(found, run)


def _owner(found: Object) -> Object | None:
    owners = found["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), owners[0] if owners else None)
