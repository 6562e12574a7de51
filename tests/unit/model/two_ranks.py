"""One rank of a two-process training job; prints its numbers as JSON. Started by test_two_ranks."""

import json
import sys

import torch

from astra_jobs.api.v1alpha1.common import ProceduralWorlds
from astra_jobs.api.v1alpha1.sft import SftTraining
from astra_jobs.api.v1alpha1.training import Optimizer, RandomModel
from astra_jobs.model import dist, load, tokenizer
from astra_jobs.model.renderer import Renderer
from astra_jobs.sft.data import Rows, plan
from astra_jobs.sft.loop import Trainer
from astra_jobs.worlds import examples
from tests.patience import patience


def numbers(rank: int, world: int) -> dict[str, object]:
    """Train five steps of a micro model and return losses, norms, a checksum, and what the group told."""
    torch.set_num_threads(1)
    found = [examples.conversation(2 * seed, ProceduralWorlds()) for seed in range(25)]
    shape = RandomModel(hidden_size=32, layers=1, heads=2, kv_heads=1, head_dim=16, mlp_size=48, vocabulary=400, max_length=1024)
    words = tokenizer.train(found, shape.vocabulary)
    renderer = Renderer(words)
    rows = Rows.of([renderer.conversation(entry.tools, entry.messages) for entry in found])
    model = load.fresh(shape, words, seed=1)
    spec = SftTraining(batch_size=5, optimizer=Optimizer(name="Muon", learning_rate=0.02), prompt_loss=0.2)
    with dist.joined(rank, world, timeout_seconds=patience()) as group:
        trainer = Trainer(model, rows, plan(rows.lengths(), 5, 1.0, 0), spec, group)
        steps = [trainer.step(stopping=rank == 1 and index == 3) for index in range(5)]
        told = [group.gather(rank), group.broadcast(f"from {rank}")]
        group.barrier()
    return {
        "loss": [step.loss for step in steps],
        "promptLoss": [step.prompt_loss for step in steps],
        "norm": [step.gradient_norm for step in steps],
        "stopping": [step.stopping for step in steps],
        "checksum": float(sum(parameter.detach().double().abs().sum() for parameter in model.parameters())),
        "told": told,
    }


if __name__ == "__main__":
    print(json.dumps(numbers(int(sys.argv[1]), int(sys.argv[2]))))
