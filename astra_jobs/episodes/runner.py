"""A batch of episodes over a generation engine and a sandbox; rows do not wait for each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from astra_jobs.api.base import digest_of
from astra_jobs.episodes.loop import EpisodeLimits, EpisodeLoop, Session, opening, tool_codes
from astra_jobs.episodes.policy import Dialect, OnTurn, Rollout
from astra_jobs.records.environment import Environment
from astra_jobs.records.episode import Episode
from astra_jobs.sandbox.protocol import Sandbox

RolloutT_co = TypeVar("RolloutT_co", bound=Rollout, covariant=True)
RolloutT = TypeVar("RolloutT", bound=Rollout)
SamplingT_contra = TypeVar("SamplingT_contra", contravariant=True)
SamplingT = TypeVar("SamplingT")


class Engine(Protocol[SamplingT_contra, RolloutT_co]):
    """What generates: one row for each prompt; ``on_turn`` gives what a row observes next, or None to end it."""

    async def generate(
        self, prompts: Sequence[list[int]], on_turn: OnTurn, sampling: SamplingT_contra, keys: Sequence[str] | None = None
    ) -> Sequence[RolloutT_co]:
        """Return the rows' tokens in the order of the prompts; ``keys`` name the rows' random streams."""


@dataclass(frozen=True)
class Task:
    """One episode to run: an environment, the number of the sample, and a key that is unique in the batch.

    The key names the random streams of the policy and of the sandbox session.
    """

    environment: Environment
    sample: int
    key: str


@dataclass(frozen=True)
class Runner(Generic[SamplingT, RolloutT]):
    """Runs batches of episodes with one policy, one chat form and one sandbox."""

    engine: Engine[SamplingT, RolloutT]
    dialect: Dialect
    sandbox: Sandbox
    limits: EpisodeLimits

    def prompt(self, environment: Environment) -> list[int]:
        """Return the prompt's ids of an environment."""
        return self.dialect.prompt([entry.tool for entry in environment.tools], opening(environment))

    async def run(self, tasks: Sequence[Task], sampling: SamplingT) -> list[tuple[Episode, RolloutT]]:
        """Run the tasks as one batch; return each episode with its tokens, in the tasks' order."""
        loops = [self._loop(task) for task in tasks]
        prompts = [self.prompt(task.environment) for task in tasks]

        async def on_turn(row: int, ids: list[int]) -> list[int] | None:
            return await loops[row].turn(ids)

        try:
            rollouts = await self.engine.generate(prompts, on_turn, sampling, [task.key for task in tasks])
        finally:
            for loop in loops:
                await loop.session.close()
        return [
            (loop.finish(task.sample, len(prompt), len(rollout.ids)), rollout)
            for loop, task, prompt, rollout in zip(loops, tasks, prompts, rollouts, strict=True)
        ]

    def _loop(self, task: Task) -> EpisodeLoop:
        seed = int(digest_of([task.environment.id, task.key])[-12:], 16)
        session = Session(self.sandbox, tool_codes(task.environment), seed)
        return EpisodeLoop(task.environment, self.dialect, session, self.limits)
