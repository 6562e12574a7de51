"""Admission: all or nothing, first come first served, nothing waits for ever."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from astra_operator.clusters.local_capacity import Amount, Group, admit, machine, request_of, total

GIB = 2**30
HERE = Amount(2000, 4 * GIB)


def pod(cpu: str, memory: str = "1Gi") -> dict[str, Any]:
    return {"spec": {"containers": [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}]}}


def group(name: str, *cpus: str) -> Group:
    return Group(name, tuple(pod(cpu) for cpu in cpus))


def test_request_of_a_pod_without_requests_is_nothing() -> None:
    assert request_of({"spec": {"containers": [{}]}}) == Amount(0, 0)


def test_gang_starts_together_or_waits() -> None:
    decision = admit([group("gang", "1", "1")], [pod("0.5")], HERE)
    assert decision.start == ()
    assert decision.waiting == {"gang": "needs 2 CPU and 2.0 GiB; 1.5 CPU and 3.0 GiB are free"}
    assert admit([group("gang", "1", "1")], [], HERE).start[0].name == "gang"


def test_memory_counts_too() -> None:
    wanted = Group("big", (pod("1", "4Gi"),))
    assert admit([wanted], [pod("1", "1Gi")], HERE).start == ()
    assert admit([wanted], [], HERE).start == (wanted,)


def test_nobody_overtakes() -> None:
    decision = admit([group("a", "1"), group("b", "1", "1"), group("c", "1")], [], HERE)
    assert [item.name for item in decision.start] == ["a"]
    assert decision.waiting["c"] == "needs 1 CPU and 1.0 GiB; waits for b, which came first"


def test_request_beyond_the_machine_runs_alone_and_says_so() -> None:
    large = Group("large", (pod("8", "64Gi"),))
    assert admit([large], [pod("0.1", "1Ki")], HERE).start == ()
    decision = admit([large], [], HERE)
    assert decision.start == (large,)
    assert decision.capped == (
        "large asks for 8 CPU and 64.0 GiB, this machine has 2 CPU and 4.0 GiB: it runs alone, and slower than asked for",
    )


def test_this_machine_has_something() -> None:
    assert machine().cpu >= 1000
    assert machine().memory > GIB // 4


CPUS = st.lists(st.sampled_from(["0", "0.1", "0.5", "1", "2", "3", "9"]), min_size=1, max_size=3)


@given(st.lists(CPUS, max_size=6), st.lists(st.sampled_from(["0.5", "1"]), max_size=3))
def test_what_runs_fits_unless_it_runs_alone(waiting: list[list[str]], busy: list[str]) -> None:
    running = [pod(cpu) for cpu in busy][:2]
    groups = [group(f"g{index}", *cpus) for index, cpus in enumerate(waiting)]
    decision = admit(groups, running, HERE)
    started = [item for group in decision.start for item in group.pods]
    if not decision.capped:
        assert total(running + started).within(HERE)
    names = [item.name for item in groups]
    assert [item.name for item in decision.start] == names[: len(decision.start)], "the order of arrival is kept"
    assert set(decision.waiting) == set(names[len(decision.start) :])
    if groups and not running:
        assert decision.start, "with an empty machine the first in line always starts"
