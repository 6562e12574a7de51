"""Group-relative advantages (the paper's GRPO, SPEC 5): ``(R - mean) / std`` within the rollouts of one prompt.

Ours: the unbiased standard deviation with a floor, because the F1 reward can differ by very little; rollouts lost to
infrastructure leave their group, and a group with fewer than two left is dropped and counted.
"""

import math
from collections.abc import Sequence
from typing import Literal

Verdict = Literal["Valid", "NoVariance", "TooFewRollouts"]


def unbiased_std(values: Sequence[float]) -> float:
    """Return the sample standard deviation (n - 1); needs two values."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def verdict(rewards: Sequence[float | None], min_std: float) -> Verdict:
    """Tell if a group can be learned from; None stands for a rollout that infrastructure lost."""
    kept = [reward for reward in rewards if reward is not None]
    if len(kept) < 2:
        return "TooFewRollouts"
    return "Valid" if unbiased_std(kept) > min_std else "NoVariance"


def advantages(rewards: Sequence[float | None], floor: float) -> list[float | None]:
    """Return each rollout's advantage, None for lost ones; ``floor`` is the least deviation divided by."""
    kept = [reward for reward in rewards if reward is not None]
    if len(kept) < 2:
        return [None] * len(rewards)
    mean = math.fsum(kept) / len(kept)
    scale = max(unbiased_std(kept), floor)
    return [None if reward is None else (reward - mean) / scale for reward in rewards]
