"""The update: the clipped objective by hand, and the same gradient however the batch is cut."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen3Config, Qwen3ForCausalLM

from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.model.dist import Group as Ranks
from astra_jobs.rl.advantage import advantages
from astra_jobs.rl.batches import Row, micro_batches, share_of, training_rows
from astra_jobs.rl.filling import Group, Sample
from astra_jobs.rl.loss import clipped_objective
from astra_jobs.rl.trainer import Trainer


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped", "slope"),
    [
        (1.0, 2.0, -2.0, 0, -2.0),
        (1.1, 2.0, -2.2, 0, -2.2),
        (1.5, 2.0, -2.4, 1, 0.0),
        (0.5, 2.0, -1.0, 0, -1.0),
        (0.5, -2.0, 1.6, 1, 0.0),
        (1.5, -2.0, 3.0, 0, 3.0),
    ],
)
def test_the_objective_by_hand(ratio: float, advantage: float, loss: float, clipped: int, slope: float) -> None:
    old = tensor(-1.0)
    logprobs = (old + math.log(ratio)).requires_grad_()
    found = clipped_objective(logprobs, old, tensor(advantage), 0.2)
    found.loss.backward()
    assert logprobs.grad is not None
    assert (found.loss.item(), found.clipped, logprobs.grad.item()) == (pytest.approx(loss), clipped, pytest.approx(slope))


def policy() -> Qwen3ForCausalLM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = Qwen3Config(
            vocab_size=24,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            max_position_embeddings=128,
            tie_word_embeddings=True,
        )
        return Qwen3ForCausalLM(config).eval()


def spec(micro_batch_tokens: int = 4096, **algorithm: Any) -> RLRunSpec:
    return RLRunSpec.model_validate(
        {
            "model": {"run": {"name": "m"}},
            "environments": [{"name": "e"}],
            "algorithm": {"groupSize": 3, "groupsPerStep": 4, "steps": 2, **algorithm},
            "training": {"optimizer": {"name": "AdamW", "learningRate": 1e-3}, "microBatchTokens": micro_batch_tokens},
        }
    )


def group(number: int, rewards: tuple[float | None, ...] = (0.0, 1.0, 0.5), old: float | None = None) -> Group:
    samples = []
    for index, reward in enumerate(rewards):
        length = 3 + (number * 5 + index * 7) % 11
        mask = [0 if place % 4 == 2 else 1 for place in range(length)]
        tail = [2 + (number + index + place) % 20 for place in range(length)]
        known = None if old is None else [old] * length
        samples.append(Sample(tail=tail, mask=mask, logprobs=[-1.0] * length, reward=reward, old_logprobs=known))
    prompt = [1] * (2 + number % 3)
    return Group(number=number, environment=f"e{number}", version=0, prompt=prompt, samples=samples, advantages=advantages(rewards, 0.02))


def weights(model: Qwen3ForCausalLM) -> torch.Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


@pytest.mark.parametrize("old", [None, -2.5])
def test_the_update_does_not_depend_on_how_the_batch_is_cut(old: float | None) -> None:
    groups = [group(number, old=old) for number in range(4)]
    found = []
    for tokens in (64, 200, 4096):
        trainer = Trainer(policy(), spec(tokens), Ranks())
        found.append((trainer.update(groups), weights(trainer.model)))
    for stats, after in found[1:]:
        assert stats.loss == pytest.approx(found[0][0].loss, abs=1e-6)
        assert stats.gradient_norm == pytest.approx(found[0][0].gradient_norm, rel=1e-4)
        assert torch.allclose(after, found[0][1], atol=1e-5)


def test_the_loss_is_the_token_mean_of_a_plain_computation() -> None:
    groups = [group(0), group(1, (1.0, None, 0.0)), group(2, (0.0, 0.5, 1.0), old=-2.5)]
    model = policy()
    total, tokens = 0.0, 0
    for entry in groups:
        for sample, advantage in zip(entry.samples, entry.advantages, strict=True):
            if advantage is None:
                continue
            ids = torch.tensor([entry.prompt + sample.tail])
            logits = model(input_ids=ids).logits.log_softmax(-1)[0].detach()
            for place, wrote in enumerate(sample.mask):
                if wrote:
                    logprob = float(logits[len(entry.prompt) + place - 1, sample.tail[place]])
                    ratio = 1.0 if sample.old_logprobs is None else math.exp(logprob - sample.old_logprobs[place])
                    total -= min(ratio * advantage, max(0.8, min(1.2, ratio)) * advantage)
                    tokens += 1
    stats = Trainer(model, spec(), Ranks()).update(groups)
    assert stats.policy_tokens == tokens
    assert stats.loss == pytest.approx(total / tokens, abs=1e-5)


def settled(entry: Group, rows: list[list[float]]) -> Group:
    samples = [sample.model_copy(update={"old_logprobs": known}) for sample, known in zip(entry.samples, rows, strict=True)]
    return entry.model_copy(update={"samples": samples})


def test_fresh_and_carried_logprobs_are_one_policy() -> None:
    """A group settled before any update has ratio 1: it trains exactly like a fresh one."""
    fresh = [group(number) for number in range(3)]
    trainer = Trainer(policy(), spec(), Ranks())
    rows = trainer.old_logprobs(fresh)
    carried = [settled(entry, rows[entry.number]) for entry in fresh]
    one, other = Trainer(policy(), spec(), Ranks()), Trainer(policy(), spec(), Ranks())
    first, second = one.update(fresh), other.update(carried)
    assert first.loss == pytest.approx(second.loss, abs=1e-6)
    assert torch.allclose(weights(one.model), weights(other.model), atol=1e-6)
    for sample, row in zip(fresh[0].samples, rows[0], strict=True):
        assert [value != 0 for value in row] == [bool(wrote) for wrote in sample.mask]


def test_an_update_raises_what_was_good() -> None:
    groups = [group(0, (0.0, 1.0, 0.0))]
    trainer = Trainer(policy(), spec(), Ranks())
    before = trainer.old_logprobs(groups)[0]
    for _ in range(3):
        trainer.update(groups)
    after = trainer.old_logprobs(groups)[0]
    assert sum(after[1]) > sum(before[1])
    assert sum(after[0]) + sum(after[2]) < sum(before[0]) + sum(before[2])


def test_lost_rollouts_are_not_trained_on() -> None:
    rows = training_rows([group(0, (0.0, None, 1.0))])
    assert [row.advantage for row in rows] == [pytest.approx(-math.sqrt(0.5)), pytest.approx(math.sqrt(0.5))]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(1, 4), st.integers(1, 200))
def test_shares_and_micro_batches_hold_every_row_once(lengths: list[int], world: int, most: int) -> None:
    rows = [Row([1], Sample(tail=[2] * length, mask=[1] * length, logprobs=[0.0] * length, reward=0.0), 1.0) for length in lengths]
    parts = [share_of(rows, rank, world) for rank in range(world)]
    assert sorted(id(row) for part in parts for row in part) == sorted(map(id, rows))
    loads = [sum(map(len, part)) for part in parts]
    assert max(loads) - min(loads) <= max(lengths) + 1
    for part in parts:
        cut = micro_batches(part, most)
        assert sorted(id(row) for batch in cut for row in batch.rows) == sorted(map(id, part))
        for batch in cut:
            assert batch.ids.numel() <= most or len(batch.rows) == 1
            assert len(batch.chosen) == sum(row.policy_tokens for row in batch.rows)
