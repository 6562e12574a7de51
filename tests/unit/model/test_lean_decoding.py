"""The lean decoding path against the library's model, and the engine's log-probabilities against a full forward pass."""

import asyncio
import random

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from astra_jobs.api.errors import BadInput
from astra_jobs.model import head
from astra_jobs.model.generation.base import Sampling, Trajectory
from astra_jobs.model.generation.transformers import TransformersEngine, draw
from astra_jobs.model.lean import LeanDecoder

VOCABULARY = 90
STOP = 7


def tiny(seed: int = 0, tied: bool = True, positions: int = 256) -> Qwen3ForCausalLM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=48,
            intermediate_size=80,
            num_hidden_layers=3,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=positions,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            tie_word_embeddings=tied,
            initializer_range=0.4,
        )
        return Qwen3ForCausalLM(config).eval()


@pytest.mark.parametrize("tied", [True, False])
def test_reading_and_stepping_equal_the_library_model(tied: bool) -> None:
    model = tiny(tied=tied)
    decoder = LeanDecoder(model)
    rng = random.Random(1)
    rows = [[rng.randrange(VOCABULARY) for _ in range(length)] for length in (40, 75, 33)]
    cuts = [10, 4, 25]
    cache, logits = decoder.prefill([row[:cut] for row, cut in zip(rows, cuts, strict=True)])
    with torch.no_grad():
        full = [model(input_ids=torch.tensor([row])).logits[0] for row in rows]
    for place, cut in enumerate(cuts):
        torch.testing.assert_close(logits[place], full[place][cut - 1], atol=1e-4, rtol=1e-4)
    at = list(cuts)
    for turn in range(8):
        # Every third turn a row keeps its place; what it fed must leave no trace.
        waits = turn % 3
        tokens = torch.tensor([0 if place == waits else row[at[place]] for place, row in enumerate(rows)])
        advance = torch.tensor([0 if place == waits else 1 for place in range(3)])
        logits = decoder.step(tokens, cache, advance)
        for place in range(3):
            if place != waits:
                torch.testing.assert_close(logits[place], full[place][at[place]], atol=1e-4, rtol=1e-4)
                at[place] += 1


def test_rows_can_be_taken_out_doubled_and_joined() -> None:
    model = tiny()
    decoder = LeanDecoder(model)
    first, _ = decoder.prefill([[1, 2, 3], [4, 5]])
    second, _ = decoder.prefill([[6] * 70])
    cache = first.pick([1, 0, 1]).joined(second)
    logits = decoder.step(torch.tensor([8, 9, 10, 11]), cache, torch.ones(4, dtype=torch.int64))
    for place, row in enumerate([[4, 5, 8], [1, 2, 3, 9], [4, 5, 10], [6] * 70 + [11]]):
        with torch.no_grad():
            expected = model(input_ids=torch.tensor([row])).logits[0, -1]
        torch.testing.assert_close(logits[place], expected, atol=1e-4, rtol=1e-4)


def test_a_model_that_it_does_not_decode_exactly_is_refused() -> None:
    model = tiny()
    model.config.use_sliding_window = True
    with pytest.raises(BadInput, match="plain Qwen3 only"):
        LeanDecoder(model)


def generate(model: Qwen3ForCausalLM, prompts: list[list[int]], temperature: float, rows: int = 128, **more: object) -> list[Trajectory]:
    observations = {0: [3, 4, 5], 1: [6]}

    async def on_turn(row: int, turn: list[int]) -> list[int] | None:
        for _ in range(row % 3):
            await asyncio.sleep(0)
        return observations.get(len(turn) % 3)

    sampling = Sampling(temperature=temperature, max_turns=4, max_response_tokens=60, stop=(STOP,), seed=3)
    return asyncio.run(TransformersEngine(model, most_rows=rows).generate(prompts, on_turn, sampling, **more))  # type: ignore[arg-type]


PROMPTS = [[number % VOCABULARY for number in range(start, start + 5 + 3 * start)] for start in range(1, 9)]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_equal_a_full_forward_pass_and_tokens_are_verbatim(temperature: float) -> None:
    model = tiny(2)
    for trajectory in generate(model, PROMPTS, temperature):
        whole = [*trajectory.prompt_ids, *trajectory.ids]
        hidden = model.model(input_ids=torch.tensor([whole])).last_hidden_state[0]
        start = len(trajectory.prompt_ids) - 1
        expected = head.log_probs(hidden[start:-1], model.lm_head.weight, torch.tensor(trajectory.ids), temperature or 1.0)
        assert len(trajectory.ids) == len(trajectory.mask) == len(trajectory.logprobs)
        for place, on in enumerate(trajectory.mask):
            wanted = float(expected[place].detach()) if on else 0.0
            assert trajectory.logprobs[place] == pytest.approx(wanted, abs=1e-4)


def test_greedy_output_does_not_depend_on_the_batch_nor_on_order() -> None:
    model = tiny(4)
    alone = [generate(model, [prompt], 0.0)[0].ids for prompt in PROMPTS]
    assert len({tuple(ids) for ids in alone}) > 3
    # on_turn waits by row number, so the same prompt sees other timing and other company each time.
    for rows in (128, 3, 1):
        assert [found.ids for found in generate(model, PROMPTS, 0.0, rows)] == alone
    assert [found.ids for found in generate(model, PROMPTS[::-1], 0.0)] == alone[::-1]


def test_a_row_samples_by_its_key_whatever_stands_beside_it() -> None:
    model = tiny(5)
    keys = [f"prompt-{number}" for number in range(8)]
    together = generate(model, PROMPTS, 1.0, keys=keys)
    assert [found.ids for found in generate(model, PROMPTS[::-1], 1.0, rows=3, keys=keys[::-1])][::-1] == [found.ids for found in together]
    same = generate(model, [PROMPTS[0]] * 4, 1.0)
    assert len({tuple(found.ids) for found in same}) > 1


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([[2.0, 0.0, float("-inf"), 1.0]]).repeat(4000, 1)
    tokens, logprobs = draw(logits, 0.5, [random.Random(number) for number in range(4000)])
    expected = torch.softmax(logits[0] / 0.5, dim=-1)
    for token in range(4):
        assert tokens.count(token) / 4000 == pytest.approx(float(expected[token]), abs=0.03)
    assert 2 not in tokens
    assert logprobs[0] == pytest.approx(float(expected[tokens[0]].log()), abs=1e-5)
    assert draw(logits[:2], 0.0, [])[0] == [0, 0]


def test_more_tokens_than_positions_are_refused_before_generation() -> None:
    with pytest.raises(BadInput, match="raise maxLength"):
        generate(tiny(positions=64), [[1] * 10], 1.0)
