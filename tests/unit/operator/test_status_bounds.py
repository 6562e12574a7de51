"""Status stays small and sound whatever pods say."""

import json
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import digest_of
from astra_jobs.api.result import JobResult, ProgressReport
from astra_jobs.api.v1alpha1.status import Condition, PastAttempt, Status
from astra_operator.clusters.base import RunKey
from astra_operator.status import MAX_BYTES, _fit
from tests.reconcile.harness import Player, bad

TOOLS = RunKey("ToolCorpus", "default", "tools")
words = st.text(max_size=1500)


def size(player: Player) -> int:
    return len(json.dumps(player.cluster.runs[TOOLS]["status"]).encode())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    words,
    words,
    st.dictionaries(st.text(max_size=300), st.text(max_size=300), max_size=60),
    st.integers(0, 2**80),
    st.integers(0, 2**80),
    st.floats(-1e300, 1e300),
)
def test_no_pod_can_make_status_large_or_invalid(
    message: str, where: str, metrics: dict[str, str], step: int, total: int, time: float
) -> None:
    player = Player()
    player.put("ToolCorpus")
    player.work()
    (pod,) = player.pods()
    player.cluster.start(pod)
    player.cluster.reports[pod["metadata"]["name"]] = ProgressReport(step=step, total=total, message=message, metrics=metrics, time=time)
    player.work()
    progress = player.status(TOOLS).progress
    assert progress is not None
    assert 0 <= progress.percent <= 100
    assert size(player) < MAX_BYTES
    player.cluster.finish(pod, bad("NoSuchReason", message, 78, where=where), 78)
    player.work()
    assert player.reasons(TOOLS)["Stalled"] == "True BadInput"
    assert size(player) < MAX_BYTES
    assert all("\n" not in item.message for item in player.status(TOOLS).conditions)
    player.put("ToolCorpus", seed=1)
    player.work()
    (pod,) = player.pods()
    artifact = Artifact(uri="file:///a", digest=digest_of("a"))
    player.cluster.finish(pod, JobResult(outcome="Succeeded", artifact=artifact, metrics=metrics))
    player.work()
    assert len(player.status(TOOLS).metrics) <= 32
    assert size(player) < MAX_BYTES


def test_the_largest_status_is_cut_where_it_hurts_least() -> None:
    artifact = Artifact(uri="s3://bucket/" + "k" * 300, digest=digest_of("a"))
    kinds = ("Succeeded", "Ready", "Reconciling", "Stalled", "Suspended", "InputsReady", "ServicesReady", "Outdated")
    full = Status(
        conditions=[
            Condition(type=kind, status="True", reason="Finished", message="\x00" * 500, last_transition_time="t") for kind in kinds
        ],
        metrics={f"m{index}": "\x00" * 64 for index in range(32)},
        artifact=artifact,
        history=[PastAttempt(number=index, digest=digest_of(index), outcome="Succeeded", artifact=artifact) for index in range(5)],
    )
    assert len(json.dumps(full.to_dict()).encode()) > MAX_BYTES
    cut = Status.model_validate(_fit(full))
    assert len(json.dumps(cut.to_dict()).encode()) <= MAX_BYTES
    assert cut.artifact == artifact
    assert cut.history == full.history
    assert [item.reason for item in cut.conditions] == ["Finished"] * 8


def test_times_of_conditions_move_only_on_a_flip() -> None:
    player = Player()
    player.put("ToolCorpus", limits={"stallSeconds": 900})
    player.work()
    first = {item.type: item.last_transition_time for item in player.status(TOOLS).conditions}
    player.cluster.advance(100)
    player.put("ToolCorpus", limits={"stallSeconds": 901})
    player.work()
    assert {item.type: item.last_transition_time for item in player.status(TOOLS).conditions} == first
    player.cluster.advance(100)
    player.finish()
    later = {item.type: item.last_transition_time for item in player.status(TOOLS).conditions}
    assert {kind for kind, time in later.items() if time != first[kind]} == {"Succeeded", "Ready", "Reconciling"}


def test_a_foreign_status_is_written_over() -> None:
    player = Player()
    player.put("ToolCorpus")
    player.cluster.runs[TOOLS]["status"] = {"phase": "Weird", "conditions": 3}
    player.finish()
    assert player.reasons(TOOLS)["Succeeded"] == "True Finished"
    assert replace(player.settings).poll == 10
