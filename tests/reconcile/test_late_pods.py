"""Pods whose news comes long after that of their workload, as when one stream is down longer than another: they are asked for."""

import pytest

from astra_operator.clusters.base import RunKey
from tests.reconcile.harness import Player, bad
from tests.reconcile.lagging import Lagging
from tests.reconcile.lives import PACE


class Late:
    """A corpus whose pod has ended a minute ago; all is known of it but the pod."""

    def __init__(self, failed: bool) -> None:
        self.cluster = Lagging()
        self.player = Player(PACE, self.cluster)
        self.key = self.player.put("ToolCorpus")
        self.cluster.deliver_all()
        self.look()
        self.cluster.settle()
        (pod,) = self.player.pods()
        if failed:
            self.cluster.finish(pod, bad("StoreUnavailable", "no store", 75), 75)
        else:
            self.player.succeed(pod)
        self.cluster.settle()
        (job,) = [item for item in self.cluster.objects.values() if item["kind"] == "Job"]
        kind = "Failed" if failed else "Complete"
        job["status"]["conditions"] = [self.cluster._ended(job) | {"type": kind, "reason": "BackoffLimitExceeded", "message": ""}]
        self.cluster.advance(60)
        for stream in ("Run", "ConfigMap", "Job"):
            self.cluster.deliver(stream)
        self.look()

    def look(self) -> None:
        self.player.controller.wake(RunKey(*self.key))
        self.player.controller.work()


@pytest.mark.parametrize("failed", [False, True], ids=["it succeeded", "it failed"])
def test_the_end_of_a_late_pod_counts_as_what_it_was(failed: bool) -> None:
    late = Late(failed)
    status = late.player.status(late.key)
    if failed:
        assert status.attempt is not None
        assert status.attempt.restarts == 1
    else:
        assert late.player.reasons(late.key)["Succeeded"] == "True Finished"
        assert [name for call, name in late.cluster.log if call == "apply" and name.startswith("Job/")] == ["Job/tools-corpus-1-collect-0"]
