"""For the tables of transitions: a scene that is brought to a state, an event, and what the operator then does, in words.

Steps read as 'Open 1', 'Start collect/0', 'End Lost', 'Remove Job'. ``Row`` is one line of a table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import digest_of
from astra_jobs.api.result import ProgressReport
from astra_operator.clusters.base import RunKey, format_time
from astra_operator.steps import Forgo, Mark, Open, Remove, Serve, Start, Step
from tests.reconcile.harness import SETTINGS, Object, Player, bad

INDEX = "batch.kubernetes.io/job-completion-index"


class Scene(Player):
    """A player that notes steps and watches one run."""

    def __init__(self) -> None:
        super().__init__(replace(SETTINGS, longest_restart_delay=40))
        self.steps: list[str] = []
        self.key = RunKey("ToolCorpus", "default", "tools")
        self.cluster.served |= {"Workload"}
        self.note()

    def note(self) -> None:
        self.controller.reconciler.taken = lambda view, step: self.steps.append(words(step))

    def restart(self, **changes: Any) -> None:
        super().restart(**changes)
        self.note()

    def wait(self, seconds: float) -> None:
        self.cluster.advance(seconds)
        self.work()

    @property
    def pod(self) -> Object:
        """The run's pod that was made last."""
        return max(self.pods(self.key.name), key=lambda pod: pod["metadata"]["uid"])

    def of_shard(self, index: int) -> list[Object]:
        """The pods of a shard, oldest first."""
        found = [pod for pod in self.pods(self.key.name) if pod["metadata"]["labels"].get(INDEX) == str(index)]
        return sorted(found, key=lambda pod: pod["metadata"]["uid"])

    def job(self) -> Object:
        """The run's workload that was made last."""
        found = [item for (kind, _, name), item in self.cluster.objects.items() if kind in ("Job", "PyTorchJob") and self.key.name in name]
        return found[-1]

    def start_all(self) -> None:
        for pod in self.pods(self.key.name, "Pending"):
            self.cluster.start(pod)
        self.work()

    def tell(self, pod: Object, step: int = 1) -> None:
        """Let a pod report progress now."""
        report = ProgressReport(step=step, total=9, time=self.cluster.clock.timestamp())
        self.cluster.reports[pod["metadata"]["name"]] = report

    def again(self, **changes: Any) -> None:
        """Apply the run's manifest with some fields changed."""
        spec = self.cluster.runs[self.key]["spec"] | changes
        self.put(self.key.kind, self.key.name, **{name: value for name, value in spec.items() if value is not None})

    def condition_of_job(self, kind: str, reason: str, message: str = "") -> None:
        """Let the workload's controller say that it has ended, a while ago."""
        job = self.job()
        entry = {"type": kind, "status": "True", "reason": reason, "message": message}
        entry["lastTransitionTime"] = format_time(self.cluster.clock)
        job["status"] = job.get("status", {}) | {"conditions": [entry]}
        self.cluster.advance(10)


def words(step: Step) -> str:
    if isinstance(step, Open):
        return f"Open {step.number}"
    if isinstance(step, Start):
        return f"Start {step.stage.name}/{step.restart}"
    if isinstance(step, Mark):
        return f"End {step.end.cause}"
    if isinstance(step, Serve):
        return f"Serve {step.plan.stage}"
    if isinstance(step, Forgo):
        return f"Forgo {step.stage.name}/{step.restart}"
    assert isinstance(step, Remove)
    return "Remove " + ", ".join(sorted({item["kind"] for item in step.objects}))


Act = Callable[[Scene], object]


@dataclass(frozen=True)
class Row:
    """One line: in the state that ``given`` makes, ``event`` happens; these steps follow at once, and then these conditions hold.

    ``then`` are the steps once ``wait`` seconds have passed; ``restarts`` is what was counted; ``says`` stands in a condition's message.
    """

    name: str
    given: Act
    event: Act
    steps: Sequence[str]
    conditions: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    then: Sequence[str] = ()
    restarts: int = 0
    says: str = ""


def check(row: Row) -> Scene:
    """Play a row and compare."""
    scene = Scene()
    row.given(scene)
    scene.steps.clear()
    row.event(scene)
    scene.work()
    assert scene.steps == list(row.steps), row.name
    seen = scene.reasons(scene.key)
    assert {kind: seen[kind] for kind in row.conditions} == row.conditions, scene.message(scene.key, "Reconciling")
    said = {item.message for item in scene.status(scene.key).conditions}
    assert any(row.says in message for message in said), said
    wordless = [item.type for item in scene.status(scene.key).conditions if not item.reason or not item.message]
    assert wordless == [], row.name
    attempt = scene.status(scene.key).attempt
    assert (attempt.restarts if attempt else 0) == row.restarts
    if row.wait:
        scene.steps.clear()
        scene.wait(row.wait - 1)
        assert not [step for step in scene.steps if step.startswith("Start")], "too early"
        scene.wait(1)
        assert scene.steps == list(row.then), row.name
    assert scene.cluster.overlaps == []
    return scene


# ---- what conditions say

RUNNING = {"Reconciling": "True Running", "Succeeded": "Unknown Running", "Ready": "False Running", "Stalled": "False Running"}


def moving(reason: str) -> dict[str, str]:
    """The run waits and goes on by itself."""
    return {"Reconciling": f"True {reason}", "Stalled": f"False {reason}", "Succeeded": f"Unknown {reason}", "Ready": f"False {reason}"}


def blocked(reason: str) -> dict[str, str]:
    """Somebody has to change something in the cluster, and then the run goes on by itself."""
    return {"Reconciling": f"False {reason}", "Stalled": f"True {reason}", "Succeeded": f"Unknown {reason}", "Ready": f"False {reason}"}


def stopped(reason: str) -> dict[str, str]:
    """The run is over, or never begins, until somebody changes it."""
    return {"Reconciling": f"False {reason}", "Stalled": f"True {reason}", "Succeeded": f"False {reason}", "Ready": f"False {reason}"}


# ---- states


def corpus(scene: Scene, **spec: Any) -> None:
    """A ToolCorpus whose pod runs."""
    scene.put("ToolCorpus", **spec)
    scene.work()
    scene.start_all()


def shards(scene: Scene, **spec: Any) -> None:
    """An EnvSynthesis of which two shards run."""
    scene.key = scene.put("EnvSynthesis", **spec)
    scene.work()
    scene.start_all()


def training(scene: Scene, **spec: Any) -> None:
    """An RLRun of which two ranks run."""
    stock(scene, "SFTRun", "sft")
    stock(scene, "EnvSynthesis", "envs")
    scene.key = scene.put("RLRun", **spec)
    scene.work()
    scene.run_pods("prepare")
    scene.work()
    scene.start_all()


def stock(scene: Scene, kind: Any, name: str) -> None:
    """A run of another controller that has its artifact."""
    key = scene.put(kind, name, managedBy="example.com/other")
    artifact = Artifact(uri=f"memory://store/{name}", digest=digest_of(name))
    scene.cluster.runs[key]["status"] = {"observedGeneration": 1, "artifact": artifact.to_dict(), "conditions": []}


def queued(scene: Scene, **spec: Any) -> None:
    """A ToolCorpus that its queue has not let in yet."""
    scene.put("ToolCorpus", queue="team", **spec)
    scene.work()


def admitted(scene: Scene, **spec: Any) -> None:
    """A ToolCorpus that its queue has let in, and whose pod runs."""
    queued(scene, **spec)
    scene.cluster.let_in()
    scene.work()
    scene.start_all()


def done(scene: Scene) -> None:
    """A ToolCorpus that has succeeded."""
    corpus(scene)
    scene.succeed(scene.pod)
    scene.work()


def fail(scene: Scene, code: int = 75, reason: str = "StoreUnavailable", message: str = "no store", **more: Any) -> None:
    """Let the run's pod end with a named failure."""
    scene.cluster.finish(scene.pod, bad(reason, message, code, **more), code)
