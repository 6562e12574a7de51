"""Facts → status: one function per condition, each from the same view and standing.

Reasons come from ``REASONS`` alone; ``lastTransitionTime`` moves only when a status flips; the whole stays below 16 KB.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.v1alpha1.status import REASONS, Attempt, Condition, ConditionType, PastAttempt, Status
from astra_operator import services
from astra_operator.clusters.base import format_time
from astra_operator.observed import Launch
from astra_operator.phase import phase_of
from astra_operator.progress import progress_of
from astra_operator.restarts import GiveUp, restarts
from astra_operator.settings import TeamSettings
from astra_operator.stages import product_stage
from astra_operator.view import View
from astra_operator.waits import undead, wait_of

MAX_BYTES = 16_000
_MESSAGE, _METRICS, _HISTORY = 500, 32, 5
_STALLED = ("Invalid", "Blocked", "GaveUp")

Phase = Literal["Invalid", "Blocked", "Waiting", "Suspended", "Queued", "Running", "Restarting", "Done", "GaveUp"]
Verdict = tuple[Literal["True", "False", "Unknown"], str, str]


@dataclass(frozen=True)
class Standing:
    """Where a run stands, in one word, with the reason and message that its conditions share."""

    phase: Phase
    reason: str
    message: str = ""


def standing(view: View) -> Standing:
    """Say where the run stands."""
    blocked = _blocked(view)
    if blocked:
        return blocked
    idle = view.seen.frozen is None or view.ended
    if view.suspended and (view.wants_new if idle else True):
        return Standing("Suspended", "Suspended", "spec.suspend is true; no pods run and progress is kept")
    if view.wants_new and idle and view.resolution.inputs is None:
        return Standing("Waiting", view.resolution.reason, view.resolution.message)
    if view.obstacle is not None:
        return Standing("Blocked", view.obstacle.reason, view.obstacle.message)
    if view.seen.frozen is None:
        return Standing("Queued", "Pending", "the first attempt is about to open")
    if view.current is None:
        return Standing("Done", "UpToDate" if _reused(view) else "Finished", _done_message(view))
    if isinstance(view.verdict, GiveUp):
        return Standing("GaveUp", view.verdict.reason, f"stage {view.current.name}: {view.verdict.message}")
    waits = undead(view.leaving, view.now) or services.holds_up(view)
    if waits is not None:
        return Standing("Blocked" if waits.blocked else "Queued", waits.reason, f"stage {view.current.name}: {waits.message}")
    return _at_work(view, view.launch, view.current.name)


def status_of(view: View, opening: bool = False) -> dict[str, Any]:
    """Return the whole status as JSON.

    ``opening`` tells that a new attempt opens next: then this status closes the old attempt and must not claim to have seen the
    new generation, or somebody who waits for it would take the old success for the new one.
    """
    where = standing(view)
    generation = view.stored.observed_generation if opening else int(view.run["metadata"].get("generation", 1))
    frozen = view.seen.frozen
    conditions = [_condition(view, kind, rule(view, where), generation) for kind, rule in RULES.items()]
    status = Status(
        observed_generation=generation,
        phase=phase_of({item.type: (item.status, item.reason) for item in conditions}),
        conditions=conditions,
        attempt=_attempt(view, where),
        stage=view.current.name if frozen and view.current else None,
        progress=progress_of(view, where.phase == "Done") if frozen else None,
        metrics=_metrics(view),
        artifact=_product(view) or view.stored.artifact,
        artifacts={
            stage.name: view.results[stage.name][0]
            for stage in view.stages
            if stage.name in view.results and stage.workload != "IndexedJob"
        },
        history=_history(view),
    )
    return _fit(status)


# ---- the conditions, one function each


def succeeded(view: View, where: Standing) -> Verdict:
    """Succeeded is unknown until the wanted attempt has ended."""
    outcomes: dict[str, Literal["True", "False"]] = {"Done": "True", "GaveUp": "False", "Invalid": "False"}
    return outcomes.get(where.phase, "Unknown"), where.reason, where.message


def ready(view: View, where: Standing) -> Verdict:
    """Ready is true when the artifact in status is what the spec asks for now."""
    if where.phase == "Done" or (_product(view) is not None and not view.wants_new):
        return "True", where.reason if where.phase == "Done" else "Finished", "the artifact is committed"
    return "False", where.reason, where.message


def reconciling(view: View, where: Standing) -> Verdict:
    """Reconciling is true while the run moves by itself."""
    return "True" if where.phase in ("Waiting", "Queued", "Running", "Restarting") else "False", where.reason, where.message


def stalled(view: View, where: Standing) -> Verdict:
    """Stalled is true when somebody has to change something, in the run, its namespace or the cluster."""
    stands = where.phase in _STALLED
    return "True" if stands else "False", where.reason, where.message if stands else "nobody has to change anything"


def suspended(view: View, where: Standing) -> Verdict:
    """Suspended is true while the user asks for no pods."""
    if view.suspended:
        return "True", "Suspended", "spec.suspend is true"
    return "False", "NotSuspended", "spec.suspend is not true"  # whatever it was before: a short wish may never have been seen


def inputs_ready(view: View, where: Standing) -> Verdict:
    """InputsReady speaks of the wanted attempt's inputs; a frozen attempt has them."""
    if view.seen.frozen is not None and not view.wants_new:
        return "True", "InputsResolved", _inputs_message(len(view.seen.frozen.inputs))
    if where.reason == "InvalidSpec":
        return "Unknown", "InvalidSpec", "an invalid spec names no inputs"
    inputs = view.resolution.inputs
    if inputs is not None:
        return "True", view.resolution.reason, view.resolution.message or _inputs_message(len(inputs))
    return "False", view.resolution.reason, view.resolution.message


def services_ready(view: View, where: Standing) -> Verdict:
    """ServicesReady speaks of the sandbox pool of the stage that the run is at."""
    return services.services_ready(view)


def outdated(view: View, where: Standing) -> Verdict:
    """Outdated is true when the attempt was frozen by another version or for another image; nothing else follows from it."""
    frozen = view.seen.frozen
    if frozen is None:
        return "Unknown", "Pending", "there is no attempt yet"
    if frozen.code_version != view.settings.installed:
        return "True", "CodeChanged", f"attempt {frozen.number} was made with {frozen.code_version}, installed is {view.settings.installed}"
    if isinstance(view.team, TeamSettings) and frozen.image != view.team.image:
        return "True", "CodeChanged", f"attempt {frozen.number} uses image {frozen.image}, the team's is {view.team.image}"
    return "False", "CodeCurrent", f"attempt {frozen.number} was made with what is installed"


RULES: dict[ConditionType, Callable[[View, Standing], Verdict]] = {
    "Succeeded": succeeded,
    "Ready": ready,
    "Reconciling": reconciling,
    "Stalled": stalled,
    "Suspended": suspended,
    "InputsReady": inputs_ready,
    "ServicesReady": services_ready,
    "Outdated": outdated,
}


# ---- what they share


def _blocked(view: View) -> Standing | None:
    """Return what no attempt can come of: a namespace that goes, a bad spec, bad settings, a circle of references."""
    if view.terminating:
        return Standing("Blocked", "NamespaceTerminating", "the namespace is being deleted; the run's workloads are removed")
    if view.live.spec is None and view.changed:
        return Standing("Invalid", "InvalidSpec", view.live.problem)
    idle = view.seen.frozen is None or view.ended
    if not (view.wants_new and idle):
        return None
    if not isinstance(view.team, TeamSettings):
        return Standing("Invalid", "SettingsInvalid", str(view.team))
    if view.resolution.reason == "ReferenceCycle":
        return Standing("Invalid", "ReferenceCycle", view.resolution.message)
    return None


def _at_work(view: View, launch: Launch | None, stage: str) -> Standing:
    if launch is None:
        return Standing("Queued", "Pending", f"stage {stage} is about to start")
    if launch.end is not None:
        return Standing("Restarting", "Restarting", f"stage {stage}: {launch.end.message}".rstrip(": "))
    wait = wait_of(launch, view.hint, view.now)
    if wait is None:
        return Standing("Running", "Running", f"stage {stage}: {launch.name}")
    return Standing("Blocked" if wait.blocked else "Queued", wait.reason, wait.message)


def _product(view: View) -> Artifact | None:
    """Return the artifact that other runs use, when the newest attempt has made it."""
    return view.results.get(product_stage(view.run["kind"]).name, (None,))[0]


def _reused(view: View) -> bool:
    """Tell if every stage was found in the store; a stored word on it outlives the pods that said so."""
    condition = view.stored.condition("Succeeded")
    if view.same_attempt and condition is not None and condition.status == "True":
        return condition.reason == "UpToDate"
    pods = [pod for stage in view.stages for launch in view.seen.of_stage(stage.name)[-1:] for pod in launch.pods if pod.result]
    stages = {launch.stage for launch in view.seen.launches if launch.artifacts}
    if any(launch.end is not None and launch.end.cause == "Unread" for launch in view.seen.launches):
        return False  # it is in the store because this attempt has put it there
    return len(stages) == len(view.stages) and all(pod.result.reused for pod in pods if pod.result)


def _inputs_message(number: int) -> str:
    return f"all inputs have their artifacts ({number})" if number else "the run has no inputs"


def _done_message(view: View) -> str:
    return f"attempt {view.seen.frozen.number}: all stages have ended" if view.seen.frozen else ""


def _attempt(view: View, where: Standing) -> Attempt | None:
    frozen = view.seen.frozen
    if frozen is None:
        return view.stored.attempt
    over = view.ended
    kept = view.stored.attempt.completion_time if view.same_attempt and view.stored.attempt else None
    return Attempt(
        number=frozen.number,
        digest=frozen.digest,
        restarts=max(_known_restarts(view), _restarts(view)),
        start_time=frozen.start_time,
        completion_time=(kept or format_time(view.now)) if over else None,
    )


def _restarts(view: View) -> int:
    """Count the restarts. The failure that ended the attempt is none: nothing followed it, and it is never one of four out of three."""
    counted, end = restarts(view.seen.launches), view.launch.end if view.launch else None
    if isinstance(view.verdict, GiveUp) and end is not None and end.counted:
        return min(counted - 1, view.limits.max_restarts)
    return counted


def _known_restarts(view: View) -> int:
    """Return what was counted before: the pods of shards that were tried again go with their workload."""
    return view.stored.attempt.restarts if view.same_attempt and view.stored.attempt else 0


def _metrics(view: View) -> dict[str, str]:
    """Return the newest numbers of the attempt: what stages ended with, then what the running one reports; at most 32."""
    if view.seen.frozen is None:
        return view.stored.metrics
    metrics = dict(view.stored.metrics) if view.same_attempt else {}
    for stage in view.stages:
        pods = [pod for launch in view.seen.of_stage(stage.name) if launch.artifacts for pod in launch.pods]
        for pod in pods if stage.workload != "IndexedJob" else []:
            metrics |= pod.result.metrics if pod.result and pod.result.artifact else {}
    return {key[:63]: value[:64] for key, value in list(metrics.items())[-_METRICS:]}


def _history(view: View) -> list[PastAttempt]:
    """Return the last five attempts before the newest; the stored one joins them once a newer one exists."""
    attempt, history = view.stored.attempt, view.stored.history
    if view.seen.frozen is None or attempt is None or attempt.number >= view.seen.frozen.number:
        return history
    condition = view.stored.condition("Succeeded")
    outcomes = {"True": "Succeeded", "False": condition.reason if condition else ""}
    outcome = outcomes.get(condition.status if condition else "Unknown", "Replaced")
    artifact = view.stored.artifacts.get(product_stage(view.run["kind"]).name)
    past = PastAttempt(number=attempt.number, digest=attempt.digest, outcome=outcome, artifact=artifact)
    return [*history, past][-_HISTORY:]


def _condition(view: View, kind: ConditionType, verdict: Verdict, generation: int) -> Condition:
    status, reason, message = verdict
    assert reason in REASONS, reason
    old = view.stored.condition(kind)
    flipped = old is None or old.status != status
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=" ".join(message.split())[:_MESSAGE],
        observed_generation=generation,
        last_transition_time=format_time(view.now) if flipped or old is None else old.last_transition_time,
    )


def _fit(status: Status) -> dict[str, Any]:
    """Return at most 16 KB of JSON: metrics go first, then messages; digests, reasons and artifacts stay."""
    fitting = status.to_dict()
    cuts: list[Callable[[Status], Status]] = [_without_metrics, *(partial(_with_messages, length=length) for length in (200, 60, 0))]
    for smaller in cuts:
        if len(json.dumps(fitting).encode()) <= MAX_BYTES:
            break
        status = smaller(status)
        fitting = status.to_dict()
    return fitting


def _without_metrics(status: Status) -> Status:
    return status.model_copy(update={"metrics": {}})


def _with_messages(status: Status, length: int) -> Status:
    short = [item.model_copy(update={"message": item.message[:length]}) for item in status.conditions]
    return status.model_copy(update={"conditions": short})
