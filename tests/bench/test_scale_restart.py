"""An operator that starts with 5,000 runs and 20,000 children, and one that stands idle beside them for five minutes.

Most runs have succeeded, some wait for an input that nobody makes. The comparison is a plain chunked list of the same objects by the
same client: what any program has to do before it knows what there is. The audit log judges the writes.
"""

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.bench.scale import Object, Scale, cpu_seconds, load, memory, record, started, tally, when
from tests.bench.scale_clones import CHILDREN, RUNS, SORTS, populate
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.plane.access import wait_for

GOAL_SECONDS, GOAL_MB, IDLE_SECONDS = 30, 400, 300
PATIENCE, QUIET_SECONDS = 900, 15
SORTED = {f"{sort.kind} with {sort.children} children": sort.count for sort in SORTS}


@pytest.fixture(scope="module")
def scale() -> Iterator[Scale]:
    """All runs and children, and no operator."""
    with started() as scale:
        begin = time.monotonic()
        populate(scale)
        print(f"\n{RUNS} runs and {CHILDREN} children were made in {time.monotonic() - begin:.0f} s")
        assert scale.writes(0), "the audit log must show what the operator wrote for the originals, or it could not judge"
        yield scale


def start(operator: OperatorProcess) -> dict[str, float]:
    """Start an operator; return the seconds until it had looked at every run and had nothing more to do, and its processor time."""
    begin = time.monotonic()
    operator.start()
    serving = time.monotonic() - begin
    wait_for("every run was looked at and none is left to look at", lambda: converged(operator), PATIENCE, every=0.25)
    seconds = time.monotonic() - begin
    assert operator.healthy(), operator.problems()
    return {"seconds": round(seconds, 2), "serving": round(serving, 2), "cpuSeconds": cpu_seconds(operator)}


def converged(operator: OperatorProcess) -> bool:
    """Tell if all runs were looked at since the start and the queue is empty."""
    found = operator.metrics()
    looks = sum(value for name, value in found.items() if name.startswith("astra_reconciles_total"))
    return looks >= RUNS and found["astra_queue_depth"] == 0


def quiet(scale: Scale, mark: int) -> float:
    """Wait until the operator has asked nothing but its Lease and watches for a while; return when the last answer came."""
    last = 0.0

    def silent() -> bool:
        nonlocal last
        asked = [
            event for event in scale.calls(mark) if event["verb"] != "watch" and event.get("objectRef", {}).get("resource") != "leases"
        ]
        last = max(when(event) for event in asked)
        return time.time() - last > QUIET_SECONDS

    wait_for("the operator is quiet", silent, PATIENCE, every=2)
    return last


def plain_list(scale: Scale) -> float:
    """List everything as the operator does; return the seconds."""
    begin = time.monotonic()
    found = scale.counts()
    seconds = time.monotonic() - begin
    runs = sum(found[sort.kind] for sort in SORTS)
    assert (runs, sum(found.values()) - runs) == (RUNS, CHILDREN), found
    return round(seconds, 2)


@pytest.mark.bench
def test_a_restart_with_five_thousand_runs_writes_nothing(scale: Scale) -> None:
    busy, plain, mark = load(), plain_list(scale), scale.plane.audit_mark()
    with closing(scale.operator()) as operator:
        begin = time.time()
        took = start(operator)
        settled = round(quiet(scale, mark) - begin, 2)
        after_start, used = scale.calls(mark), memory(operator)
        succeeded = operator.metric("astra_runs", condition="Succeeded", status="True")
        missed = operator.metric("astra_missed_events_total")
        operator.kill()
        killed = start(operator)
        writes = scale.writes(mark)
    record(
        "scale-restart",
        runs=RUNS,
        children=CHILDREN,
        sorts=SORTED,
        load=busy,
        goalSeconds=GOAL_SECONDS,
        start=took,
        settledSeconds=settled,
        afterKill=killed,
        plainListSeconds=plain,
        ratioToPlainList=round(took["seconds"] / plain, 2),
        goalMB=GOAL_MB,
        memory=used,
        missedEvents=missed,
        writes=len(writes),
        calls=tally(after_start),
    )
    assert writes == [], tally(writes)
    assert succeeded == sum(sort.count for sort in SORTS if sort.children)
    assert missed == 0


@pytest.mark.bench
def test_five_idle_minutes_write_nothing_but_the_lease(scale: Scale) -> None:
    with closing(scale.operator()) as operator:
        first = scale.plane.audit_mark()
        start(operator)
        quiet(scale, first)
        busy, mark, used, before = load(), scale.plane.audit_mark(), cpu_seconds(operator), memory(operator)
        end = time.monotonic() + IDLE_SECONDS
        wait_for("five minutes have passed", lambda: time.monotonic() >= end, IDLE_SECONDS + 60, every=1)
        events, used, after = scale.calls(mark), round(cpu_seconds(operator) - used, 2), memory(operator)
        scale.team.put("ToolCorpus", "control")
        scale.team.wait_for_job("control-corpus-1-collect-0", 60)
        control = scale.writes(mark)
    writes, renewals = split(events)
    record(
        "scale-idle",
        runs=RUNS,
        children=CHILDREN,
        seconds=IDLE_SECONDS,
        load=busy,
        goalWrites=0,
        writes=len(writes),
        leaseRenewals=len(renewals),
        calls=tally(events),
        cpuSeconds=used,
        memoryBefore=before,
        memoryAfter=after,
    )
    assert writes == [], tally(writes)
    assert renewals, "a living operator renews its Lease"
    assert control, "a run that was applied afterwards has to show as writes"


def split(events: list[Object]) -> tuple[list[Object], list[Object]]:
    """Return the writes, and those to the Lease apart."""
    wrote = [event for event in events if event["verb"] not in ("get", "list", "watch")]
    leases = [event for event in wrote if event["objectRef"]["resource"] == "leases"]
    return [event for event in wrote if event not in leases], leases
