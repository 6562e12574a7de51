"""Numbers of answers, exactly: what JSON says, never rounded through a float (SPEC 5, "Equal by type")."""

import math
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeGuard

from astra_jobs.text.fold import fold

Number = int | float | Fraction
_BILLION = 10**9
"""One over the relative tolerance of numbers that are no integers."""
_LONGEST = 4300
"""Most characters of a text that may be a number: the digits that Python reads and prints."""
_MAGNITUDE = 5000
"""Greatest power of ten that a text may name."""
_NUMBER = re.compile(r"([-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?)(.*)", re.DOTALL)


def is_number(value: Any) -> TypeGuard[Number]:
    """Tell whether a value is a number that can be compared: no boolean, no NaN, no infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        return False
    return not isinstance(value, float) or math.isfinite(value)


def same_number(one: Number, other: Number, tolerance: float) -> bool:
    """Compare two numbers: within the tolerance if one is stated, exactly if either is an integer, else to a relative 1e-9."""
    if tolerance == 0 and (isinstance(one, int) or isinstance(other, int)):
        return one == other
    first, second = exact(one), exact(other)
    if tolerance > 0:
        return abs(first - second) <= exact(tolerance)
    return abs(first - second) * _BILLION <= max(abs(first), abs(second))


def exact(number: Number) -> Fraction:
    """Return a number as a fraction; a float means the decimal that it is written as."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def distinct(numbers: Sequence[Number]) -> list[Number]:
    """Sort numbers by size, one for each run of equal ones (in chains, so that the order given does not matter)."""
    found = sorted(numbers, key=exact)
    return found[:1] + [number for before, number in pairwise(found) if not same_number(before, number, 0.0)]


def spoken_number(text: str, unit: str) -> Number | None:
    """Read "1,500 km" where the unit is "km", or a number alone; None for any other text.

    Any script's decimal digits and the minus sign U+2212 are read.
    """
    if len(text) > _LONGEST:
        return None
    found = _NUMBER.fullmatch(_ascii_digits(fold(text)))
    if found is None or not found[1] or (found[2].strip() and found[2].strip() != fold(unit)):
        return None
    digits = found[1].replace(",", "")
    try:
        if re.fullmatch(r"[-+]?[0-9]+", digits):
            return int(digits)
        decimal = Decimal(digits)
    except (ValueError, InvalidOperation):
        return None
    return Fraction(decimal) if abs(decimal.adjusted()) <= _MAGNITUDE else None


def _ascii_digits(text: str) -> str:
    if text.isascii():
        return text
    return "".join(str(int(char)) if char.isdecimal() else char for char in text.replace("\u2212", "-"))
