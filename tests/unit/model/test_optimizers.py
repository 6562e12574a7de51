"""Muon's arithmetic, which parameter goes where, schedules, clipping, the chunked head, and that Muon learns to copy."""

import copy

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from astra_jobs.api.errors import BadInput
from astra_jobs.api.v1alpha1.sft import SftSchedule
from astra_jobs.api.v1alpha1.training import Optimizer
from astra_jobs.model import head, optim
from astra_jobs.model.muon import Muon, orthogonal


def spec(**changes: object) -> Optimizer:
    return Optimizer.model_validate({"name": "Muon", "learningRate": 0.02, **changes})


def model() -> Qwen3ForCausalLM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = Qwen3Config(
            vocab_size=40, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            head_dim=16, max_position_embeddings=64, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            tie_word_embeddings=True,
        )  # fmt: skip
        return Qwen3ForCausalLM(config)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 20), (2, 20, 8)])
def test_orthogonal_keeps_the_singular_vectors_and_evens_the_values(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(shape, generator=generator)
    found = orthogonal(matrices)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    inside = left.mT @ found @ right.mT
    diagonal = torch.diagonal(inside, dim1=-2, dim2=-1)
    assert float((inside - torch.diag_embed(diagonal)).abs().max()) < 1e-3
    # Values that are not vanishingly small beside the greatest come out near one.
    large = values > 0.1 * values[:, :1]
    assert bool(((diagonal > 0.6) & (diagonal < 1.3))[large].all())
    single = torch.stack([orthogonal(matrix[None])[0] for matrix in matrices])
    torch.testing.assert_close(found, single, atol=1e-5, rtol=1e-4)


def test_muon_steps_by_momentum_scale_and_decay() -> None:
    weight = torch.nn.Parameter(torch.ones(6, 3))
    untouched = torch.nn.Parameter(torch.ones(3, 3))
    muon = Muon([weight, untouched], lr=0.1, weight_decay=0.5)
    gradient = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    weight.grad = gradient.clone()
    muon.step()
    expected = torch.ones(6, 3) * (1 - 0.1 * 0.5) - 0.1 * 2**0.5 * orthogonal(gradient[None])[0]
    torch.testing.assert_close(weight.detach(), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(untouched.detach(), torch.ones(3, 3))
    with pytest.raises(ValueError, match="matrices only"):
        Muon([torch.nn.Parameter(torch.ones(3))], lr=0.1)


def test_build_gives_matrices_to_muon_and_the_rest_to_adamw() -> None:
    net = model()
    optimizers = optim.build(net, spec(embeddingLearningRate=0.004))
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    muon, adamw = ([names[id(p)] for group in part.param_groups for p in group["params"]] for part in optimizers.parts)
    assert all("proj" in name for name in muon)
    assert set(adamw) == {name for name in names.values() if "norm" in name or "embed" in name}
    assert len(muon) + len(adamw) == len(names)
    assert {group["lr"] for group in optimizers.parts[1].param_groups} == {0.004}
    whole = optim.build(net, spec(name="AdamW"))
    assert sum(len(group["params"]) for group in whole.parts[0].param_groups) == len(names)
    decayed = {names[id(p)] for group in whole.parts[0].param_groups if group["weight_decay"] for p in group["params"]}
    assert not any("norm" in name for name in decayed)


def test_gradients_are_clipped_rates_scaled_and_nonfinite_norms_named() -> None:
    weight = torch.nn.Parameter(torch.zeros(4))
    part = torch.optim.SGD([weight], lr=2.0)
    optimizers = optim.Optimizers([part], [weight], max_norm=1.0)
    weight.grad = torch.tensor([3.0, 4.0, 0.0, 0.0])
    assert optimizers.step(0.5) == pytest.approx(5.0)
    torch.testing.assert_close(weight.detach(), -torch.tensor([0.6, 0.8, 0.0, 0.0]), atol=1e-5, rtol=1e-5)
    assert weight.grad is None
    weight.grad = torch.tensor([float("nan")] * 4)
    with pytest.raises(BadInput, match="lower learningRate"):
        optimizers.step()


def test_optimizer_state_comes_back() -> None:
    net = model()
    twin = copy.deepcopy(net)
    first, second = optim.build(net, spec()), optim.build(twin, spec())

    def update(which: Qwen3ForCausalLM, optimizers: optim.Optimizers, seed: int) -> None:
        ids = torch.randint(0, 40, (2, 12), generator=torch.Generator().manual_seed(seed))
        which(input_ids=ids, labels=ids).loss.backward()
        optimizers.step(0.7)

    update(net, first, 1)
    twin.load_state_dict(net.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    update(net, first, 2)
    update(twin, second, 2)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters(), strict=True))


def test_schedules() -> None:
    cosine = [optim.rate_factor(SftSchedule(), step, 100) for step in range(100)]
    assert cosine[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert cosine[5] == 1.0
    assert cosine[52] == pytest.approx(0.5, abs=0.01)
    assert cosine[99] < 0.01
    tail = SftSchedule(name="ConstantThenLinear", warmup=0.1, constant=0.4, floor=0.05)
    linear = [optim.rate_factor(tail, step, 100) for step in range(100)]
    assert linear[9:41] == [1.0] * 32
    assert linear[70] == pytest.approx(1 - 0.95 * 0.5)
    assert linear[99] == pytest.approx(0.05, abs=0.02)
    assert optim.rate_factor(SftSchedule(), 0, 1) == 1.0


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_chunked_head_equals_the_whole_one_in_value_and_gradient(temperature: float, chunk: int) -> None:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(23, 16, generator=generator, requires_grad=True)
    weight = torch.randn(30, 16, generator=generator, requires_grad=True)
    chosen = torch.randint(0, 30, (23,), generator=generator)
    scale = torch.randn(23, generator=generator)
    expected = torch.log_softmax(hidden @ weight.T / temperature, dim=-1).gather(1, chosen[:, None])[:, 0]
    found = head.log_probs(hidden, weight, chosen, temperature, chunk)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    wanted = torch.autograd.grad((expected * scale).sum(), [hidden, weight])
    got = torch.autograd.grad((found * scale).sum(), [hidden, weight])
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_muon_forms_the_copy_circuit() -> None:
    """Rows 'a b c d | a b c d': what follows the bar can only be told by looking back. Chance is 1 in 30."""
    torch.manual_seed(0)
    net = model()
    optimizers = optim.build(net, spec(embeddingLearningRate=0.004, betas=[0.9, 0.98]))
    generator = torch.Generator().manual_seed(4)

    def rows(count: int) -> torch.Tensor:
        half = torch.randint(0, 30, (count, 4), generator=generator)
        return torch.cat([half, torch.full((count, 1), 31), half], dim=1)

    for step in range(250):
        ids = rows(32)
        logits = net(input_ids=ids).logits[:, 4:-1]
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 5:].flatten()).backward()
        optimizers.step(min(1.0, 2 - step / 125))
    with torch.no_grad():
        fresh = rows(200)
        right = (net(input_ids=fresh).logits[:, 4:-1].argmax(dim=-1) == fresh[:, 5:]).float().mean()
    assert float(right) > 0.9
