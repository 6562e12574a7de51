"""Kueue as a cluster in memory plays it: an entry in the queue for each workload, and who of them may ask for pods. Pure."""

from astra_operator.clusters.base import Object


def entry(workload: Object, uid: str) -> Object:
    """Return the Workload that Kueue makes for a Job or a PyTorchJob of a queue; there is no quota for it yet."""
    metadata = workload["metadata"]
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {
            "name": f"{workload['kind'].lower()}-{metadata['name']}",
            "namespace": metadata["namespace"],
            "uid": uid,
            "ownerReferences": [{"kind": workload["kind"], "name": metadata["name"], "uid": metadata["uid"]}],
        },
        "status": {"conditions": [{"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "insufficient quota"}]},
    }


def hold(queued: Object, workload: Object, held: bool, condition: Object) -> None:
    """Let a workload ask for pods, or no more, and say why in its entry."""
    policy = workload["spec"] if workload["kind"] == "Job" else workload["spec"]["runPolicy"]
    policy["suspend"] = held
    kept = [item for item in queued["status"]["conditions"] if held and item["type"] != condition["type"]]
    queued["status"]["conditions"] = [*kept, condition]
