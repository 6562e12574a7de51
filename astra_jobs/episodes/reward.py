"""The reward of an episode in closed form, with its whole table of edge cases (SPEC 5).

The paper takes the harmonic mean of the share of solved sub-tasks and of calls that were needed, with an epsilon that
makes a perfect episode 0.9999995. The closed form without it: ``2 s / (n + c)`` for n targets, s solved and c calls.

Departs from the paper: a call solves at most one target, by the typed comparison of ``match``; calls that failed by an
injected or infrastructure fault do not count; an episode lost to infrastructure is masked and never a zero. A call that
solves a target and was given its answer earns it where the tool was proven free of echo, and is counted (``echoed``): a
growing share of them says that a policy guesses answers and passes them in.
"""

from collections.abc import Sequence
from typing import Literal

from astra_jobs.episodes.match import echoed, solves
from astra_jobs.records.environment import Target
from astra_jobs.records.episode import INFRASTRUCTURE, EpisodeCall, Reward

RewardKind = Literal["F1", "Recall", "Precision"]


def score(targets: Sequence[Target], calls: Sequence[EpisodeCall], kind: RewardKind = "F1", *, closing_passes: bool = False) -> Reward:
    """Return the reward of the calls of one episode, given in dispatch order.

    ``closing_passes`` matters only for an instance without targets (the right thing is not to call): it earns 1 when
    nothing was called and the closing message passed its check, which is the caller's to make.
    """
    counted = sum(not _excused(call) for call in calls)
    taken = solving_calls(targets, calls)
    solved = len(taken)
    masked = any(call.outcome in INFRASTRUCTURE for call in calls)
    value = closed_form(len(targets), solved, counted, kind) if targets else float(counted == 0 and closing_passes)
    echoes = sum(echoed(targets[index].answer, call.arguments) for index, call in taken.items())
    return Reward(value=value, targets=len(targets), solved=solved, calls=counted, masked=masked, echoed=echoes)


def closed_form(targets: int, solved: int, calls: int, kind: RewardKind = "F1") -> float:
    """Return F1 = 2 s / (n + c), recall = s / n or precision = s / c; 0 when nothing is solved."""
    if solved == 0 or calls == 0 or targets == 0:
        return 0.0
    if kind == "Recall":
        return solved / targets
    return solved / calls if kind == "Precision" else 2 * solved / (targets + calls)


def solving_calls(targets: Sequence[Target], calls: Sequence[EpisodeCall]) -> dict[int, EpisodeCall]:
    """Return the call that solves each solved target, by the target's index: each call takes its first match that is left."""
    solved: dict[int, EpisodeCall] = {}
    for call in calls:
        if call.outcome != "ok" or call.injected_fault:
            continue
        for index, target in enumerate(targets):
            if index not in solved and target.tool == call.tool and _solves(target, call):
                solved[index] = call
                break
    return solved


def _solves(target: Target, call: EpisodeCall) -> bool:
    return solves(target.answer, call.value, target.answer_path, call.arguments, imported=target.origin == "Imported")


def _excused(call: EpisodeCall) -> bool:
    """Tell whether a call failed by no fault of the policy."""
    return call.injected_fault or call.outcome in INFRASTRUCTURE
