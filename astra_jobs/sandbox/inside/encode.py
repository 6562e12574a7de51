"""What a result may be, and how it is written: exact JSON types, bounded depth, finite numbers, text keys.

The encoder runs in the same process as the tool, so it keeps honest tools exact; what a hostile one sends instead is
bounded by the supervisor.
"""

import json.encoder
import math
from collections.abc import Iterable
from typing import Any

DEPTH = 40
"""Deepest nesting of a result."""
MESSAGE = 300
"""Longest error message, characters."""

_PLAIN = frozenset({str, int, bool, type(None)})


class Unfit(Exception):
    """A result that is not JSON."""


def check(value: Any, depth: int = 0) -> None:
    """Raise Unfit unless a value is exact JSON data."""
    kind = type(value)
    if kind in _PLAIN:
        return
    if depth > DEPTH:
        raise Unfit(f"the result is nested deeper than {DEPTH} levels, or contains itself")
    if kind is float:
        if not math.isfinite(value):
            raise Unfit(f"the result holds {value!r}, which JSON has no form for")
    elif kind is dict:
        _check_keys(value)
        _check_items(value.values(), depth + 1)
    elif kind is list or kind is tuple:
        _check_items(value, depth + 1)
    else:
        _refuse(value)


def _check_keys(value: dict[Any, Any]) -> None:
    for key in value:
        if type(key) is not str:
            raise Unfit(f"the result has a key of type {type(key).__name__}; keys are text")


def _check_items(items: Iterable[Any], depth: int) -> None:
    for item in items:
        if type(item) not in _PLAIN:
            check(item, depth)


def _refuse(value: Any) -> Any:
    raise Unfit(f"the result holds a {type(value).__name__}, which JSON has no form for")


_encoder: Any = json.encoder
_write = _encoder.c_make_encoder(None, _refuse, _encoder.encode_basestring, None, ":", ",", False, False, False)


def encode(value: Any) -> str:
    """Write a checked value as JSON text; Unfit, ValueError or RecursionError where it is none."""
    return "".join(_write(value, 0))


def describe(error: BaseException) -> bytes:
    """Return type and message of a tool's exception, whatever its ``__str__`` does."""
    try:
        name = type(error).__name__[:MESSAGE]
    except BaseException:  # noqa: BLE001 - a hostile metaclass
        name = "Exception"
    try:
        text = str(error)[:MESSAGE]
    except BaseException:  # noqa: BLE001 - the tool's exception class may raise anything from __str__
        text = "(no message)"
    return f"{name}: {text}"[:MESSAGE].encode("utf-8", "replace")
