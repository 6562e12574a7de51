"""The ``Transformers`` engine: one KV-cached batch stepped token by token over the trainer's own weights (SPEC 5).

At every step each row is fed one token: the one it has just sampled, or the next one of its observation, so an observation
needs no second prefill. A row that waits for its tools keeps its place and stalls nobody. Ended rows make room for waiting
prompts; equal prompts are read once.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import Qwen3ForCausalLM

from astra_jobs.api.base import digest_of
from astra_jobs.api.errors import BadInput
from astra_jobs.model.generation.base import OnTurn, Sampling, Trajectory, next_step, row_keys
from astra_jobs.model.lean import Cache, LeanDecoder

# Padded tokens that are read in one forward pass.
_PREFILL_TOKENS = 16_384
# Steps after the end of a turn at which its observation is fed, and seconds that the other rows wait for it then.
_LAG = 3
_PATIENCE = 1.0


@dataclass
class _Row:
    """One episode under way. ``feed`` holds the tokens to be fed next; None in ``task`` means that it is not waiting."""

    number: int
    trajectory: Trajectory
    stream: random.Random
    feed: deque[int] = field(default_factory=deque)
    turn: list[int] = field(default_factory=list)
    task: asyncio.Task[list[int] | None] | None = None
    waited: int = 0
    due: bool = False
    late: bool = False
    ended: bool = False


class TransformersEngine:
    """Generates with a live model; the weights are read at each step, so an update needs no copy.

    ``most_rows`` episodes run side by side; more prompts wait for room.
    """

    def __init__(self, model: Qwen3ForCausalLM, most_rows: int = 128) -> None:
        self._decoder = LeanDecoder(model)
        self._most_rows = most_rows

    async def generate(
        self, prompts: Sequence[list[int]], on_turn: OnTurn, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[Trajectory]:
        """Run one episode for each prompt (see ``Engine``)."""
        names = row_keys(prompts, keys)
        longest = max((len(prompt) for prompt in prompts), default=0) + sampling.max_response_tokens
        if longest > self._decoder.most_positions:
            raise BadInput(
                "model.random.maxLength",
                "TooLong",
                f"prompt and response may reach {longest} tokens, the model ends at {self._decoder.most_positions}; "
                "raise maxLength or lower rollout.maxResponseTokens",
            )
        rows = [
            _Row(number, Trajectory(prompt_ids=list(prompt)), random.Random(digest_of([sampling.seed, name])))
            for number, (prompt, name) in enumerate(zip(prompts, names, strict=True))
        ]
        await _Batch(self._decoder, rows, on_turn, sampling, self._most_rows).run()
        return [row.trajectory for row in rows]


class _Batch:
    """The rows in the cache, in the cache's order, and those that still wait for room."""

    def __init__(self, decoder: LeanDecoder, rows: list[_Row], on_turn: OnTurn, sampling: Sampling, most_rows: int) -> None:
        self._decoder, self._on_turn, self._sampling, self._most_rows = decoder, on_turn, sampling, most_rows
        self._queue = deque(rows)
        self._rows: list[_Row] = []
        self._cache: Cache | None = None

    async def run(self) -> None:
        """Step until every row has ended."""
        try:
            while True:
                self._make_room()
                if not self._rows:
                    return
                if any(row.task is None and not row.ended for row in self._rows):
                    self._step()
                    await asyncio.sleep(0)
                    await self._settle(_LAG)
                else:
                    await self._settle(0)
                self._collect()
        finally:
            for row in self._rows:
                if row.task is not None:
                    row.task.cancel()

    async def _settle(self, lag: int) -> None:
        """Wait for the observations of rows whose turn ended ``lag`` steps ago.

        A row goes on after a fixed number of steps, however fast its tools are: which rows are computed together, and so the
        low bits of every number, do not hang on timing. Tools slower than ``_PATIENCE`` give that up and stall nobody.
        """
        waiting = [row for row in self._rows if row.task is not None]
        for row in waiting:
            row.waited += 1
        due = [row for row in waiting if row.waited >= lag and not row.late]
        for row in due:
            row.due = True
        tasks = [row.task for row in due or waiting if row.task is not None]
        if due:
            await asyncio.wait(tasks, timeout=_PATIENCE)
            for row in due:
                row.late = row.task is not None and not row.task.done()
        elif tasks and lag == 0:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    def _make_room(self) -> None:
        """Drop ended rows and admit waiting prompts, when it is worth the copy of the cache."""
        alive = [place for place, row in enumerate(self._rows) if not row.ended]
        free = self._most_rows - len(alive)
        shrink = len(alive) <= 0.75 * len(self._rows)
        admit = bool(self._queue) and (free >= min(len(self._queue), max(1, self._most_rows // 4)))
        if not (shrink or admit):
            return
        kept = self._cache.pick(alive) if self._cache is not None and alive else None
        self._rows = [self._rows[place] for place in alive]
        self._cache = kept
        if admit:
            self._admit([self._queue.popleft() for _ in range(min(free, len(self._queue)))])

    def _admit(self, rows: list[_Row]) -> None:
        unique = sorted({tuple(row.trajectory.prompt_ids) for row in rows}, key=lambda prompt: (len(prompt), prompt))
        caches: list[Cache] = []
        found: list[torch.Tensor] = []
        start = 0
        while start < len(unique):
            end = start + 1
            while end < len(unique) and (end + 1 - start) * len(unique[end]) <= _PREFILL_TOKENS:
                end += 1
            cache, logits = self._decoder.prefill(unique[start:end])
            caches.append(cache)
            found.append(logits)
            start = end
        whole = caches[0]
        for cache in caches[1:]:
            whole = whole.joined(cache)
        place = {prompt: index for index, prompt in enumerate(unique)}
        picked = [place[tuple(row.trajectory.prompt_ids)] for row in rows]
        new = whole.pick(picked)
        self._cache = new if self._cache is None else self._cache.joined(new)
        self._rows += rows
        self._sample(rows, torch.cat(found)[picked])

    def _step(self) -> None:
        assert self._cache is not None
        active = [row.task is None and not row.ended for row in self._rows]
        tokens = [row.feed.popleft() if on else 0 for row, on in zip(self._rows, active, strict=True)]
        logits = self._decoder.step(torch.tensor(tokens), self._cache, torch.tensor(active, dtype=torch.int64))
        ready = [place for place, (row, on) in enumerate(zip(self._rows, active, strict=True)) if on and not row.feed]
        if ready:
            self._sample([self._rows[place] for place in ready], logits[ready] if len(ready) < len(self._rows) else logits)

    def _sample(self, rows: list[_Row], logits: torch.Tensor) -> None:
        """Draw the next token of each row from logits [rows, V] and act on it."""
        drawn, logprobs = draw(logits, self._sampling.temperature, [row.stream for row in rows])
        for row, token, logprob in zip(rows, drawn, logprobs, strict=True):
            row.trajectory.sampled(token, logprob)
            row.turn.append(token)
            row.feed.append(token)
            if token in self._sampling.stop:
                row.trajectory.turns += 1
                turn, row.turn = row.turn, []
                row.task = asyncio.create_task(next_step(row.trajectory, row.number, turn, self._on_turn, self._sampling))
            elif len(row.trajectory.ids) >= self._sampling.max_response_tokens:
                row.trajectory.turns += 1
                row.trajectory.ending = "TokenLimit"
                row.ended = True

    def _collect(self) -> None:
        """Take the observations that have arrived."""
        for row in self._rows:
            if row.task is not None and row.due and row.task.done():
                observation = row.task.result()
                row.task, row.waited, row.due, row.late = None, 0, False, False
                if observation is None:
                    row.ended = True
                else:
                    row.feed.extend(observation)


def draw(logits: torch.Tensor, temperature: float, streams: Sequence[random.Random]) -> tuple[list[int], list[float]]:
    """Return a token and its log-probability for each row of logits [B, V].

    One uniform number of the row's own stream picks the token by inverting the cumulative distribution, so a row's draw does
    not depend on the others. Temperature 0 takes the likeliest token (the first of equals) and draws nothing.
    """
    scaled = torch.log_softmax(logits / temperature if temperature > 0 else logits, dim=-1)
    if temperature == 0:
        tokens = scaled.argmax(dim=-1)
    else:
        uniform = torch.tensor([stream.random() for stream in streams], dtype=torch.float64)[:, None]
        heights = scaled.double().exp().cumsum(dim=-1)
        tokens = torch.searchsorted(heights, uniform * heights[:, -1:], right=True)[:, 0].clamp_(max=logits.shape[-1] - 1)
    chosen = scaled.gather(1, tokens[:, None])[:, 0]
    return tokens.tolist(), chosen.tolist()
