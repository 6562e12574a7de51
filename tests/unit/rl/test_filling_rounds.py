"""Adaptive filling: no prompt lost or doubled, dispatch order, bounds, and the same after any interruption."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.api.v1alpha1.rl import RlAlgorithm
from astra_jobs.rl.filling import Dispatch, Filling, FillingState, Group, Sample

NAMES = [f"e{index}" for index in range(7)]


def finished(dispatch: Dispatch, valid: bool, version: int = 0) -> Group:
    samples = [Sample(tail=[1], mask=[1], logprobs=[-1.0], reward=reward) for reward in ((0.0, 1.0) if valid else (1.0, 1.0))]
    return Group(number=dispatch.number, environment=dispatch.environment, version=version, prompt=[0], samples=samples)


def is_valid(number: int, luck: float, seed: int) -> bool:
    return random.Random(f"{seed}/{number}").random() < luck


def run_step(filling: Filling, step: int, luck: float, seed: int, order: random.Random) -> tuple[list[int], bool]:
    filling.begin(step)
    while filling.missing() and not filling.exhausted():
        groups = [finished(dispatch, is_valid(dispatch.number, luck, seed), step - 1) for dispatch in filling.open_round()]
        order.shuffle(groups)
        filling.close_round(groups)
    batch = filling.take()
    return [group.number for group in batch.groups], batch.starved


def algorithm(**changes: Any) -> RlAlgorithm:
    return RlAlgorithm(**{"group_size": 2, "groups_per_step": 4, "steps": 5, **changes})


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 1), st.integers(0, 10_000), st.integers(1, 5), st.integers(0, 100))
def test_a_resumed_run_is_the_undisturbed_one(luck: float, seed: int, killed_after: int, shuffle: int) -> None:
    whole = Filling(NAMES, algorithm(), seed)
    expected = [run_step(whole, step, luck, seed, random.Random(shuffle)) for step in range(1, 6)]
    part = Filling(NAMES, algorithm(), seed)
    found = [run_step(part, step, luck, seed, random.Random(shuffle + 1)) for step in range(1, killed_after + 1)]
    saved = part.state().model_dump_json(by_alias=True)
    part.begin(killed_after + 1)
    if part.missing():
        part.open_round()  # killed here: what was sent out is sent out again
    part = Filling(NAMES, algorithm(), seed, FillingState.model_validate_json(saved))
    found += [run_step(part, step, luck, seed, random.Random(shuffle + 2)) for step in range(killed_after + 1, 6)]
    assert found == expected
    assert part.state() == whole.state()


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 1), st.integers(0, 10_000))
def test_every_prompt_comes_to_one_end(luck: float, seed: int) -> None:
    filling = Filling(NAMES, algorithm(), seed)
    trained = [number for step in range(1, 6) for number in run_step(filling, step, luck, seed, random.Random(0))[0]]
    ledger = filling.ledger()
    assert [entry.number for entry in ledger] == list(range(len(ledger)))
    assert len(trained) == len(set(trained))
    assert trained == sorted(trained)
    carried = {group.number for group in filling.carried()}
    for entry in ledger:
        ends = [entry.trained is not None, entry.number in carried, entry.verdict == "NoVariance"]
        assert sum(ends) == 1
    counts = filling.counts()
    assert counts["dispatched"] == counts["carried"] + counts.get("trained", 0) + counts.get("noVariance", 0)


def test_each_pass_sends_every_prompt_once_in_an_order_of_its_own() -> None:
    filling = Filling(NAMES, algorithm(groups_per_step=14, max_rounds=1), 3)
    filling.begin(1)
    names = [dispatch.environment for dispatch in filling.open_round()]
    assert len(names) == 28
    passes = [names[start : start + 7] for start in range(0, 28, 7)]
    assert all(sorted(part) == NAMES for part in passes)
    assert passes[0] != passes[1]


def test_first_is_dispatch_order_and_the_rest_is_carried() -> None:
    filling = Filling(NAMES, algorithm(groups_per_step=2), 0)
    filling.begin(1)
    sent = filling.open_round()
    assert len(sent) == 4
    filling.close_round([finished(dispatch, True) for dispatch in reversed(sent)])
    assert [group.number for group in filling.take().groups] == [0, 1]
    assert [group.number for group in filling.carried()] == [2, 3]
    filling.settle({2: [[-0.5], [-0.25]]})
    assert [sample.old_logprobs for group in filling.carried() for sample in group.samples] == [[-0.5], [-0.25], None, None]
    filling.begin(2)
    assert filling.missing() == 0


def test_rounds_grow_with_what_is_dropped_and_are_bounded() -> None:
    filling = Filling(NAMES, algorithm(max_rounds=6), 0)
    filling.begin(1)
    sizes = []
    while not filling.exhausted():
        sent = filling.open_round()
        sizes.append(len(sent))
        filling.close_round([finished(dispatch, False) for dispatch in sent])
    assert sizes == [8, 16, 16, 16, 16, 16]
    batch = filling.take()
    assert (batch.groups, batch.starved) == ([], True)
    with pytest.raises(ValueError, match="no round is due"):
        filling.open_round()


def test_a_group_that_comes_back_twice_or_unasked_is_refused() -> None:
    filling = Filling(NAMES, algorithm(), 0)
    filling.begin(1)
    sent = filling.open_round()
    filling.close_round([finished(sent[0], True)])
    for wrong in (sent[0], Dispatch(number=99, environment="e0"), Dispatch(number=sent[1].number, environment="nope")):
        with pytest.raises(ValueError, match="was not sent out"):
            filling.close_round([finished(wrong, True)])
    with pytest.raises(ValueError, match="a round is open"):
        filling.state()


def test_lost_rollouts_below_two_drop_the_group_and_count_it() -> None:
    filling = Filling(NAMES, algorithm(), 0)
    filling.begin(1)
    groups = [finished(dispatch, True) for dispatch in filling.open_round()]
    lost = [sample.model_copy(update={"reward": None}) for sample in groups[0].samples[:1]]
    groups[0] = groups[0].model_copy(update={"samples": [*lost, *groups[0].samples[1:]]})
    assert filling.close_round(groups)[0] == "TooFewRollouts"
    assert 0 not in [group.number for group in filling.take().groups]
    assert filling.counts()["tooFewRollouts"] == 1
