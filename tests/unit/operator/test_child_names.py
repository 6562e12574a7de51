"""Names of children: short enough for a DNS label with what pods add, and never shared."""

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from astra_jobs.api.artifact import KINDS, Kind
from astra_operator.desired import naming

names = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?\Z")
stages = st.sampled_from(["collect", "synthesise", "merge", "prepare", "train", "evaluate"])
launches = st.tuples(st.sampled_from(KINDS), names, st.integers(1, 999), stages, st.integers(0, 99))


@given(launches)
def test_a_workloads_name_leaves_room_for_its_pods(launch: tuple[Kind, str, int, str, int]) -> None:
    name = naming.workload_name(*launch)
    assert len(name + "-worker-999") <= 63
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert name == naming.workload_name(*launch)


@given(launches, launches)
def test_two_launches_never_share_a_name(one: tuple[Kind, str, int, str, int], other: tuple[Kind, str, int, str, int]) -> None:
    assume(one != other)
    assert naming.workload_name(*one) != naming.workload_name(*other)
    assert naming.workload_name(*one) != naming.attempt_name(*other[:3])


def test_names_can_be_read() -> None:
    assert naming.attempt_name("RLRun", "tiny", 2) == "tiny-rl-2"
    assert naming.workload_name("RLRun", "tiny", 2, "train", 1) == "tiny-rl-2-train-1"
    long = naming.workload_name("ChainSynthesis", "a" * 52, 12, "synthesise", 3)
    assert long == "aaaaaaaaaaaaaaaaaaaa-6c1b3dc7-chains-12-synthesise-3"
