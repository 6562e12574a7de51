"""A training run's whole state on disk: weights, optimizer, filling with its rollouts, curve and transcripts (SPEC 5).

Random streams need no room here: all are named by seed and dispatch number, and the number is part of filling.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from astra_jobs.api.base import Model, as_declared
from astra_jobs.api.errors import BadInput
from astra_jobs.records.episode import Episode
from astra_jobs.rl.filling import FillingState
from astra_jobs.rl.trainer import Trainer


class CurveRow(Model):
    """One line of curve.jsonl. Means over the episodes generated in the step, over the update's tokens for the loss."""

    step: int
    reward: float
    valid_share: float = Field(description="groups with reward variance, of those generated in the step")
    solved: float = Field(description="episodes that solved all targets")
    calls: float
    turns: float
    truncated: float = Field(description="episodes cut by a limit")
    masked: float = Field(description="episodes lost to infrastructure")
    malformed: float = Field(description="malformed calls an episode")
    echoed: float = Field(default=0.0, description="targets an episode solved by calls that held their answer: reward-hack monitor")
    response_tokens: float
    episodes: int
    rounds: int
    trained: int = Field(description="groups in the update")
    carried: int = Field(description="groups left for later steps")
    loss: float
    gradient_norm: float
    clipped: float
    entropy_estimate: float = Field(description="mean surprise of the sampled tokens, nats")
    engine_gap: float = Field(description="mean distance of the engine's and the trainer's log-probabilities, nats, to 1e-5")


@dataclass
class RunState:
    """What training has done so far, beside the weights."""

    step: int = 0
    filling: FillingState = field(default_factory=FillingState)
    curve: list[CurveRow] = field(default_factory=list)
    transcripts: list[Episode] = field(default_factory=list)


class _Saved(Model):
    version: int = 1
    step: int
    filling: FillingState
    curve: list[CurveRow]
    transcripts: list[Episode]


def save(folder: Path, state: RunState, trainer: Trainer) -> None:
    """Write the state into an empty folder."""
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in trainer.model.named_parameters()}
    save_file(weights, folder / "weights.safetensors")
    torch.save(trainer.optimizer.state_dict(), folder / "optimizer.pt")
    saved = _Saved(step=state.step, filling=state.filling, curve=state.curve, transcripts=state.transcripts)
    (folder / "state.json").write_bytes(as_declared(saved.to_dict()))


@dataclass(frozen=True)
class Checkpoint:
    """What ``save`` wrote, in memory: weights by name, the optimizer's state, the rest as JSON."""

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    state: bytes


def read(folder: Path) -> Checkpoint:
    """Read a checkpoint; raise BadInput when it is not whole."""
    try:
        weights = load_file(folder / "weights.safetensors")
        optimizer: dict[str, Any] = torch.load(folder / "optimizer.pt", weights_only=True)
        return Checkpoint(weights, optimizer, (folder / "state.json").read_bytes())
    except (OSError, SafetensorError, RuntimeError) as error:
        raise _unusable(error) from error


def restore(found: Checkpoint, trainer: Trainer) -> RunState:
    """Put a checkpoint into the trainer and return the rest; raise BadInput when it is not of this model and run."""
    parameters = dict(trainer.model.named_parameters())
    if found.weights.keys() != parameters.keys():
        raise BadInput("checkpoint", "CheckpointUnusable", "its weights are of another model; delete the run's checkpoints")
    try:
        with torch.no_grad():
            for name, tensor in found.weights.items():
                parameters[name].copy_(tensor)
        trainer.optimizer.load_state_dict(found.optimizer)
        saved = _Saved.model_validate_json(found.state)
    except (ValidationError, RuntimeError, ValueError, KeyError) as error:
        raise _unusable(error) from error
    return RunState(saved.step, saved.filling, saved.curve, saved.transcripts)


def _unusable(error: Exception) -> BadInput:
    message = f"not a whole checkpoint of this run ({str(error).splitlines()[0][:200]}); delete the run's checkpoints"
    return BadInput("checkpoint", "CheckpointUnusable", message)
