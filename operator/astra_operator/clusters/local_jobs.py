"""The Job controller in small: which pods a Job needs, which it ends, and what its status says. Pure; times come from outside.

It knows what the pure builders use: completions side by side, completion indexes, suspension, retries of each index with a growing
delay (``backoffLimitPerIndex``) and pod failure policies. As in a real cluster a replacement has a name of its own and comes once
the failed pod has ended, and a Job that is lost has the condition FailureTarget until its last pod is gone.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from astra_operator.clusters.base import Object, parse_time
from astra_operator.pods import has_condition, index_of

FINAL = ("Complete", "Succeeded", "Failed")
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_FIRST_DELAY, _LONGEST_DELAY = 10.0, 360.0


def phase_of(pod: Object) -> str:
    """Return a pod's phase."""
    return str(pod.get("status", {}).get("phase", "Pending"))


def active(pod: Object) -> bool:
    """Tell if a pod holds, or may still get, a process."""
    return phase_of(pod) in ("Pending", "Running")


def wanted(workload: Object, pods: list[Object], now: datetime) -> list[tuple[int, str]]:
    """Return index and name of each pod that a Job lacks now."""
    spec, name = workload["spec"], workload["metadata"]["name"]
    count = spec.get("completions", 1)
    done = completed(workload, pods)
    room = max(0, min(spec.get("parallelism", 1), count - len(done)) - sum(active(pod) for pod in pods))
    taken = {pod["metadata"]["name"] for pod in pods}
    lacking = []
    for index in range(count):
        own = [pod for pod in pods if index_of(pod) == index]
        if index not in done and not any(active(pod) for pod in own) and _may_follow(spec, own, now):
            lacking.append((index, _name(name, index, workload["metadata"]["uid"], taken)))
    return lacking[:room]


def completed(workload: Object, pods: Iterable[Object]) -> set[int]:
    """Return the indexes that have succeeded, remembered when their pods are gone."""
    known = str(workload.get("status", {}).get("completedIndexes", ""))
    return {int(index) for index in known.split(",") if index} | {index_of(pod) for pod in pods if phase_of(pod) == "Succeeded"}


def failure(workload: Object, pods: list[Object]) -> dict[str, str] | None:
    """Return reason and message with which a Job is given up, or None."""
    spec = workload["spec"]
    failed = [pod for pod in pods if phase_of(pod) == "Failed"]
    ending = [pod for pod in failed if _action(spec, pod) == "FailJob"]
    if ending:
        told = ending[0]["metadata"]
        where = f"default/{told['name']}" if "namespace" not in told else f"{told['namespace']}/{told['name']}"
        message = f"Container job for pod {where} failed with exit code {_exit_code(ending[0])} matching FailJob rule at index 2"
        return {"reason": "PodFailurePolicy", "message": message}
    limit = spec.get("backoffLimitPerIndex")
    if limit is None:
        over = len(_counted(spec, failed)) > spec.get("backoffLimit", 0)
        return {"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"} if over else None
    given_up = {index_of(pod) for pod in failed if _exhausted(spec, [other for other in failed if index_of(other) == index_of(pod)])}
    if len(given_up) > spec.get("maxFailedIndexes", spec.get("completions", 1)):
        return {"reason": "MaxFailedIndexesExceeded", "message": "Job has exceeded the specified maximal number of failed indexes"}
    if given_up and len(given_up | completed(workload, pods)) == spec.get("completions", 1):
        return {"reason": "FailedIndexes", "message": "Job has failed indexes"}
    return None


def disrupted(pod: Object) -> bool:
    """Tell if a pod was ended by the cluster and not by what ran in it."""
    return has_condition(pod.get("status", {}), "DisruptionTarget", "True")


def _may_follow(spec: dict[str, Any], own: list[Object], now: datetime) -> bool:
    """Tell if an index may have another pod now; ``own`` are its pods so far, all of which have ended badly."""
    if not own:
        return True
    if _exhausted(spec, own):
        return False
    counted = _counted(spec, own)
    ends = [parse_time(ended["finishedAt"]) for pod in counted if (ended := _ended(pod)) and ended.get("finishedAt")]
    delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** (len(counted) - 1)) if counted else 0.0
    return not ends or now >= max(ends) + timedelta(seconds=delay)


def _exhausted(spec: dict[str, Any], own: list[Object]) -> bool:
    limit = spec.get("backoffLimitPerIndex", spec.get("backoffLimit", 0))
    return len(_counted(spec, own)) > limit or any(_action(spec, pod) == "FailIndex" for pod in own)


def _counted(spec: dict[str, Any], failed: Iterable[Object]) -> list[Object]:
    return [pod for pod in failed if phase_of(pod) == "Failed" and _action(spec, pod) != "Ignore"]


def _action(spec: dict[str, Any], pod: Object) -> str:
    """Return what the pod failure policy says of a failed pod: the first rule that fits, else Count."""
    for rule in spec.get("podFailurePolicy", {}).get("rules", []):
        codes = rule.get("onExitCodes")
        if codes is None:
            fits = any(has_condition(pod.get("status", {}), entry["type"], entry["status"]) for entry in rule["onPodConditions"])
        else:
            fits = _exit_code(pod) is not None and (_exit_code(pod) in codes["values"]) == (codes["operator"] == "In")
        if fits:
            return str(rule["action"])
    return "Count"


def _ended(pod: Object) -> dict[str, Any]:
    states = [item.get("state") or {} for item in pod.get("status", {}).get("containerStatuses") or []]
    ended: dict[str, Any] = states[0].get("terminated") or {} if states else {}
    return ended


def _exit_code(pod: Object) -> int | None:
    return _ended(pod).get("exitCode")


def _name(job: str, index: int, uid: str, taken: set[str]) -> str:
    """Return a pod's name: the first of an index is easy to read, a replacement ends in five letters as the real ones all do."""
    if f"{job}-{index}" not in taken:
        return f"{job}-{index}"
    for turn in range(10_000):
        drawn = hashlib.sha256(f"{uid}/{index}/{turn}".encode()).digest()
        name = f"{job}-{index}-" + "".join(_LETTERS[byte % len(_LETTERS)] for byte in drawn[:5])
        if name not in taken:
            return name
    raise AssertionError("ten thousand replacements of one pod")
