"""Names of children: short enough for a DNS label with what pods add, and never shared."""

import re

from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from astra_jobs.api.artifact import KINDS, Kind
from astra_jobs.api.v1alpha1 import MODELS
from astra_operator.desired import naming
from astra_operator.stages import STAGES
from tests.reconcile.harness import manifest

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


LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
lettered = st.sampled_from([kind for kind in KINDS if any(stage.workload == "PyTorchJob" or stage.tools for stage in STAGES[kind])])


@given(lettered, names, st.integers(1, 99_999), stages, st.integers(0, 9_999))
def test_a_name_that_a_kind_takes_is_one_that_its_children_can_bear(kind: Kind, run: str, attempt: int, stage: str, restart: int) -> None:
    taken = accepts(kind, run)
    workload, pool = naming.workload_name(kind, run, attempt, stage, restart), naming.pool_name(kind, run, attempt, stage)
    bears = all(
        re.fullmatch(LABEL_1035, name) and len(name) <= 63 for name in (pool, *(f"{workload}-{who}" for who in ("master-0", "worker-63")))
    )
    assert taken == bears


def test_only_kinds_with_such_children_ask_for_a_letter() -> None:
    assert {kind for kind in KINDS if not accepts(kind, "7b-base")} == {"EnvSynthesis", "SFTRun", "RLRun"}


def accepts(kind: Kind, name: str) -> bool:
    """Tell if a kind's model takes a name."""
    try:
        MODELS[kind].model_validate(manifest(kind, name))
    except ValidationError:
        return False
    return True


def test_names_can_be_read() -> None:
    assert naming.attempt_name("RLRun", "tiny", 2) == "tiny-rl-2"
    assert naming.workload_name("RLRun", "tiny", 2, "train", 1) == "tiny-rl-2-train-1"
    long = naming.workload_name("ChainSynthesis", "a" * 52, 12, "synthesise", 3)
    assert long == "aaaaaaaaaaaaaaaaaaaa-6c1b3dc7-chains-12-synthesise-3"
