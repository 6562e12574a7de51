"""The order of training: complete, seeded, blind to ranks, little padding."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.sft.data import Rows, micro_batches, plan, share

lengths_lists = st.lists(st.integers(1, 300), min_size=1, max_size=120)


@settings(deadline=None)
@given(lengths_lists, st.integers(1, 16), st.integers(0, 5))
def test_each_epoch_uses_each_row_once(lengths: list[int], size: int, seed: int) -> None:
    batches = plan(lengths, size, 2.0, seed)
    half = len(batches) // 2
    for epoch in (batches[:half], batches[half:]):
        assert sorted(row for batch in epoch for row in batch) == list(range(len(lengths)))
        assert all(1 <= len(batch) <= size for batch in epoch)
    assert batches == plan(lengths, size, 2.0, seed)
    assert plan(lengths, size, 0.5, seed) == batches[: max(1, round(0.5 * half))]


def test_another_seed_and_the_next_epoch_give_another_order() -> None:
    lengths = [10] * 64
    batches = plan(lengths, 8, 2.0, 1)
    assert batches[:8] != batches[8:]
    assert batches != plan(lengths, 8, 2.0, 2)


@given(lengths_lists, st.integers(1, 5), st.integers(1, 900))
def test_shares_and_micro_batches_lose_no_row_and_keep_their_bound(lengths: list[int], world: int, most: int) -> None:
    batch = list(range(len(lengths)))
    shares = [share(batch, lengths, rank, world) for rank in range(world)]
    assert sorted(row for part in shares for row in part) == batch
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    for part in shares:
        groups = micro_batches(part, lengths, most)
        assert [row for group in groups for row in group] == part
        for group in groups:
            assert len(group) == 1 or max(lengths[row] for row in group) * len(group) <= most


def test_rows_of_one_batch_are_of_similar_length() -> None:
    lengths = [20 + (index * 37) % 200 for index in range(512)]
    padded = sum(max(lengths[row] for row in batch) * len(batch) for batch in plan(lengths, 16, 1.0, 0))
    assert padded / sum(lengths) < 1.1


def test_rows_come_back_from_their_file(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "rows.safetensors"
    rows = Rows.of([([5, 6, 7], [False, True, True]), ([8], [True])])
    rows.save(path)
    again = Rows.load(path)
    assert again.lengths() == [3, 1]
    ids, mask = again.row(0)
    assert (ids.tolist(), mask.tolist()) == ([5, 6, 7], [False, True, True])
    with pytest.raises(Exception, match="run prepare again"):
        Rows.load(Path(str(tmp_path)) / "missing.safetensors")
