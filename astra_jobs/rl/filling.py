"""Adaptive batch filling as an object that can be put into a checkpoint (the paper's algorithm, SPEC 5).

Each step: the pool is the buffer; rounds of prompts are generated and the groups with reward variance appended until the
pool holds ``groups_per_step``; the first of them are trained on, the rest is the next buffer. Ours: groups stay whole;
"first" is dispatch order and not arrival order, so that short episodes are not favoured; a round is as large as what is
missing divided by the recent share of valid groups, bounded; rounds per step are bounded; a ledger follows every
dispatched prompt to its end, so that none is lost or doubled over a kill and a resume.

It knows no clock, no tensors and no ranks: every rank holds the same object and takes the same decisions.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from astra_jobs.api.base import Model, digest_of
from astra_jobs.api.v1alpha1.rl import RlAlgorithm
from astra_jobs.rl.advantage import Verdict, advantages, verdict

LEAST_SHARE = 0.1
"""A round is sized as if at least this share of the groups were valid."""
LARGEST_ROUND = 4
"""A round holds at most this many times ``groups_per_step`` groups."""
WINDOW = 4
"""The recent share of valid groups is taken over this many times ``groups_per_step`` finished groups."""


class Sample(Model):
    """One rollout as training needs it: tokens, which of them the policy wrote, and what it earned."""

    tail: list[int] = Field(description="ids after the prompt, sampled and observed")
    mask: list[int] = Field(description="1 for sampled ids, 0 for observed ones")
    logprobs: list[float] = Field(description="the engine's log-probabilities at sampling, 0 for observed ids")
    reward: float | None = Field(description="None when infrastructure lost the episode")
    old_logprobs: list[float] | None = Field(
        default=None, description="the trainer's log-probabilities at the version that sampled; set when the group is carried"
    )


class Group(Model):
    """The rollouts of one prompt, never split."""

    number: int = Field(description="dispatch number, unique in the run")
    environment: str
    version: int = Field(description="updates that the sampling policy had seen")
    prompt: list[int]
    samples: list[Sample]
    advantages: list[float | None] = Field(default_factory=list)


class Dispatch(Model):
    """One prompt sent out."""

    number: int
    environment: str


class LedgerEntry(Model):
    """What became of one dispatched prompt."""

    number: int
    environment: str
    step: int = Field(description="step it was dispatched in, from 1")
    round: int = Field(description="round of that step, from 1")
    verdict: Verdict | Literal["Dispatched"] = "Dispatched"
    trained: int | None = Field(default=None, description="step that trained on it; None for dropped and for carried groups")


class FillingState(Model):
    """Everything that filling remembers between two steps."""

    version: Literal[1] = 1
    dispatched: int = 0
    buffer: list[Group] = Field(default_factory=list)
    recent: list[bool] = Field(default_factory=list, description="valid or not, of the last finished groups")
    ledger: list[LedgerEntry] = Field(default_factory=list)


@dataclass(frozen=True)
class Batch:
    """The groups of one update, and why there are fewer than wanted, if there are."""

    groups: list[Group]
    starved: bool


class Filling:
    """Decides what is generated next and what is trained on."""

    def __init__(self, environments: Sequence[str], algorithm: RlAlgorithm, seed: int, state: FillingState | None = None) -> None:
        if not environments or len(set(environments)) != len(environments):
            raise ValueError("filling needs environments with ids of their own")
        self._environments = list(environments)
        self._algorithm = algorithm
        self._seed = seed
        state = state or FillingState()
        self._dispatched = state.dispatched
        self._pool = list(state.buffer)
        self._recent = list(state.recent)
        self._ledger = {entry.number: entry for entry in state.ledger}
        self._orders: dict[int, list[int]] = {}
        self._step = 0
        self._rounds = 0

    def begin(self, step: int) -> None:
        """Start a step (numbered from 1); the pool is what the last one left."""
        self._step, self._rounds = step, 0

    def missing(self) -> int:
        """Return how many valid groups the pool still lacks."""
        return max(0, self._algorithm.groups_per_step - len(self._pool))

    def exhausted(self) -> bool:
        """Tell whether the step has had all its rounds."""
        return self._rounds >= self._algorithm.max_rounds

    def share(self) -> float:
        """Return the recent share of valid groups, one half before anything is known."""
        return (sum(self._recent) + 1) / (len(self._recent) + 2)

    def open_round(self) -> list[Dispatch]:
        """Send out the next prompts: what is missing divided by the recent valid share, bounded."""
        if not self.missing() or self.exhausted():
            raise ValueError("no round is due: the pool is full or the step's rounds are spent")
        size = math.ceil(self.missing() / max(self.share(), LEAST_SHARE))
        size = min(size, LARGEST_ROUND * self._algorithm.groups_per_step)
        self._rounds += 1
        found = [Dispatch(number=number, environment=self._prompt(number)) for number in range(self._dispatched, self._dispatched + size)]
        self._dispatched += size
        for dispatch in found:
            self._ledger[dispatch.number] = LedgerEntry(
                number=dispatch.number, environment=dispatch.environment, step=self._step, round=self._rounds
            )
        return found

    def _prompt(self, number: int) -> str:
        """Return the environment of a dispatch number: a fresh order of all of them in each pass."""
        turn, place = divmod(number, len(self._environments))
        if turn not in self._orders:
            order = list(range(len(self._environments)))
            random.Random(digest_of([self._seed, "prompts", turn])).shuffle(order)
            self._orders = {turn: order}
        return self._environments[self._orders[turn][place]]

    def close_round(self, groups: Sequence[Group]) -> list[Verdict]:
        """Take the finished groups of a round, in any order; return their verdicts in the order given."""
        verdicts: dict[int, Verdict] = {}
        for group in sorted(groups, key=lambda entry: entry.number):
            entry = self._ledger.get(group.number)
            if entry is None or entry.verdict != "Dispatched" or entry.environment != group.environment:
                raise ValueError(f"group {group.number} ({group.environment}) was not sent out or has come back before")
            rewards = [sample.reward for sample in group.samples]
            found = verdict(rewards, self._algorithm.min_std)
            verdicts[group.number] = found
            self._ledger[group.number] = entry.model_copy(update={"verdict": found})
            self._recent.append(found == "Valid")
            if found == "Valid":
                self._pool.append(group.model_copy(update={"advantages": advantages(rewards, self._algorithm.std_floor)}))
        self._recent = self._recent[-WINDOW * self._algorithm.groups_per_step :]
        self._pool.sort(key=lambda entry: entry.number)
        return [verdicts[group.number] for group in groups]

    def take(self) -> Batch:
        """Give the first groups of the pool in dispatch order; what is left is carried."""
        wanted = self._algorithm.groups_per_step
        batch, self._pool = self._pool[:wanted], self._pool[wanted:]
        for group in batch:
            entry = self._ledger[group.number]
            assert entry.trained is None
            self._ledger[group.number] = entry.model_copy(update={"trained": self._step})
        return Batch(batch, starved=len(batch) < wanted)

    def carried(self) -> list[Group]:
        """Return the groups that wait for a later step."""
        return list(self._pool)

    def settle(self, old_logprobs: dict[int, list[list[float]]]) -> None:
        """Keep the trainer's log-probabilities of carried groups, by dispatch number, one list for each rollout."""
        self._pool = [_settled(group, old_logprobs[group.number]) if group.number in old_logprobs else group for group in self._pool]

    def ledger(self) -> list[LedgerEntry]:
        """Return what became of every prompt, in dispatch order."""
        return [self._ledger[number] for number in sorted(self._ledger)]

    def state(self) -> FillingState:
        """Return all that a checkpoint must hold; only whole between two steps."""
        if any(entry.verdict == "Dispatched" for entry in self._ledger.values()):
            raise ValueError("a round is open: prompts are out that a checkpoint would lose")
        return FillingState(dispatched=self._dispatched, buffer=self._pool, recent=self._recent, ledger=self.ledger())

    def counts(self) -> dict[str, int]:
        """Return how many prompts came to which end."""
        ends: dict[str, int] = {"dispatched": self._dispatched, "carried": len(self._pool)}
        for entry in self._ledger.values():
            name: Any = "trained" if entry.trained is not None else entry.verdict
            if name in ("trained", "NoVariance", "TooFewRollouts"):
                key = name[0].lower() + name[1:]
                ends[key] = ends.get(key, 0) + 1
        return ends


def _settled(group: Group, rows: list[list[float]]) -> Group:
    samples = [sample.model_copy(update={"old_logprobs": row}) for sample, row in zip(group.samples, rows, strict=True)]
    return group.model_copy(update={"samples": samples})
