"""An engine that plays a script: for tests of everything that stands above generation. Knows no weights and no torch."""

import asyncio
from collections.abc import Callable, Sequence

from astra_jobs.model.generation.base import OnTurn, Sampling, Trajectory, next_step, row_keys

Script = Callable[[int, int, list[int]], list[int]]
"""``script(row, turn, so_far)``: the tokens that a row writes in its turn-th turn (from 0), given prompt and tail."""


class ScriptedEngine:
    """Plays ``script`` under the same limits as a real engine; a turn without stop token is cut at the token limit."""

    def __init__(self, script: Script, logprob: float = -0.5) -> None:
        self._script = script
        self._logprob = logprob

    async def generate(
        self, prompts: Sequence[list[int]], on_turn: OnTurn, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[Trajectory]:
        """Run all rows side by side (see ``Engine``)."""
        row_keys(prompts, keys)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._row(row, prompt, on_turn, sampling)) for row, prompt in enumerate(prompts)]
        return [task.result() for task in tasks]

    async def _row(self, row: int, prompt: list[int], on_turn: OnTurn, sampling: Sampling) -> Trajectory:
        trajectory = Trajectory(prompt_ids=list(prompt))
        while True:
            turn: list[int] = []
            for token in self._script(row, trajectory.turns, [*prompt, *trajectory.ids]):
                if len(trajectory.ids) >= sampling.max_response_tokens:
                    break
                trajectory.sampled(token, self._logprob)
                turn.append(token)
                if token in sampling.stop:
                    break
            trajectory.turns += 1
            if not turn or turn[-1] not in sampling.stop:
                trajectory.ending = "TokenLimit"
                return trajectory
            if await next_step(trajectory, row, turn, on_turn, sampling) is None:
                return trajectory
