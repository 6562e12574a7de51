"""Rows to train on: rendering, masks, length limit, storage, and the order in which they are used."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput

# Rows of similar length share a batch, so that little is padded: this many batches are sorted together.
_WINDOW = 16


@dataclass(frozen=True)
class Rows:
    """Token rows in one buffer. ``ids`` and ``mask`` [N]; row r is ``starts[r]:starts[r+1]``; mask 1 = assistant token."""

    ids: torch.Tensor
    mask: torch.Tensor
    starts: torch.Tensor

    @staticmethod
    def of(rows: Sequence[tuple[list[int], list[bool]]]) -> "Rows":
        """Gather rendered rows."""
        lengths = torch.tensor([0, *[len(ids) for ids, _ in rows]], dtype=torch.int64)
        ids = torch.tensor([token for row, _ in rows for token in row], dtype=torch.int32)
        mask = torch.tensor([on for _, row in rows for on in row], dtype=torch.uint8)
        return Rows(ids=ids, mask=mask, starts=lengths.cumsum(0))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self) -> list[int]:
        """Return the tokens of each row."""
        return [int(length) for length in self.starts.diff()]

    def row(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids [T] (int64) and mask [T] (bool) of one row."""
        part = slice(int(self.starts[index]), int(self.starts[index + 1]))
        return self.ids[part].long(), self.mask[part].bool()

    def save(self, path: Path) -> None:
        """Write the rows."""
        save_file({"ids": self.ids, "mask": self.mask, "starts": self.starts}, path)

    @staticmethod
    def load(path: Path) -> "Rows":
        """Read what ``save`` wrote."""
        if not path.exists():
            raise BadInput(path.name, "InputUnavailable", "the file is missing from the prepared data; run prepare again")
        tensors = load_file(path)
        return Rows(ids=tensors["ids"], mask=tensors["mask"], starts=tensors["starts"])


def plan(lengths: Sequence[int], batch_size: int, epochs: float, seed: int) -> list[list[int]]:
    """Return the rows of each update, in order: a function of the data and the seed only, not of ranks.

    Each epoch is a new shuffle; within windows of it rows are sorted by length, and the batches of a window come in random
    order. A fraction of an epoch stops after that share of its batches. A last, smaller batch of an epoch is kept.
    """
    batches: list[list[int]] = []
    total = max(1, round(epochs * -(-len(lengths) // batch_size)))
    epoch = 0
    while len(batches) < total:
        stream = random.Random(digest_of([seed, "order", epoch]))
        order = list(range(len(lengths)))
        stream.shuffle(order)
        span = batch_size * _WINDOW
        for start in range(0, len(order), span):
            window = sorted(order[start : start + span], key=lambda index: (lengths[index], index))
            cut = [window[first : first + batch_size] for first in range(0, len(window), batch_size)]
            stream.shuffle(cut)
            batches += cut
        epoch += 1
    return batches[:total]


def share(batch: Sequence[int], lengths: Sequence[int], rank: int, world: int) -> list[int]:
    """Return the rows of a batch that a rank computes; lengths are dealt evenly."""
    return sorted(batch, key=lambda index: (-lengths[index], index))[rank::world]


def micro_batches(rows: Sequence[int], lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Cut rows (longest first) into groups of at most ``most_tokens`` padded tokens; one long row may stand alone."""
    groups: list[list[int]] = []
    for index in rows:
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= most_tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
