"""Rollouts as padded micro-batches: split over ranks by tokens, packed up to a token budget, longest first.

Rows are padded on the right and attention is causal, so that no real token ever sees a pad and no mask is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from astra_jobs.rl.filling import Group, Sample


@dataclass(frozen=True)
class Row:
    """One rollout to be passed through the model; ``advantage`` is None where only log-probabilities are wanted."""

    prompt: list[int]
    sample: Sample
    advantage: float | None = None

    def __len__(self) -> int:
        """Return the tokens of the row."""
        return len(self.prompt) + len(self.sample.tail)

    @property
    def policy_tokens(self) -> int:
        """Return how many tokens the policy wrote."""
        return sum(self.sample.mask)


@dataclass(frozen=True)
class MicroBatch:
    """Padded rows. ``ids`` [B, L]; ``where`` [T] flat positions (in B x L) that predict the T policy tokens ``chosen``.

    ``old`` [T] is NaN where the rollout is fresh. ``advantages`` [T]; ``sampled`` [T] are the engine's log-probabilities.
    """

    rows: list[Row]
    ids: torch.Tensor
    where: torch.Tensor
    chosen: torch.Tensor
    old: torch.Tensor
    advantages: torch.Tensor
    sampled: torch.Tensor


def training_rows(groups: Sequence[Group]) -> list[Row]:
    """Return the rollouts that are trained on: those that infrastructure did not lose."""
    return [
        Row(group.prompt, sample, advantage)
        for group in groups
        for sample, advantage in zip(group.samples, group.advantages, strict=True)
        if advantage is not None and sample.tail
    ]


def share_of(rows: Sequence[Row], rank: int, world: int) -> list[Row]:
    """Return a rank's rows: longest first, each to the rank with the fewest tokens so far, so all ranks end together."""
    loads = [0] * world
    mine = []
    for row in sorted(rows, key=len, reverse=True):
        lightest = loads.index(min(loads))
        loads[lightest] += len(row)
        if lightest == rank:
            mine.append(row)
    return mine


def micro_batches(rows: Sequence[Row], max_tokens: int) -> list[MicroBatch]:
    """Cut rows (longest first) into batches of at most ``max_tokens`` padded tokens; one row may be longer alone."""
    batches: list[list[Row]] = []
    for row in sorted(rows, key=len, reverse=True):
        if batches and len(batches[-1][0]) * (len(batches[-1]) + 1) <= max_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return [_padded(batch) for batch in batches]


def _padded(rows: list[Row]) -> MicroBatch:
    width = len(rows[0])
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    where: list[int] = []
    chosen: list[int] = []
    old: list[float] = []
    advantages: list[float] = []
    sampled: list[float] = []
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row.prompt + row.sample.tail, dtype=torch.long)
        places = [place for place, wrote in enumerate(row.sample.mask) if wrote]
        start = index * width + len(row.prompt) - 1
        where += [start + place for place in places]
        chosen += [row.sample.tail[place] for place in places]
        known = row.sample.old_logprobs
        old += [float("nan") if known is None else known[place] for place in places]
        advantages += [row.advantage or 0.0] * len(places)
        sampled += [row.sample.logprobs[place] for place in places]
    return MicroBatch(
        rows, ids, torch.tensor(where), torch.tensor(chosen), torch.tensor(old), torch.tensor(advantages), torch.tensor(sampled)
    )
