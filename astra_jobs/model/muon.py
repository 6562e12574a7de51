"""Muon: momentum made orthogonal, for weight matrices (Jordan et al. 2024).

Why: at the quickstart's size AdamW never forms the copy circuit within the budget and Muon does within some 150k tokens.
Five Newton–Schulz steps in fp32, batched over matrices of one shape. The update of an r x c matrix is scaled by
sqrt(max(1, r / c)). Needs whole matrices, so it cannot run on sharded parameters. Not in the paper, whose presets use AdamW.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch

# Coefficients of the quintic whose iteration drives all singular values toward one.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonal(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Return [n, r, c] matrices with the singular vectors of the input and all singular values near one."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: torch.Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """The optimizer. Every parameter must be a matrix; a parameter without gradient is left alone."""

    def __init__(self, parameters: Iterable[torch.Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            if any(parameter.ndim != 2 for parameter in group["params"]):
                raise ValueError("Muon updates matrices only; give vectors and embeddings to AdamW")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Apply one update (Nesterov momentum, then orthogonalisation by shape)."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            shapes: dict[torch.Size, list[tuple[torch.Tensor, torch.Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append((parameter, self._momentum(parameter, group)))
            for shape, entries in shapes.items():
                updates = orthogonal(torch.stack([direction for _, direction in entries]))
                rate = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for (parameter, _), update in zip(entries, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-rate)

    def _momentum(self, parameter: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        return parameter.grad.lerp(state["momentum"], group["momentum"])
