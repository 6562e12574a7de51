"""Calls as a model wrote them: read strictly, or kept as they stand with what is wrong (SPEC 5, "RL rollout").

Model output never raises. What a record could not hold and give back unchanged is a malformed call: half a surrogate
pair, nesting beyond ``DEEPEST``, a number beyond a double, a key twice.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from astra_jobs.episodes.match import parts
from astra_jobs.records.conversation import ToolCall

DEEPEST = 64
"""Most levels of lists and objects in a call's arguments or in a result. Readers of records stop at about 200 of their own."""
_SHOWN = 60


@dataclass(frozen=True)
class Malformed:
    """What looked like a call and was none: the whole text, and what could not be read of it."""

    text: str
    fault: str


class _Unreadable(ValueError):
    pass


def read_call(text: str) -> ToolCall | Malformed:
    """Read the JSON of a call: an object of exactly ``name`` (text) and ``arguments`` (object)."""
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        return Malformed(text, f"{error.msg} at character {error.pos}: {_excerpt(text, error.pos)}")
    except RecursionError:
        return Malformed(text, f"nested deeper than {DEEPEST} levels")
    except ValueError as error:
        return Malformed(text, str(error)[: 2 * _SHOWN])
    fault = _form_fault(value)
    return Malformed(text, fault) if fault else checked(ToolCall(name=value["name"], arguments=value["arguments"]), text)


def checked(call: ToolCall, text: str | None = None) -> ToolCall | Malformed:
    """Return the call, or what is wrong with it if no record can hold it; ``text`` is how it was written."""
    fault = fault_of(call.name) or fault_of(call.arguments) or _number_fault(call.arguments)
    if fault is None:
        return call
    return Malformed(as_text(call) if text is None else text, fault)


def as_text(call: ToolCall) -> str:
    """Return a call as text, however odd it is."""
    try:
        text = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    except (ValueError, RecursionError, TypeError):
        text = f"{call.name} with arguments that have no JSON form"
    return text.encode("utf-8", "backslashreplace").decode()


def fault_of(value: Any) -> str | None:
    """Say why a record cannot hold a JSON value; None when it can."""
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            return f"nested deeper than {DEEPEST} levels"
        for item in level:
            fault = _own_fault(item)
            if fault is not None:
                return fault
        level = [child for item in level for child in _children(item)]
        depth += 1
    return None


def _own_fault(item: Any) -> str | None:
    texts = item if isinstance(item, dict) else (item,) if isinstance(item, str) else ()
    for text in texts:
        if not isinstance(text, str):
            return f"a key of type {type(text).__name__}"
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            return f"half of a surrogate pair in {_ascii(text)}"
    if isinstance(item, float) and not math.isfinite(item):
        return f"{item!r} is no JSON number"
    return None


def _children(item: Any) -> Any:
    return item.values() if isinstance(item, Mapping) else item if isinstance(item, list | tuple) else ()


def _number_fault(arguments: dict[str, Any]) -> str | None:
    for part in parts(arguments):
        if isinstance(part, int) and abs(part) >= 1 << 1024:
            return "an integer beyond a double's range"
    return None


def _form_fault(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "not a JSON object"
    if set(value) != {"name", "arguments"}:
        return f"keys are {_ascii(', '.join(sorted(value)))}; a call has name and arguments"
    if not isinstance(value["name"], str):
        return "name is not text"
    return None if isinstance(value["arguments"], dict) else "arguments is not an object"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Unreadable(f"key {_ascii(next(key for key in keys if keys.count(key) > 1))} stands twice")
    return found


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Unreadable(f"{text[:_SHOWN]} is beyond a double's range")
    return value


def _integer(text: str) -> int:
    if len(text) > 310:
        raise _Unreadable(f"an integer of {len(text.lstrip('-'))} digits is beyond a double's range")
    return int(text)


def _constant(text: str) -> NoReturn:
    raise _Unreadable(f"{text} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_once, parse_float=_float, parse_int=_integer, parse_constant=_constant)


def _excerpt(text: str, position: int) -> str:
    start = max(0, position - _SHOWN // 2)
    return _ascii(text[start : start + _SHOWN]) if text else "nothing is there"


def _ascii(text: str) -> str:
    """Quote the beginning of a text; half surrogates are written as escapes, everything else as it is."""
    return '"' + text[:_SHOWN].encode("utf-8", "backslashreplace").decode() + '"'
