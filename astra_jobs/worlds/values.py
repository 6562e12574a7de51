"""Columns of typed values, drawn so that no two rows of a table agree.

Distinct rows make every check of the pipeline sharp: a call with another argument gives another answer, so it never
solves the target by luck, and an altered table always alters the answer.
"""

import datetime
import random
from typing import Any

from astra_jobs.worlds.words import LETTERS, VALUES, Kind

_FIRST_DAY = datetime.date(2020, 1, 1)
_DAYS = 3650


def draw_ids(count: int, rng: random.Random) -> list[str]:
    """Return distinct identifiers of a letter and two digits."""
    numbers = rng.sample(range(len(LETTERS) * 90), count)
    return [f"{LETTERS[number // 90]}{number % 90 + 10}" for number in numbers]


def draw_column(kind: Kind, ids: list[str], rng: random.Random) -> list[Any]:
    """Return one JSON value for each id, all different, none equal to a part of its own id."""
    count = len(ids)
    if kind == "text":
        return rng.sample(VALUES, count)
    if kind == "number":
        return _numbers(ids, rng)
    if kind == "date":
        return [(_FIRST_DAY + datetime.timedelta(days=day)).isoformat() for day in rng.sample(range(_DAYS), count)]
    return _pairs(count, rng)


def _numbers(ids: list[str], rng: random.Random) -> list[int]:
    """Draw two-digit numbers; a row whose number equals the digits of its id would show its answer in the argument."""
    while True:
        numbers = rng.sample(range(10, 100), len(ids))
        if all(str(number) != row[1:] for number, row in zip(numbers, ids, strict=True)):
            return numbers


def _pairs(count: int, rng: random.Random) -> list[list[str]]:
    """Draw pairs of words that differ also as sets, for lists and sets alike."""
    size = len(VALUES)
    pairs: list[list[str]] = []
    for number in rng.sample(range(size * (size - 1) // 2), count):
        first, second = _unordered(number)
        words = [VALUES[first], VALUES[second]]
        rng.shuffle(words)
        pairs.append(words)
    return pairs


def _unordered(number: int) -> tuple[int, int]:
    """Return the number-th pair (larger, smaller) of indexes: 0 → (1, 0), 1 → (2, 0), 2 → (2, 1), …"""
    larger = 1
    while number >= larger:
        number -= larger
        larger += 1
    return larger, number
