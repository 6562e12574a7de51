"""Optimizers from their spec, the learning-rate schedule, and clipping: shared by fine-tuning and reinforcement."""

import math
from collections.abc import Iterable
from typing import Any

import torch

from astra_jobs.api.errors import BadInput
from astra_jobs.api.v1alpha1.sft import SftSchedule
from astra_jobs.api.v1alpha1.training import Optimizer
from astra_jobs.model.muon import Muon


class Optimizers:
    """One or two torch optimizers that step together; rates are the spec's peak times a factor."""

    def __init__(self, parts: list[torch.optim.Optimizer], parameters: list[torch.nn.Parameter], max_norm: float) -> None:
        self.parts = parts
        self.parameters = parameters
        self._max_norm = max_norm
        self._peaks = [[group["lr"] for group in part.param_groups] for part in parts]

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self, factor: float = 1.0) -> float:
        """Clip, update at ``factor`` times the peak rates, drop gradients; return the gradient norm before clipping."""
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self._max_norm))
        if not math.isfinite(norm):
            raise BadInput("training.optimizer", "Diverged", f"the gradient norm is {norm}; lower learningRate or maxGradientNorm")
        for part, peaks in zip(self.parts, self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            part.step()
        self.zero_grad()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave, for the same model and spec."""
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)


def build(model: torch.nn.Module, spec: Optimizer) -> Optimizers:
    """Return the optimizer of a spec over all trainable parameters.

    Weight decay holds for matrices only. With Muon the decoder's matrices go to Muon; embeddings, head and norms to AdamW at
    ``embedding_learning_rate`` (default: the learning rate).
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    parameters = [parameter for _, parameter in named]
    betas = (spec.betas[0], spec.betas[1])
    if spec.name == "AdamW":
        return Optimizers([_adamw(parameters, spec.learning_rate, betas, spec.weight_decay)], parameters, spec.max_gradient_norm)
    matrices = [parameter for name, parameter in named if _for_muon(name, parameter)]
    others = [parameter for name, parameter in named if not _for_muon(name, parameter)]
    rate = spec.learning_rate if spec.embedding_learning_rate is None else spec.embedding_learning_rate
    muon = Muon(matrices, lr=spec.learning_rate, weight_decay=spec.weight_decay)
    return Optimizers([muon, _adamw(others, rate, betas, spec.weight_decay)], parameters, spec.max_gradient_norm)


def _for_muon(name: str, parameter: torch.Tensor) -> bool:
    return parameter.ndim == 2 and "embed" not in name and "lm_head" not in name


def _adamw(parameters: Iterable[torch.nn.Parameter], rate: float, betas: tuple[float, float], decay: float) -> torch.optim.Optimizer:
    everything = list(parameters)
    groups = [
        {"params": [parameter for parameter in everything if parameter.ndim >= 2], "weight_decay": decay},
        {"params": [parameter for parameter in everything if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=rate, betas=betas, fused=True)


def rate_factor(schedule: SftSchedule, step: int, total: int) -> float:
    """Return the share of the peak rate at a step (from 0) of ``total``: linear warm-up, then the schedule's shape."""
    warm = round(schedule.warmup * total)
    if step < warm:
        return (step + 1) / warm
    if schedule.name == "Cosine":
        done = (step - warm) / max(1, total - warm)
        return schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    start = max(warm, round(schedule.constant * total))
    done = (step - start) / max(1, total - start)
    return 1.0 if done <= 0 else 1.0 - (1 - schedule.floor) * min(1.0, done)
