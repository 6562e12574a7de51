"""What every generation engine promises, whoever implements it."""

import asyncio
from collections.abc import Callable

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from astra_jobs.model.generation.base import Engine, OnTurn, Sampling, Trajectory
from astra_jobs.model.generation.scripted import ScriptedEngine
from astra_jobs.model.generation.transformers import TransformersEngine
from tests.patience import patience

STOP, SPARE = 0, 1


def scripted() -> Engine:
    return ScriptedEngine(lambda row, turn, so_far: [2 + (row + turn) % 5] * (3 + row % 3) + [STOP])


def transformers() -> Engine:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = Qwen3Config(
            vocab_size=12,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            max_position_embeddings=256,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        )
        return TransformersEngine(Qwen3ForCausalLM(config).eval(), most_rows=5)


@pytest.fixture(params=[scripted, transformers])
def engine(request: pytest.FixtureRequest) -> Engine:
    make: Callable[[], Engine] = request.param
    return make()


def sampling(**changes: object) -> Sampling:
    values: dict[str, object] = {"temperature": 1.0, "max_turns": 3, "max_response_tokens": 120, "stop": (STOP, SPARE), "seed": 1}
    return Sampling(**{**values, **changes})  # type: ignore[arg-type]


def run(engine: Engine, count: int, on_turn: OnTurn, how: Sampling, keys: list[str] | None = None) -> list[Trajectory]:
    return asyncio.run(engine.generate([[3 + row % 4, 5] for row in range(count)], on_turn, how, keys))


async def over(row: int, turn: list[int]) -> list[int] | None:
    return None


async def more(row: int, turn: list[int]) -> list[int] | None:
    return [9, 9, 10]


def test_results_are_in_order_and_the_books_agree(engine: Engine) -> None:
    heard: dict[int, list[list[int]]] = {}

    async def on_turn(row: int, turn: list[int]) -> list[int] | None:
        heard.setdefault(row, []).append(turn)
        await asyncio.sleep(0)
        return [9, 9, 10] if len(heard[row]) < 2 else None

    found = run(engine, 12, on_turn, sampling())
    for row, trajectory in enumerate(found):
        assert trajectory.prompt_ids == [3 + row % 4, 5]
        assert len(trajectory.ids) == len(trajectory.mask) == len(trajectory.logprobs)
        assert all((lp == 0.0) if not on else (lp <= 0.0) for on, lp in zip(trajectory.mask, trajectory.logprobs, strict=True))
        said = [token for token, on in zip(trajectory.ids, trajectory.mask, strict=True) if on]
        handed = [token for turn in heard.get(row, []) for token in turn]
        assert said[: len(handed)] == handed
        assert all(turn[-1] in (STOP, SPARE) and not {STOP, SPARE} & set(turn[:-1]) for turn in heard.get(row, []))
        if trajectory.ending == "Answered":
            assert said == handed
            assert trajectory.turns == 2
            assert [token for token, on in zip(trajectory.ids, trajectory.mask, strict=True) if not on] == [9, 9, 10]
    assert any(trajectory.ending == "Answered" for trajectory in found)


def test_an_episode_ends_when_it_is_told_so(engine: Engine) -> None:
    for trajectory in run(engine, 6, over, sampling()):
        assert trajectory.turns == 1
        assert 0 not in trajectory.mask


def test_the_last_allowed_turn_is_handed_over_and_nothing_is_fed_after_it(engine: Engine) -> None:
    turns: list[int] = []

    async def on_turn(row: int, turn: list[int]) -> list[int] | None:
        turns.append(row)
        return [9]

    found = run(engine, 6, on_turn, sampling(max_turns=2))
    limited = [row for row, trajectory in enumerate(found) if trajectory.ending == "TurnLimit"]
    assert limited
    for row in limited:
        assert found[row].turns == turns.count(row) == 2
        assert found[row].mask[-1] == 1
        assert found[row].mask.count(0) == 1


@pytest.mark.parametrize("most", [1, 2, 7, 20])
def test_the_token_limit_is_never_passed(engine: Engine, most: int) -> None:
    for trajectory in run(engine, 8, more, sampling(max_response_tokens=most, max_turns=60)):
        assert 1 <= len(trajectory.ids) <= most
        assert trajectory.mask[-1] == 1
        assert trajectory.ending == "TokenLimit"


def test_a_slow_tool_stalls_only_its_own_row(engine: Engine) -> None:
    finished: list[int] = []

    async def scenario() -> None:
        gate = asyncio.Event()

        async def on_turn(row: int, turn: list[int]) -> list[int] | None:
            if row == 0:
                await gate.wait()
            finished.append(row)
            if len(finished) == 5:
                gate.set()
            return None

        await engine.generate([[3 + row] for row in range(6)], on_turn, sampling(max_response_tokens=200, temperature=1.0), None)

    asyncio.run(asyncio.wait_for(scenario(), timeout=patience()))
    assert finished[-1] == 0
    assert sorted(finished) == [0, 1, 2, 3, 4, 5]


def test_a_failing_tool_loop_ends_the_call_with_its_error(engine: Engine) -> None:
    async def on_turn(row: int, turn: list[int]) -> list[int] | None:
        raise KeyError("sandbox")

    with pytest.raises((KeyError, ExceptionGroup)) as caught:
        run(engine, 3, on_turn, sampling())
    error = caught.value
    assert "sandbox" in repr(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)


def test_equal_seeds_give_equal_results_and_keys_are_checked(engine: Engine) -> None:
    first = run(engine, 5, more, sampling())
    assert [entry.ids for entry in run(engine, 5, more, sampling())] == [entry.ids for entry in first]
    with pytest.raises(ValueError, match="different keys"):
        run(engine, 2, over, sampling(), ["a", "a"])
    with pytest.raises(ValueError, match="different keys"):
        run(engine, 2, over, sampling(), ["a"])
    with pytest.raises(ValueError, match="empty prompt"):
        asyncio.run(engine.generate([[]], over, sampling()))
    assert run(engine, 0, over, sampling()) == []


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"max_turns": 0}, {"max_response_tokens": 0}, {"stop": ()}])
def test_impossible_sampling_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="sampling needs"):
        sampling(**wrong)
