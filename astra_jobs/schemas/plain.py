"""What JSON data may be, before anything looks at it: finite, of whole characters, of bounded depth and size."""

import json
import math
import re
from typing import Any

from astra_jobs.schemas.errors import SchemaRefused, pointer

DEPTH = 100
"""Deepest nesting of a schema, in brackets; records, the wire and the library read more."""
SIZE = 1 << 18
"""Largest schema, in characters and in 16 for each value."""
_LONG = re.compile(r"\d{300}")
_GREATEST = 10**308
"""Integers beyond it are no double, and other programs read them as infinite."""
Path = tuple[str | int, ...]


def check_plain(value: Any) -> None:
    """Raise SchemaRefused, naming the place, unless a document is plain JSON data within the bounds."""
    if size_of(value, SIZE) > SIZE:
        raise SchemaRefused("SchemaTooCostly", f"the schema is larger than {SIZE} characters; shorten it")
    waiting: list[tuple[Any, Path]] = [(value, ())]
    while waiting:
        found, path = waiting.pop()
        container = isinstance(found, dict | list)
        fault = keys_fault(found) if container else scalar_fault(found)
        if container and len(path) >= DEPTH:
            fault = f"nested deeper than {DEPTH} levels"
        if fault is not None:
            raise SchemaRefused("SchemaInvalid", f"{pointer(path)}: {fault}")
        if container:
            waiting += [(item, (*path, key)) for key, item in (found.items() if isinstance(found, dict) else enumerate(found))]


def plain_text(value: Any) -> str:
    """Return the JSON text of a document; SchemaRefused, naming the place, unless it is plain JSON data within the bounds.

    The encoder finds most of what is wrong; only what it cannot see, or may have seen, is looked for one by one.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        sound = (
            len(text) <= SIZE // 16 and text.count("{") + text.count("[") <= DEPTH and not _LONG.search(text) and json.loads(text) == value
        )
    except (ValueError, TypeError, RecursionError):
        sound = False
    if not sound:
        check_plain(value)
        text = json.dumps(value, ensure_ascii=False)
    return text


def size_of(value: Any, enough: int) -> int:
    """Return the size of JSON data in the measure of ``SIZE``, or some figure beyond ``enough``."""
    size, waiting = 0, [value]
    while waiting and size <= enough:
        found = waiting.pop()
        size += 16 + (len(found) if isinstance(found, str) else 0)
        if isinstance(found, dict):
            size += sum(len(key) for key in found if isinstance(key, str))
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found
    return size


def scalar_fault(value: Any) -> str | None:
    """Return what is wrong with a value that is no mapping and no list."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return None if whole(value) else "half of a surrogate pair is no character"
    if isinstance(value, int):
        return None if -_GREATEST <= value <= _GREATEST else "an integer of more than 308 digits is no number of JSON programs"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is no number of JSON"
    return f"a {type(value).__name__} is no JSON"


def keys_fault(value: dict[Any, Any] | list[Any]) -> str | None:
    """Return what is wrong with the keys of a mapping."""
    for key in value if isinstance(value, dict) else ():
        if not isinstance(key, str):
            return f"a key is a {type(key).__name__}; keys are text"
        if not whole(key):
            return "a key holds half of a surrogate pair, which is no character"
    return None


def whole(text: str) -> bool:
    """Tell whether a text has a form in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
