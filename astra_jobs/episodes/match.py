"""Whether a value is the answer: "equal by type" of SPEC 5, and what counts for rows imported without a path.

The paper accepts an answer that is a substring of what a tool prints, so that "5" is found in "15". Here the leaf at a
fixed JSON pointer is compared by type, as a whole. No comparison raises, whatever it is given.
"""

import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from astra_jobs.episodes.numbers import distinct, is_number, same_number, spoken_number
from astra_jobs.records.environment import Answer
from astra_jobs.text.fold import fold
from astra_jobs.text.tokens import holds, visible, words

_MISSING = object()


def solves(answer: Answer, value: Any, answer_path: str | None, arguments: Mapping[str, Any], *, imported: bool = False) -> bool:
    """Tell whether a call with ``arguments`` that returned ``value`` (JSON) gives the answer at ``answer_path``.

    A tool that was proven free of echo may be given an honest argument that happens to equal the answer. One of an
    ``imported`` row was not, so that a call which holds the answer already solves nothing. Without a path any leaf of the
    value may hold the answer's text (``contained``).
    """
    given = dict(arguments)
    if imported and (echoed(answer, given) or any(contained(str(item), given) for item in answer.items())):
        return False
    if answer_path is None:
        return contained(str(answer.value), value)
    return equals(answer, leaf_at(value, answer_path))


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
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


def equals(answer: Answer, leaf: Any) -> bool:
    """Compare a leaf with a typed answer; a leaf of another type is unequal, never coerced.

    Integers are equal exactly, without going through floats; other numbers within the answer's tolerance if it states one,
    else within a relative 1e-9. A text that is a number with the answer's unit counts as that number. Texts are equal as
    wholes (``fold``), dates by the day, booleans as booleans, items of lists and sets by the same rules.
    """
    if answer.kind == "date":
        return _same_date(str(answer.value), leaf)
    if not isinstance(answer.value, list):
        return _same(answer.value, leaf, answer)
    if not isinstance(leaf, list):
        return False
    if answer.kind == "list":
        return len(leaf) == len(answer.value) and all(_same(one, other, answer) for one, other in zip(answer.value, leaf, strict=True))
    return _same_set(answer.value, leaf, answer)


def echoed(answer: Answer, arguments: Any) -> bool:
    """Tell whether a call's arguments hold the answer already: then the policy may have told the tool, not the tool the policy."""
    return any(equals(answer, part) for part in parts(arguments))


def contained(expected: str, value: Any) -> bool:
    """Tell whether any leaf of a value holds an expected text, on token boundaries: the rule for imported rows (SPEC 5).

    Looser than ``equals``, because such rows name neither type nor path: "approved" is found in "not approved". Symbols are
    part of what is compared: "C++" is found neither in "C#" nor in "C", nor "5" in "15", "1.5" or "-5". An expected text
    without any word or symbol is found nowhere.
    """
    wanted = words(expected)
    return bool(wanted) and any(_holds(text, wanted) for text in _printed(value))


def parts(value: Any) -> Iterator[Any]:
    """Yield every value inside a JSON value, itself included, however deep it is nested."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        yield found
        if isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, list | tuple):
            waiting += found


def _same(wanted: str | float | bool, leaf: Any, answer: Answer) -> bool:
    """Compare one plain value; the type of the wanted one decides."""
    if isinstance(wanted, bool) or isinstance(leaf, bool):
        return wanted is leaf
    if isinstance(wanted, str):
        return isinstance(leaf, str) and fold(wanted) == fold(leaf)
    number = spoken_number(leaf, answer.unit) if isinstance(leaf, str) else leaf
    return is_number(number) and same_number(wanted, number, answer.tolerance)


def _same_date(wanted: str, leaf: Any) -> bool:
    if not isinstance(leaf, str):
        return False
    try:
        return datetime.datetime.fromisoformat(leaf.strip()).date() == datetime.date.fromisoformat(wanted)
    except ValueError:
        return False


def _same_set(wanted: Sequence[str | float | bool], leaf: Sequence[Any], answer: Answer) -> bool:
    """Compare without order and repetitions. Numbers are paired by size, which finds a pairing wherever there is one."""
    texts = {fold(item) for item in wanted if isinstance(item, str)}
    numbers: list[Any] = []
    others: set[Any] = set()
    for item in leaf:
        number = item
        if isinstance(item, str) and fold(item) not in texts:
            number = spoken_number(item, answer.unit)
        if isinstance(item, bool):
            others.add(item)
        elif is_number(number):
            numbers.append(number)
        elif isinstance(item, str):
            others.add(fold(item))
        else:
            return False
    asked = distinct([item for item in wanted if is_number(item)])
    found = distinct(numbers)
    same = len(asked) == len(found) and all(same_number(*pair, answer.tolerance) for pair in zip(asked, found, strict=True))
    return same and others == texts | {item for item in wanted if isinstance(item, bool)}


def _printed(value: Any) -> Iterator[str]:
    """Yield the texts of a value: text leaves as they are, other leaves and flat lists as JSON."""
    for part in parts(value):
        if isinstance(part, str):
            yield part
        elif isinstance(part, bool) or is_number(part) or (isinstance(part, list) and not any(map(_nested, part))):
            yield _json(part)


def _nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def _holds(text: str, wanted: list[str]) -> bool:
    """Look for the words as mere text first: that is cheap on a huge leaf."""
    seen = visible(text)
    return all(word in seen for word in wanted) and holds(words(text), wanted)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except ValueError:  # an integer longer than Python prints
        return ""
