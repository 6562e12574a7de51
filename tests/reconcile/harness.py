"""Shared by the reconcile tests: the smallest run of each kind, and a player that moves an in-memory cluster until it is quiet."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from astra_jobs.api.artifact import Artifact, Kind
from astra_jobs.api.base import digest_of
from astra_jobs.api.request import StageRequest
from astra_jobs.api.result import ErrorInfo, JobResult
from astra_jobs.api.v1alpha1.status import Status
from astra_operator.clusters.base import RunKey
from astra_operator.clusters.memory import MemoryCluster
from astra_operator.controller import Controller
from astra_operator.settings import OperatorSettings

Object = dict[str, Any]
SPECS: dict[Kind, Object] = {
    "ToolCorpus": {"sources": [{"name": "worlds", "procedural": {"servers": 3}}]},
    "ChainSynthesis": {"corpus": {"name": "tools"}, "author": {"procedural": {}}, "shards": 2},
    "EnvSynthesis": {"author": {"procedural": {}}, "seeds": {"procedural": {"questions": 5}}, "shards": 2},
    "SFTRun": {"model": {"random": {}}, "data": [{"name": "chains"}], "evaluation": {"environments": [{"name": "envs"}]}},
    "RLRun": {"model": {"run": {"name": "sft"}}, "environments": [{"name": "envs"}], "training": {"ranks": 2}},
}
NAMES: dict[Kind, str] = {"ToolCorpus": "tools", "ChainSynthesis": "chains", "EnvSynthesis": "envs", "SFTRun": "sft", "RLRun": "rl"}
TEAM = {"storeUrl": "memory://store", "image": "jobs:1"}
SETTINGS = OperatorSettings(poll=10, progress_interval=30, first_restart_delay=10, code_version="1.0")


def manifest(kind: Kind, name: str = "", **changes: Any) -> Object:
    """Return the smallest run of a kind; ``changes`` replace fields of its spec."""
    return {"apiVersion": "astra.dev/v1alpha1", "kind": kind, "metadata": {"name": name or NAMES[kind]}, "spec": SPECS[kind] | changes}


def good(request: StageRequest, shard: int, reused: bool = False) -> JobResult:
    """Return what an honest job answers: the artifact's digest depends on what was asked for, and on nothing else."""
    key = request.key(shard)
    return JobResult(
        outcome="Succeeded", artifact=Artifact(uri=f"memory://store/{key}", digest=digest_of(key)), reused=reused, metrics={"kept": "3"}
    )


def bad(reason: str, message: str, exit_code: int, checkpoint: int | None = None, where: str = "spec") -> JobResult:
    """Return what a failing job answers."""
    error = ErrorInfo(where=where, reason=reason, message=message)
    return JobResult(outcome="Failed", exit_code=exit_code, error=error, checkpoint=checkpoint)


class Killed(BaseException):
    """The operator's process is gone."""


class Player:
    """A cluster, a controller that can be killed, and the nodes."""

    def __init__(self, settings: OperatorSettings = SETTINGS, cluster: MemoryCluster | None = None) -> None:
        self.cluster = cluster or MemoryCluster()
        self.cluster.teams["default"] = dict(TEAM)
        self.settings = settings
        self.controller = Controller(self.cluster, settings)

    def restart(self, **changes: Any) -> None:
        """Start the operator anew, with other settings perhaps: everything it had in memory is gone."""
        self.settings = replace(self.settings, **changes)
        self.controller = Controller(self.cluster, self.settings)

    def survive(self) -> None:
        """Let the operator work, and start it anew when it is killed; it may die twice."""
        for _ in range(3):
            try:
                return self.work()
            except Killed:
                self.restart()
        raise AssertionError("killed more than once")

    def put(self, kind: Kind, name: str = "", **changes: Any) -> RunKey:
        run = self.cluster.put_run(manifest(kind, name, **changes))
        return RunKey(kind, "default", run["metadata"]["name"])

    def status(self, key: RunKey) -> Status:
        return Status.model_validate(self.cluster.runs[key]["status"])

    def reasons(self, key: RunKey) -> dict[str, str]:
        """Return 'status reason' of each condition."""
        return {item.type: f"{item.status} {item.reason}" for item in self.status(key).conditions}

    def message(self, key: RunKey, condition: str) -> str:
        found = self.status(key).condition(condition)
        assert found is not None
        return found.message

    def work(self) -> None:
        """Let controllers and the operator move, without time passing, until nothing changes."""
        before = -1
        while before != self.cluster.changes:
            before = self.cluster.changes
            self.cluster.settle()
            self.controller.wake_all()
            self.controller.work()

    def pods(self, contains: str = "", phase: str = "") -> list[Object]:
        return [pod for pod in self.cluster.pods(contains) if phase in ("", pod["status"]["phase"])]

    def request(self, pod: Object) -> StageRequest:
        name = pod["spec"]["volumes"][0]["configMap"]["name"]
        config = self.cluster.objects["ConfigMap", pod["metadata"]["namespace"], name]
        return StageRequest.model_validate_json(config["data"]["request.json"])

    def shard(self, pod: Object) -> int:
        return int(pod["metadata"]["labels"].get("batch.kubernetes.io/job-completion-index", 0))

    def succeed(self, pod: Object, reused: bool = False) -> None:
        name = pod["spec"]["volumes"][0]["configMap"]["name"]
        if ("ConfigMap", pod["metadata"]["namespace"], name) not in self.cluster.objects:
            self.cluster.finish(pod, None, 137)  # of an attempt that was removed; its node is about to end it
            return
        self.cluster.finish(pod, good(self.request(pod), self.shard(pod), reused))

    def run_pods(self, contains: str = "", reused: bool = False) -> int:
        """Let all pods that have not ended succeed; return how many."""
        alive = [pod for pod in self.pods(contains) if pod["status"]["phase"] in ("Pending", "Running")]
        for pod in alive:
            self.succeed(pod, reused)
        return len(alive)

    def finish(self, until: Callable[[], bool] = lambda: False, reused: bool = False) -> None:
        """Work and let pods succeed until nothing is left to do."""
        for _ in range(200):
            self.work()
            if until():
                return
            if not self.run_pods(reused=reused):
                if self.controller.queue.wait() is None:
                    return
                self.cluster.advance(self.settings.longest_restart_delay)
        raise AssertionError("the cluster does not come to rest")
