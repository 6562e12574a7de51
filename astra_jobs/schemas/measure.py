"""How large a value is, by depth: what its cost is computed from when its length alone does not settle it."""

from typing import Any, NamedTuple

from astra_jobs.schemas.cost import BACKTRACKING, Cost, Weights

STEPS = 4_000_000
"""Most steps that judging one value may take: some 0.1 s on the event loop, 0.4 s at worst."""
_PER_CHARACTER = 4
_PER_SQUARE = 16
"""A match that goes back may look at each pair of characters; so many pairs are a step."""


class Level(NamedTuple):
    """What stands at one depth of a value."""

    values: int
    characters: int
    squares: int


def levels(value: Any) -> list[Level]:
    """Return what stands at each depth; keys count where their values stand."""
    found: list[Level] = []
    row: list[Any] = [value]
    keys: list[str] = []
    while row:
        lengths = [len(text) for texts in (keys, row) for text in texts if isinstance(text, str)]
        found.append(Level(len(row), sum(lengths), sum(length * length for length in lengths)))
        below: list[Any] = []
        keys = []
        for inner in [inner for inner in row if isinstance(inner, dict | list)]:
            below += inner.values() if isinstance(inner, dict) else inner
            keys += inner if isinstance(inner, dict) else ()
        row = below
    return found


def steps(cost: Cost, found: list[Level]) -> int:
    """Return the most steps that judging a value of these levels takes."""
    total = 0
    for depth, level in enumerate(found):
        weights = cost.at(depth)
        total += level.values * (weights.steps + depth * cost.most.deep + weights.backtracks * BACKTRACKING)
        total += level.characters * weights.characters // _PER_CHARACTER + level.squares * weights.backtracks // _PER_SQUARE
    return total


def free_length(most: Weights, deepest: int | None) -> int:
    """Return up to which length of its JSON text a value need not be measured: whatever it holds, it costs less than the bound.

    ``most`` bounds what it costs at any depth, ``deepest`` the depth.
    """
    length = 1 << 22 if deepest is None else 2 * deepest
    while length and _worst(most, length) > STEPS:
        length //= 2
    return length


def _worst(most: Weights, length: int) -> int:
    values = length // 2 + 1  # each takes a character and a comma
    return (
        values * (most.steps + most.backtracks * BACKTRACKING + min(length, 1000) * most.deep)
        + length * most.characters // _PER_CHARACTER
        + length * length * most.backtracks // _PER_SQUARE
    )
