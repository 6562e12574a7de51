"""Whether a call solves a target: the leaf at the target's path equals the typed answer (SPEC 3.4 and 5).

The paper accepts an answer that is a substring of what a tool prints, so that "5" is found in "15". Here the leaf at a
fixed JSON pointer is compared by type, and texts are compared token by token. A call whose arguments already hold the
answer solves nothing: the policy told the tool, not the tool the policy.
"""

import datetime
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from astra_jobs.records.environment import Answer

# A number with its sign and fraction is one token, so that neither "5" nor "-5" is found in "1.5" or "15".
_TOKEN = re.compile(r"[-+]?\d+(?:[.,:]\d+)*\w*|\w+")
_NUMBER = re.compile(r"\s*([-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(.*?)\s*")
_RELATIVE = 1e-9
_MISSING = object()


def solves(answer: Answer, value: Any, answer_path: str, arguments: Mapping[str, Any]) -> bool:
    """Tell whether a call with ``arguments`` that returned ``value`` (JSON) gives ``answer`` at ``answer_path``."""
    leaf = leaf_at(value, answer_path)
    if leaf is _MISSING or not equals(answer, leaf):
        return False
    return not any(equals(answer, part) for part in _parts(dict(arguments)))


def leaf_at(value: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) names in a value, or a marker that equals nothing."""
    if pointer == "":
        return value
    if not pointer.startswith("/"):
        return _MISSING
    for raw in pointer[1:].split("/"):
        key = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9]\d{0,8}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


def equals(answer: Answer, leaf: Any) -> bool:
    """Compare a leaf with a typed answer; a leaf of another type is unequal, never coerced."""
    if answer.kind == "text":
        return _holds_text(str(answer.value), leaf)
    if answer.kind == "number":
        return _same_number(answer, leaf)
    if answer.kind == "date":
        return _same_date(str(answer.value), leaf)
    assert isinstance(answer.value, list)
    return _same_items(answer.value, leaf, ordered=answer.kind == "list")


def tokens(text: str) -> tuple[str, ...]:
    """Split a text into case-folded words and numbers."""
    return tuple(_TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()))


def _holds_text(wanted: str, leaf: Any) -> bool:
    if not isinstance(leaf, str):
        return False
    needle, hay = tokens(wanted), tokens(leaf)
    if not needle:  # signs only: there are no token boundaries to respect
        return wanted.strip() != "" and wanted.strip().casefold() == leaf.strip().casefold()
    return any(hay[start : start + len(needle)] == needle for start in range(len(hay) - len(needle) + 1))


def _same_number(answer: Answer, leaf: Any) -> bool:
    assert isinstance(answer.value, int | float)
    if isinstance(leaf, str):
        number, unit = _parse_number(leaf)
        if unit and unit.casefold() != answer.unit.strip().casefold():
            return False
    else:
        number = leaf if isinstance(leaf, int | float) and not isinstance(leaf, bool) else None
    return number is not None and _close(float(answer.value), number, answer.tolerance)


def _close(wanted: float, number: float, tolerance: float) -> bool:
    if not (math.isfinite(wanted) and math.isfinite(number)):
        return False
    return abs(wanted - number) <= tolerance + _RELATIVE * abs(wanted)


def _parse_number(text: str) -> tuple[float | None, str]:
    """Read "1,500 km" as (1500.0, "km"); (None, "") when the text does not start with a number."""
    found = _NUMBER.fullmatch(text)
    try:
        return (float(found[1].replace(",", "")), found[2]) if found else (None, "")
    except ValueError:
        return None, ""


def _same_date(wanted: str, leaf: Any) -> bool:
    if not isinstance(leaf, str):
        return False
    try:
        return datetime.datetime.fromisoformat(leaf.strip()).date() == datetime.date.fromisoformat(wanted)
    except ValueError:
        return False


def _same_items(wanted: list[str | int | float], leaf: Any, *, ordered: bool) -> bool:
    if not isinstance(leaf, list) or not wanted:
        return False
    have = [_item(entry) for entry in leaf]
    want = [_item(entry) for entry in wanted]
    if None in have:
        return False
    return have == want if ordered else set(have) == set(want)


def _item(entry: Any) -> tuple[str, ...] | float | None:
    """Return the form in which items of lists are compared; None for what no answer can hold."""
    if isinstance(entry, bool) or not isinstance(entry, str | int | float):
        return None
    return (tokens(entry) or (entry.strip(),)) if isinstance(entry, str) else float(entry)


def _parts(value: Any) -> Iterator[Any]:
    """Yield every value inside a JSON value, itself included."""
    yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _parts(child)
