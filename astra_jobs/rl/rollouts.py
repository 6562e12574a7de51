"""A rank's share of a round: whole groups of episodes, from prompts to what training needs of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from astra_jobs.api.base import digest_of
from astra_jobs.api.v1alpha1.rl import RLRunSpec
from astra_jobs.episodes.loop import EpisodeLimits, relabel
from astra_jobs.episodes.runner import Runner, Task
from astra_jobs.model.generation.base import Engine, Sampling, Trajectory
from astra_jobs.model.renderer import Renderer
from astra_jobs.records.environment import Environment
from astra_jobs.records.episode import Episode
from astra_jobs.rl.filling import Dispatch, Group, Sample
from astra_jobs.sandbox.protocol import Sandbox


@dataclass(frozen=True)
class Finished:
    """A group and the episodes that it came from."""

    group: Group
    episodes: list[Episode]


class Rollouts:
    """Generates groups with one engine and one sandbox; any rank gives the same group for the same dispatch number."""

    def __init__(self, engine: Engine, renderer: Renderer, sandbox: Sandbox, spec: RLRunSpec) -> None:
        rollout = spec.rollout
        limits = EpisodeLimits(rollout.max_turns, rollout.max_tool_chars, rollout.max_parallel_calls, spec.algorithm.reward)
        self._runner: Runner[Sampling, Trajectory] = Runner(engine, renderer, sandbox, limits)
        self._group_size = spec.algorithm.group_size
        self._sampling = Sampling(
            temperature=rollout.temperature,
            max_turns=rollout.max_turns,
            max_response_tokens=rollout.max_response_tokens,
            stop=renderer.stop,
            seed=digest_of([spec.seed, "rollouts"]),
        )

    async def generate(self, sent: Sequence[Dispatch], environments: Mapping[str, Environment], version: int) -> list[Finished]:
        """Run ``group_size`` episodes of every dispatched prompt as one batch."""
        tasks = [
            Task(environments[dispatch.environment], sample, f"{dispatch.number}/{sample}")
            for dispatch in sent
            for sample in range(self._group_size)
        ]
        if not tasks:
            return []
        done = await self._runner.run(tasks, self._sampling)
        size = self._group_size
        return [_finished(dispatch, done[index * size : (index + 1) * size], version) for index, dispatch in enumerate(sent)]


def _finished(dispatch: Dispatch, done: Sequence[tuple[Episode, Trajectory]], version: int) -> Finished:
    samples = [
        Sample(
            tail=trajectory.ids,
            mask=trajectory.mask,
            logprobs=trajectory.logprobs,
            reward=None if episode.reward.masked else episode.reward.value,
        )
        for episode, trajectory in done
    ]
    group = Group(number=dispatch.number, environment=dispatch.environment, version=version, prompt=done[0][1].prompt_ids, samples=samples)
    episodes = [relabel(episode, prompt=str(dispatch.number), version=str(version)) for episode, _ in done]
    return Finished(group, episodes)
