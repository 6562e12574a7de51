"""The arithmetic of a pool beside its stage: told in one line, with the remedy where it does not suffice."""

from typing import Any

import pytest

from astra_operator.desired.capacity import capacity
from astra_operator.desired.sandbox import PoolPlan
from astra_operator.frozen import Frozen


def plan(stage: str = "train", kind: str = "RLRun", **spec: Any) -> PoolPlan:
    frozen = Frozen.model_construct(kind=kind)
    return PoolPlan(name="rl-sandbox", namespace="team", uid="u", stage=stage, labels={}, frozen=frozen, spec=spec)


def test_a_pool_that_suffices_says_its_numbers() -> None:
    found = capacity(plan(algorithm={"groupsPerStep": 16, "groupSize": 8}, sandbox={"replicas": 2, "resources": {"memory": "2Gi"}}))
    assert found.enough
    assert found.told == "128 live sessions (2 pods x 64) for 128 rollouts at once (groupsPerStep 16 x groupSize 8)"


def test_a_pool_that_does_not_suffice_says_what_to_set() -> None:
    spec = {"algorithm": {"groupsPerStep": 256, "groupSize": 8}, "sandbox": {"replicas": 2, "resources": {"memory": "4Gi"}}}
    found = capacity(plan(**spec))
    assert not found.enough
    assert "256 live sessions (2 pods x 128) for 2048 rollouts at once" in found.told
    assert "set spec.sandbox.replicas to 16 or raise its memory" in found.told
    spec["sandbox"]["replicas"] = 16
    assert capacity(plan(**spec)).enough


@pytest.mark.parametrize(("stage", "kind", "each"), [("evaluate", "RLRun", 64), ("evaluate", "SFTRun", 64), ("merge", "EnvSynthesis", 32)])
def test_a_stage_whose_sessions_no_spec_counts_says_what_it_has(stage: str, kind: str, each: int) -> None:
    found = capacity(plan(stage, kind, sandbox={"replicas": 3, "resources": {"memory": "2Gi"}}))
    assert found.enough
    assert found.told == f"{3 * each} live sessions (3 pods x {each})"


def test_defaults_are_those_of_the_models() -> None:
    found = capacity(plan())
    assert (found.replicas, found.wanted) == (2, 2048)
    assert not found.enough
