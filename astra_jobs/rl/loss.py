"""The clipped objective of GRPO over policy tokens (the paper's objective, SPEC 5): no KL term, no entropy bonus.

``-min(r A, clip(r, 1 - e, 1 + e) A)`` with ``r = exp(log pi - log pi_old)``, averaged over all policy tokens of the
batch, over all ranks. ``pi_old`` is the trainer's own policy at the version that sampled: for fresh groups and one
update that is the policy itself, so the ratio is 1 and only its gradient counts.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Objective:
    """Sums over the tokens of one micro-batch, to be divided by the global token count. ``loss`` carries gradient."""

    loss: torch.Tensor
    clipped: float


def clipped_objective(logprobs: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, clip: float) -> Objective:
    """Return the summed loss of tokens; ``logprobs``, ``old`` and ``advantages`` are [tokens], nats for the first two."""
    ratio = torch.exp(logprobs - old)
    free = ratio * advantages
    bound = torch.clamp(ratio, 1 - clip, 1 + clip) * advantages
    return Objective(-torch.minimum(free, bound).sum(), float((bound < free).sum()))
