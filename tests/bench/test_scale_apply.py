"""1,000 runs applied at once: when each has its first workload, when it has ended, and what that cost the API server.

Two kinds that need no input: ToolCorpus (one stage of one pod) and EnvSynthesis (two stages, the first of two pods). The comparison is
a plain client that makes the same objects with the same number of connections: the runs, then what each run's first workload is made of.
"""

import time
from collections import Counter
from typing import Any

import pytest

from astra_jobs.api.artifact import Kind
from astra_operator.clusters.kubernetes_resources import RESOURCE_OF
from astra_operator.desired.naming import attempt_name, workload_name
from astra_operator.stages import STAGES
from tests.bench.scale import AT_ONCE, Object, Scale, at_once, load, memory, quantiles, record, started, tally, when
from tests.cluster.plane.access import wait_for
from tests.reconcile.harness import manifest

KINDS: dict[Kind, int] = {"ToolCorpus": 700, "EnvSynthesis": 300}
RUNS = sum(KINDS.values())
GOAL_SECONDS = 30
MOST_STATUS_WRITES = 6
PATIENCE = 900


def runs() -> list[Object]:
    """Return the runs, the kinds mixed; no two ask for the same."""
    listed = [manifest(kind, f"{kind.lower()}-{number:04d}", seed=number) for kind, count in KINDS.items() for number in range(count)]
    return sorted(listed, key=lambda run: int(run["metadata"]["name"][-4:]))


def first_objects(run: Object) -> tuple[tuple[str, str], ...]:
    """Return kind and name of what a run's first workload is made of, in order."""
    kind, name = run["kind"], run["metadata"]["name"]
    workload = workload_name(kind, name, 1, STAGES[kind][0].name, 0)
    return ("ConfigMap", attempt_name(kind, name, 1)), ("ConfigMap", workload), ("Job", workload)


@pytest.mark.bench
def test_a_thousand_runs_applied_at_once() -> None:
    wanted = runs()
    with started() as scale, scale.operator() as operator:
        scale.team.wait("the operator holds the Lease", scale.team.holder)
        busy, mark, begin = load(), scale.plane.audit_mark(), time.time()
        at_once(scale.create, wanted)
        applied = time.time() - begin
        done = {"condition": "Succeeded", "status": "True"}
        wait_for("all runs have succeeded", lambda: operator.metric("astra_runs", **done) == RUNS, PATIENCE, every=2)
        events, used = scale.plane.audit(mark), memory(operator)
        plain = plainly(scale, wanted)
    own = scale_events(events)
    first = first_workloads(wanted, own, begin)
    ended = [max(times) - begin for times in status_times(own).values()]
    writes = Counter(key[0] for key, times in status_times(own).items() for _ in times)
    per_run = [len(times) for times in status_times(own).values()]
    record(
        "scale-apply",
        runs=dict(KINDS),
        load=busy,
        goalSeconds=GOAL_SECONDS,
        firstWorkload=quantiles(first),
        lastStatus=quantiles(ended),
        applySeconds=round(applied, 2),
        plainSeconds=plain,
        ratioToPlain=round(max(first) / sum(plain.values()), 2),
        connections=AT_ONCE,
        statusWritesMost=max(per_run),
        statusWritesAllowed=MOST_STATUS_WRITES,
        statusWritesPerRun={
            plural: round(writes[plural] / count, 2) for kind, count in KINDS.items() for plural in [RESOURCE_OF[kind].plural]
        },
        operatorCalls=tally(own),
        memory=used,
        firstWorkloadSeconds=[round(value, 2) for value in first],
        lastStatusSeconds=[round(value, 2) for value in sorted(ended)],
    )
    assert len(first) == len(ended) == RUNS
    assert max(per_run) <= MOST_STATUS_WRITES
    assert executed_once(own), "a workload was made twice"


def scale_events(events: list[Object]) -> list[Object]:
    """Return the operator's requests."""
    return [event for event in events if event["user"]["username"].endswith(":astra-operator")]


def first_workloads(wanted: list[Object], own: list[Object], begin: float) -> list[float]:
    """Return for each run the seconds from the first apply of all until its first Job was made."""
    made = {event["objectRef"]["name"]: when(event) for event in creations(own)}
    return [made[first_objects(run)[-1][1]] - begin for run in wanted]


def creations(own: list[Object]) -> list[Object]:
    """Return the requests that made a Job; dry runs ask for it in their address."""
    jobs = [event for event in own if event["verb"] == "create" and event["objectRef"]["resource"] == "jobs"]
    return [event for event in jobs if event["responseStatus"]["code"] == 201 and "dryRun" not in event["requestURI"]]


def executed_once(own: list[Object]) -> bool:
    """Tell if no Job was made twice, and every run's stages all were."""
    made = Counter(event["objectRef"]["name"] for event in creations(own))
    return max(made.values()) == 1 and len(made) == sum(count * len(STAGES[kind]) for kind, count in KINDS.items())


def status_times(own: list[Object]) -> dict[tuple[str, str], list[float]]:
    """Return when each run's status was written, refused writes included."""
    found: dict[tuple[str, str], list[float]] = {}
    for event in own:
        target = event.get("objectRef", {})
        if event["verb"] == "update" and target.get("subresource") == "status":
            found.setdefault((target["resource"], target["name"]), []).append(when(event))
    return found


def plainly(scale: Scale, wanted: list[Object]) -> dict[str, float]:
    """Make the same runs and first objects in a namespace that no operator serves; return the seconds of both."""
    namespace = scale.plane.namespace("plain")
    known = {(kind, item["metadata"]["name"]): item for kind in ("ConfigMap", "Job") for item in scale.objects(kind)}
    copies = [[bare(known[key]) for key in first_objects(run)] for run in wanted]

    def make(items: list[Object]) -> None:
        for item in items:
            scale.create(item, namespace)

    seconds = {}
    for name, work in (("runs", [[run] for run in wanted]), ("firstObjects", copies)):
        begin = time.monotonic()
        at_once(make, work)
        seconds[name] = round(time.monotonic() - begin, 2)
    return seconds


def bare(item: Object) -> Object:
    """Return an object as it was sent: without what the API server fills in."""
    metadata = item["metadata"]
    copy: dict[str, Any] = {"apiVersion": item["apiVersion"], "kind": item["kind"]}
    copy["metadata"] = {"name": metadata["name"], "labels": metadata["labels"]}
    copy |= {field: item[field] for field in ("data", "immutable") if field in item}
    if item["kind"] == "Job":
        spec = {key: value for key, value in item["spec"].items() if key != "selector"}
        copy["spec"] = spec | {"template": {"metadata": {"labels": metadata["labels"]}, "spec": spec["template"]["spec"]}}
    return copy
