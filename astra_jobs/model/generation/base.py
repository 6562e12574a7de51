"""The generation protocol: many independent episodes, token in and token out (SPEC 5).

An engine gets prompts as tokens and gives back, for each, the whole tail of its episode: sampled turns and fed
observations, verbatim. Between turns it asks ``on_turn``; while one row waits for its tools, the others go on.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

OnTurn = Callable[[int, list[int]], Awaitable[list[int] | None]]
"""Called as ``on_turn(row, sampled)`` after each turn that ended with a stop token (which is the last of ``sampled``).
Returns the observation tokens to feed, the next assistant header included, or None when the episode is over. It is called
for the last allowed turn too, so that its calls count. A turn cut by the token limit is not handed over."""

TailEnding = Literal["Answered", "TurnLimit", "TokenLimit"]


@dataclass(frozen=True)
class Sampling:
    """How to sample.

    ``temperature`` 0 takes the likeliest token. ``max_response_tokens`` bounds the whole tail, observations included.
    Each row draws from a random stream of its own, seeded by ``seed`` and the row's key, so that what a row samples does not
    depend on which other rows are beside it (beyond what floating point forces).
    """

    temperature: float
    max_turns: int
    max_response_tokens: int
    stop: tuple[int, ...]
    seed: int | str = 0

    def __post_init__(self) -> None:
        """Refuse what no engine can carry out."""
        if self.temperature < 0 or self.max_turns < 1 or self.max_response_tokens < 1 or not self.stop:
            raise ValueError(f"sampling needs temperature >= 0, at least one turn, one token and one stop token: {self}")


@dataclass
class Trajectory:
    """The tail of one episode. ``ids``, ``mask`` and ``logprobs`` are equally long.

    ``mask`` is 1 for sampled and 0 for observed tokens; ``logprobs`` are nats at the sampling temperature (at temperature 1
    for greedy), 0.0 for observed tokens. Ending: ``Answered`` when ``on_turn`` ended it, ``TurnLimit`` when it would have
    gone on, ``TokenLimit`` when a turn was cut or an observation did not fit (it is then left out).
    """

    prompt_ids: list[int]
    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    turns: int = 0
    ending: TailEnding = "Answered"

    def sampled(self, token: int, logprob: float) -> None:
        """Append a sampled token."""
        self.ids.append(token)
        self.mask.append(1)
        self.logprobs.append(logprob)

    def observed(self, tokens: Sequence[int]) -> None:
        """Append observation tokens."""
        self.ids.extend(tokens)
        self.mask.extend([0] * len(tokens))
        self.logprobs.extend([0.0] * len(tokens))


class Engine(Protocol):
    """Something that generates."""

    async def generate(
        self, prompts: Sequence[list[int]], on_turn: OnTurn, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[Trajectory]:
        """Run one episode for each prompt; results are in the order of the prompts.

        ``keys`` name the rows' random streams (default: the row's number); equal keys on different rows are refused.
        An exception of ``on_turn`` ends the call and is raised.
        """


def row_keys(prompts: Sequence[list[int]], keys: Sequence[str] | None) -> list[str]:
    """Return the checked key of each row."""
    found = [str(index) for index in range(len(prompts))] if keys is None else list(keys)
    if len(found) != len(prompts) or len(set(found)) != len(found):
        raise ValueError(f"{len(prompts)} prompts need as many different keys, found {len(found)} ({len(set(found))} different)")
    if any(not prompt for prompt in prompts):
        raise ValueError("an empty prompt cannot be continued")
    return found


async def next_step(trajectory: Trajectory, row: int, turn: list[int], on_turn: OnTurn, sampling: Sampling) -> list[int] | None:
    """Hand a finished turn over and apply the limits; return the tokens to feed, or None when the episode is over.

    The observation is added to the trajectory here, so that every engine keeps the same books.
    """
    observation = await on_turn(row, turn)
    if observation is None:
        trajectory.ending = "Answered"
        return None
    if trajectory.turns >= sampling.max_turns:
        trajectory.ending = "TurnLimit"
        return None
    if len(trajectory.ids) + len(observation) >= sampling.max_response_tokens:
        trajectory.ending = "TokenLimit"
        return None
    trajectory.observed(observation)
    return observation
