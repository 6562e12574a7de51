"""A run as a tree: how it stands, what it is made from, and its attempt down to stages, launches and pods.

Pure: it says what the operator's own view of the same objects says, and reads nothing but that.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from astra_cli.state import ON_ITS_WAY, observed, state_of, succeeded
from astra_cli.table import age
from astra_jobs.api.artifact import Artifact
from astra_operator.clusters.base import parse_time
from astra_operator.desired.naming import STACKS_ANNOTATION
from astra_operator.observed import Launch
from astra_operator.pods import PodFact, PodPhase
from astra_operator.pods import succeeded as succeeded_with_artifact
from astra_operator.resolve import Lookup, Reference, references
from astra_operator.restarts import restarts
from astra_operator.stages import PlannedStage
from astra_operator.view import View

MOST_PODS = 8
"""So many pods of a launch are shown, those that need a look first; the others are counted."""
_ORDER: tuple[PodPhase, ...] = ("Failed", "Pending", "Running", "Succeeded")
_MEMBER = {"PyTorchJob": "rank ", "IndexedJob": "shard "}


@dataclass
class Node:
    """One line and what hangs below it; ``more`` are lines of text that belong to it."""

    text: str
    below: list["Node"] = field(default_factory=list)
    more: Sequence[str] = ()


def drawn(node: Node) -> Iterator[str]:
    """Yield the lines of a tree."""
    yield node.text
    for number, child in enumerate(node.below, 1):
        last = number == len(node.below)
        first, *others = drawn(child)
        yield ("└─ " if last else "├─ ") + first
        yield from (("   " if last else "│  ") + line for line in others)
    yield from (("   " if not node.below else "") + line for line in node.more)


def run_node(view: View, lookup: Lookup, last_lines: Mapping[str, Sequence[str]]) -> Node:
    """Return the tree of one run; ``last_lines`` are ends of pods' logs by pod name."""
    found = Node(headline(view))
    condition = succeeded(view.run)
    if condition.get("message") and state_of(view.run) != "Succeeded" and condition["reason"] != "Running":
        found.below.append(Node(str(condition["message"])))
    inputs = [Node(_input(item, lookup, view)) for item in references(view.run)]
    found.below += [Node("inputs", inputs)] if inputs else []
    if view.seen.frozen is not None:
        found.below.append(_attempt(view, last_lines))
    past = [
        Node(f"attempt {item.number}: {item.outcome}" + (f", artifact {short(item.artifact.digest)}" if item.artifact else ""))
        for item in reversed(view.stored.history)
        if item.number != view.seen.newest_attempt
    ]
    found.below += [Node("earlier", past)] if past else []
    return found


def headline(view: View) -> str:
    """Return a run in one line: its state, the reason, how far it is, its artifact."""
    run, state = view.run, state_of(view.run)
    reason = succeeded(run).get("reason", "")
    parts = [f"{state} ({reason})" if reason and reason not in (state, "Finished") else state]
    if not observed(run):
        parts.append("the operator has not seen this spec yet")
    if view.live.spec and (manager := view.live.spec.get("managedBy")):
        parts.append(f"managed by {manager}")
    if state in ON_ITS_WAY and view.stored.stage:
        parts.append(f"stage {view.stored.stage}")
    if state == "Running" and (progress := view.stored.progress) and progress.total:
        rest = f", {age(progress.eta_seconds)} left" if progress.eta_seconds is not None else ""
        parts.append(f"{progress.percent} % ({progress.step}/{progress.total}{rest})")
    if view.stored.artifact:
        parts.append(f"artifact {short(view.stored.artifact.digest)}")
    made = parse_time(run["metadata"]["creationTimestamp"])
    parts.append(f"{age((view.now - made).total_seconds())} old")
    return f"{run['kind']} {run['metadata']['name']}: " + ", ".join(parts)


def short(digest: str) -> str:
    """Return a digest as people compare it."""
    return digest.removeprefix("sha256:")[:12]


def watched(view: View) -> list[str]:
    """Return the pods whose last lines are worth asking for: those that run, and those that failed and did not say why."""
    pods = _chosen(view.launch) if view.launch else []
    return [pod.name for pod in pods if pod.phase == "Running" or (pod.phase == "Failed" and pod.result is None)]


def _input(item: Reference, lookup: Lookup, view: View) -> str:
    name = item.field.removeprefix("spec.").removesuffix(".name")
    run = lookup(item.target)
    text = f"{name}: {item.target.kind} {item.target.name}: "
    if run is None:
        return text + "does not exist"
    now = (run.get("status") or {}).get("artifact")
    text += state_of(run) + (f", artifact {short(now['digest'])}" if now else ", no artifact yet")
    used = next((entry.artifact for entry in view.seen.frozen.inputs if entry.role == item.role), None) if view.seen.frozen else None
    if used is not None and now and used.digest != now["digest"]:
        text += f" (attempt {view.seen.newest_attempt} was opened with {short(used.digest)})"
    return text


def _attempt(view: View, last_lines: Mapping[str, Sequence[str]]) -> Node:
    frozen = view.seen.frozen
    assert frozen is not None, "an attempt is shown when there is one"
    count = restarts(view.seen.launches)
    parts = [
        f"attempt {frozen.number}",
        short(frozen.digest),
        f"began {age((view.now - parse_time(frozen.start_time)).total_seconds())} ago",
    ]
    parts += [f"{count} of {view.limits.max_restarts} restarts used"] if count else []
    parts += ["the spec asks for a new attempt"] if view.changed else []
    return Node(", ".join(parts), [_stage(stage, view, last_lines) for stage in view.stages])


def _stage(stage: PlannedStage, view: View, last_lines: Mapping[str, Sequence[str]]) -> Node:
    launches = view.seen.of_stage(stage.name)
    made = view.results.get(stage.name)
    if made:
        what = f"artifact {short(made[0].digest)}" if len(made) == 1 else f"{len(made)} artifacts"
        return Node(
            f"stage {stage.name}: done, {what}{_reused(launches, made)}", [_launch(item, stage, view, {}) for item in launches[:-1]]
        )
    if not launches:
        return Node(f"stage {stage.name}: " + ("next" if stage is view.current else "not yet"))
    return Node(f"stage {stage.name}", [_launch(item, stage, view, last_lines) for item in launches])


def _reused(launches: Sequence[Launch], made: Sequence[Artifact]) -> str:
    results = [pod.result for launch in launches[-1:] for pod in launch.pods if pod.result and pod.result.artifact in made]
    return ", found in the store" if results and all(result.reused for result in results) else ""


def _launch(launch: Launch, stage: PlannedStage, view: View, last_lines: Mapping[str, Sequence[str]]) -> Node:
    node = Node(launch.name + (f" ({launch.job.kind})" if launch.job else "") + f": {_state(launch, view)}")
    shown = _chosen(launch)
    node.below = [_pod(pod, stage, view, last_lines.get(pod.name, ())) for pod in shown]
    others = Counter(pod.phase for pod in launch.pods if pod not in shown)
    if others:
        node.below.append(Node("and " + ", ".join(f"{others[phase]} {phase}" for phase in _ORDER if others[phase])))
    if launch.retries:
        node.below.append(Node(f"{launch.retries} of {view.limits.max_restarts} restarts used by a shard that was tried again"))
    if launch.config["metadata"].get("annotations", {}).get(STACKS_ANNOTATION):
        node.below.append(Node(f"what its threads did when it was ended: annotation {STACKS_ANNOTATION} of ConfigMap {launch.name}"))
    return node


def _state(launch: Launch, view: View) -> str:
    ran = age(launch.seconds(view.now))
    if launch.end is not None:
        counted = "" if launch.end.counted or launch.end.cause in ("BadInput", "Deadline", "PendingDeadline") else " (not counted)"
        return f"ended after {ran}, {launch.end.cause}{counted}" + (f": {launch.end.message}" if launch.end.message else "")
    if launch.artifacts or (launch.job and launch.job.complete):
        return f"succeeded in {ran}"
    if launch.job is None:
        return "the workload is gone"
    if launch.job.held is not None:
        return f"held, {launch.job.held.reason}: {launch.job.held.message}"
    if any(pod.phase == "Running" for pod in launch.pods):
        return f"running for {ran}"
    return "waiting" if launch.pods else "has no pods yet"


def _chosen(launch: Launch) -> list[PodFact]:
    """Return the pods to show in order of index, those in trouble before those that are well when there are too many."""
    owes = launch.request.shards  # a shard, and rank 0, that ended without an artifact is in trouble too
    well = {pod.name for pod in launch.pods if pod.phase != "Succeeded" or pod.index >= owes or succeeded_with_artifact(pod)}
    ranked = sorted(launch.pods, key=lambda pod: (pod.name in well, _ORDER.index(pod.phase), pod.index))[:MOST_PODS]
    return sorted(ranked, key=lambda pod: (pod.index, pod.name))


def _pod(pod: PodFact, stage: PlannedStage, view: View, last_lines: Sequence[str]) -> Node:
    member = f" {_MEMBER[stage.workload]}{pod.index}" if stage.workload in _MEMBER else ""
    parts = [pod.phase + (" (being removed)" if pod.ending else "")]
    if pod.exit_code:
        parts[0] += f" with exit code {pod.exit_code}" + (" (out of memory)" if pod.out_of_memory else "")
    if pod.lost:
        parts.append("lost with its node, or evicted")
    if pod.started and pod.phase == "Running":
        parts.append(f"for {age((view.now - pod.started).total_seconds())}")
    if pod.waiting:
        parts.append(pod.waiting)
    error = pod.result.error if pod.result else None
    message = (f"{error.where}: " if error.where else "") + error.message if error else pod.message
    if message and (error or not last_lines):
        parts.append(message)
    return Node(f"{pod.name}{member}: " + ", ".join(parts), more=[f"| {line}" for line in last_lines])


def collapsed(view: View) -> bool:
    """Tell if a run among others needs no more than its headline: it has ended well and nothing is left to do."""
    return state_of(view.run) == "Succeeded" and observed(view.run)
