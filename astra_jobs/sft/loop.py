"""The fine-tuning update (SPEC 5): padded micro-batches, loss by global token counts, one flat sum over ranks.

Loss = sum over assistant tokens / their count in the whole batch (all ranks, all micro-batches) + ``promptLoss`` times the
mean loss on all other tokens. The second term is ours; the paper's presets leave it at 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Qwen3ForCausalLM

from astra_jobs.api.v1alpha1.sft import SftTraining
from astra_jobs.model import head, optim
from astra_jobs.model.dist import Group
from astra_jobs.sft.data import Rows, micro_batches, share

# Padded tokens of one forward and backward pass.
MICRO_BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class StepNumbers:
    """What one update was: losses in nats a token (means over the whole batch), the norm before clipping, and sizes.

    ``stopping`` tells that some rank was asked to stop: all ranks learn it at the same step.
    """

    loss: float
    prompt_loss: float
    gradient_norm: float
    tokens: int
    labels: int
    stopping: bool = False


class Trainer:
    """Model, optimizer and position in the plan; ``step`` does the next update."""

    def __init__(self, model: Qwen3ForCausalLM, rows: Rows, batches: list[list[int]], spec: SftTraining, group: Group) -> None:
        self.model = model
        self.optimizers = optim.build(model, spec.optimizer)
        self.done = 0
        self.batches = batches
        self._rows = rows
        self._lengths = rows.lengths()
        self._spec = spec
        self._group = group
        self._labels = [int(rows.row(index)[1][1:].sum()) for index in range(len(rows))]

    def step(self, stopping: bool = False) -> StepNumbers:
        """Do one update and return its numbers, equal on all ranks. ``stopping``: this rank was asked to stop."""
        batch = self.batches[self.done]
        tokens = sum(self._lengths[index] - 1 for index in batch)
        labels = sum(self._labels[index] for index in batch)
        weights = (1.0 / max(1, labels), self._spec.prompt_loss / max(1, tokens - labels))
        sums = [0.0, 0.0]
        mine = share(batch, self._lengths, self._group.rank, self._group.world)
        for micro in micro_batches(mine, self._lengths, MICRO_BATCH_TOKENS):
            for place, value in enumerate(self._backward(micro, weights)):
                sums[place] += value
        sums = self._group.sum_gradients(self.optimizers.parameters, [*sums, float(stopping)])
        factor = optim.rate_factor(self._spec.schedule, self.done, len(self.batches))
        norm = self.optimizers.step(factor)
        self.done += 1
        return StepNumbers(sums[0] / max(1, labels), sums[1] / max(1, tokens - labels), norm, tokens, labels, sums[2] > 0)

    def _backward(self, micro: Sequence[int], weights: tuple[float, float]) -> tuple[float, float]:
        """Add the gradients of some rows; return the summed losses of assistant and other tokens."""
        ids, mask, real = padded(self._rows, micro)
        hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        real, mask, chosen = real[:, 1:], mask[:, 1:], ids[:, 1:]
        wanted = real if weights[1] > 0 else mask
        losses = -head.log_probs(hidden[wanted], self.model.lm_head.weight, chosen[wanted])
        trained = mask[wanted]
        scale = torch.where(trained, weights[0], weights[1])
        (losses * scale).sum().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            return float(losses[trained].double().sum()), float(losses[~trained].double().sum())

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs to go on with the same losses."""
        return {"model": self.model.state_dict(), "optimizers": self.optimizers.state_dict(), "done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.done = int(state["done"])


def padded(rows: Rows, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, assistant mask and real-token mask, each [B, T], padded at the end.

    Padding stands after every real token, so causal attention alone keeps it out of what is trained on.
    """
    picked = [rows.row(index) for index in indices]
    longest = max(len(ids) for ids, _ in picked)
    ids = torch.zeros(len(picked), longest, dtype=torch.int64)
    mask = torch.zeros(len(picked), longest, dtype=torch.bool)
    real = torch.zeros(len(picked), longest, dtype=torch.bool)
    for place, (row, trained) in enumerate(picked):
        ids[place, : len(row)], mask[place, : len(row)], real[place, : len(row)] = row, trained, True
    return ids, mask, real
