"""Data parallelism over gloo with one flat buffer; a single process needs no process group.

RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT come from the PyTorchJob's pods; torch reads the address itself. Losses are
divided by *global* token counts before backward, so gradients are summed over ranks, never averaged.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as torch_dist

from astra_jobs.api.errors import Transient


@dataclass(frozen=True)
class Group:
    """The processes of one training job."""

    rank: int = 0
    world: int = 1

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter], numbers: Sequence[float] = ()) -> list[float]:
        """Sum all gradients over ranks in one message, and ``numbers`` (at most 2**24 exactly) along with them.

        A parameter without gradient counts as zero. Returns the summed numbers.
        """
        if self.world == 1:
            return list(numbers)
        grads = [parameter.grad if parameter.grad is not None else torch.zeros_like(parameter) for parameter in parameters]
        extra = torch.tensor(list(numbers), dtype=torch.float64)
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        self._sum(flat)
        if len(numbers):
            self._sum(extra)
        start = 0
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = flat[start : start + grad.numel()].view_as(grad).clone()
            start += grad.numel()
        return [float(number) for number in extra]

    def gather(self, value: Any) -> list[Any]:
        """Return every rank's picklable value, in rank order, on every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        with _named_failure():
            torch_dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's picklable value on every rank."""
        if self.world == 1:
            return value
        box = [value]
        with _named_failure():
            torch_dist.broadcast_object_list(box, src=0)
        return box[0]

    def barrier(self) -> None:
        """Wait for every rank."""
        self.gather(None)

    def _sum(self, tensor: torch.Tensor) -> None:
        with _named_failure():
            torch_dist.all_reduce(tensor)


@contextmanager
def _named_failure() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise Transient("training.ranks", "RankLost", f"a rank went away: {str(error).splitlines()[0][:300]}") from error


@contextmanager
def joined(rank: int, world: int, timeout_seconds: float = 600.0) -> Iterator[Group]:
    """Join the process group of this job for the length of a block."""
    if world == 1:
        yield Group()
        return
    with _named_failure():
        torch_dist.init_process_group("gloo", rank=rank, world_size=world, timeout=timedelta(seconds=timeout_seconds))
    try:
        yield Group(rank=rank, world=world)
    finally:
        torch_dist.destroy_process_group()
