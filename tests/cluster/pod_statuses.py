"""Statuses of pods that no node of the tests can show: a test plays the kubelet of a pod that no node has. Real controllers answer."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.cluster.operator_team import OperatorTeam

Object = dict[str, Any]
PROXY = "istio-proxy"


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def container(name: str, state: Object, ready: bool = False, **more: Any) -> Object:
    return {"name": name, "image": "i", "imageID": "i", "ready": ready, "restartCount": 0, "state": state} | more


def running() -> Object:
    return {"running": {"startedAt": now()}}


def ended(code: int, message: str = "") -> Object:
    reason = "Error" if code else "Completed"
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, "startedAt": now(), "finishedAt": now()}}


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def condition(kind: str, status: str = "True", **more: str) -> Object:
    return {"type": kind, "status": status, "lastTransitionTime": now()} | more


def show(team: OperatorTeam, pod: str, phase: str, *containers: Object, **more: Any) -> None:
    """Set a pod's status as a kubelet would."""
    status = {"phase": phase, "startTime": now(), "hostIP": "127.0.0.1", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
    body = {"status": status | {"containerStatuses": list(containers)} | more}
    team.kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", json.dumps(body))


def condition_of(team: OperatorTeam, kind: str, run: str = "tools", of: str = "toolcorpus") -> Object:
    """Return a condition of a run, empty while there is none."""
    listed = team.run(run, of).get("status", {}).get("conditions", [])
    return next((item for item in listed if item["type"] == kind), {})
