"""The update: policy gradients over the ranks' shares of a batch, and the log-probabilities of carried groups (SPEC 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import Qwen3ForCausalLM

from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.model import optim
from astra_jobs.model.dist import Group as Ranks
from astra_jobs.model.head import log_probs
from astra_jobs.rl.batches import MicroBatch, Row, micro_batches, share_of, training_rows
from astra_jobs.rl.filling import Group
from astra_jobs.rl.loss import clipped_objective


@dataclass(frozen=True)
class UpdateStats:
    """What one update did. ``engine_gap`` is the mean distance of the engine's and the trainer's log-probabilities of
    fresh tokens, in nats: both are the same policy, so anything but rounding is a bug of one of them.
    """

    loss: float
    gradient_norm: float
    policy_tokens: int
    clipped: float
    entropy_estimate: float
    engine_gap: float


class Trainer:
    """Holds the policy and its optimizer; every rank has the same."""

    def __init__(self, model: Qwen3ForCausalLM, spec: RLRunSpec, ranks: Ranks) -> None:
        self.model = model
        self.optimizer = optim.build(model, spec.training.optimizer)
        self._clip = spec.algorithm.clip
        self._temperature = spec.rollout.temperature
        self._max_tokens = spec.training.micro_batch_tokens
        self._ranks = ranks
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def update(self, groups: Sequence[Group]) -> UpdateStats:
        """Take one step on whole groups; the loss is the mean over all policy tokens of all ranks.

        Rollouts whose advantage is exactly 0 count in the mean but are not passed through the model.
        """
        rows = training_rows(groups)
        tokens = sum(row.policy_tokens for row in rows)
        mine = share_of([row for row in rows if row.advantage], self._ranks.rank, self._ranks.world)
        sums = torch.zeros(5, dtype=torch.float64)  # loss, clipped, surprise, tokens passed, engine gap over fresh ones
        fresh = 0.0
        for batch in micro_batches(mine, self._max_tokens):
            logprobs = self._logprobs(batch)
            known = logprobs.detach()
            is_fresh = torch.isnan(batch.old)
            objective = clipped_objective(logprobs, torch.where(is_fresh, known, batch.old), batch.advantages, self._clip)
            (objective.loss / tokens).backward()  # type: ignore[no-untyped-call]
            gap = (known - batch.sampled).abs()[is_fresh].sum()
            sums += torch.tensor([objective.loss.item() / tokens, objective.clipped, -known.sum().item(), len(known), gap.item()])
            fresh += float(is_fresh.sum())
        total = self._ranks.sum_gradients(self._parameters, [*sums.tolist(), fresh])
        norm = self.optimizer.step()
        passed = max(1.0, total[3])
        return UpdateStats(total[0], norm, tokens, total[1] / passed, total[2] / passed, total[4] / max(1.0, total[5]))

    def old_logprobs(self, groups: Sequence[Group]) -> dict[int, list[list[float]]]:
        """Return the present policy's log-probabilities of groups by number, one list as long as the tail for each rollout."""
        found: dict[int, list[list[float]]] = {}
        for group in groups[self._ranks.rank :: self._ranks.world]:
            rows = [Row(group.prompt, sample) for sample in group.samples]
            by_row: dict[int, list[float]] = {}
            for batch in micro_batches(rows, self._max_tokens):
                with torch.no_grad():
                    values = iter(self._logprobs(batch).tolist())
                for row in batch.rows:
                    by_row[id(row)] = [next(values) if wrote else 0.0 for wrote in row.sample.mask]
            found[group.number] = [by_row[id(row)] for row in rows]
        return {number: rows for part in self._ranks.gather(found) for number, rows in part.items()}

    def _logprobs(self, batch: MicroBatch) -> torch.Tensor:
        """Return the log-probabilities [T] of a batch's policy tokens at the sampling temperature."""
        hidden = self.model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
        chosen = hidden.reshape(-1, hidden.shape[-1])[batch.where]
        return log_probs(chosen, self.model.lm_head.weight, batch.chosen, self._temperature)
