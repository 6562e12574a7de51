"""Whether a tool's code holds an answer among its plain values: such a tool must not stand among irrelevant ones (SPEC 3.8)."""

import ast
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from astra_jobs.episodes.numbers import Number, exact, is_number, same_number, spoken_number
from astra_jobs.records.environment import Answer
from astra_jobs.text.fold import fold


@dataclass(frozen=True)
class Held:
    """Plain values, ready to be asked by the rules of ``episodes.match``: texts folded, numbers exact and in order."""

    texts: frozenset[str]
    numbers: tuple[Fraction, ...]
    found: frozenset[Number]

    def leaks(self, answer: Answer) -> bool:
        """Tell whether all values of an answer are held. A boolean gives nothing away: it counts for no value, in a list too."""
        items = [item for item in answer.items() if not isinstance(item, bool)]
        return bool(items) and all(self._holds(item, answer) for item in items)

    def _holds(self, item: Any, answer: Answer) -> bool:
        if isinstance(item, str):
            return fold(item) in self.texts
        if item in self.found or (answer.unit and fold(f"{item} {answer.unit}") in self.texts):
            return True
        place = bisect_left(self.numbers, exact(item))
        return any(same_number(item, _plain(near), answer.tolerance) for near in self.numbers[max(0, place - 1) : place + 1])


def _plain(number: Fraction) -> Number:
    return int(number) if number.denominator == 1 else number


def held_by(values: Iterable[Any]) -> Held:
    """Collect plain values; a text that is a number is held as both."""
    given = list(values)
    texts = [value for value in given if isinstance(value, str)]
    numbers: list[Number] = [value for value in given if is_number(value)]
    numbers += [number for number in (spoken_number(text, "") for text in texts) if number is not None]
    return Held(frozenset(map(fold, texts)), tuple(sorted(map(exact, numbers))), frozenset(numbers))


def constants(code: str) -> Held:
    """Return the plain values that stand in a tool's code; keys of dicts are not results."""
    keys: set[int] = set()
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Dict):
            keys.update(id(key) for key in node.keys)
        elif isinstance(node, ast.Constant) and id(node) not in keys:
            found.append(node.value)
    return held_by(found)
