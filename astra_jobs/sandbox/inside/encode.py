"""What a result may be, and how it is written: what ``json.dumps`` writes, of bounded depth, with finite numbers.

Subclasses count as the class below them that JSON has a form for, read by that class's own methods, so that no code of
the tool is run while its result is written. The encoder runs in the same process as the tool: it keeps honest tools
exact; what a hostile one sends instead is bounded by the supervisor.
"""

import array
import collections
import datetime
import decimal
import enum
import fractions
import json.encoder
import math
import pathlib
import types
import uuid
from typing import Any

DEPTH = 40
"""Deepest nesting of a result."""
PATH = 60
"""Longest place in a message, characters."""

_PLAIN = frozenset({str, int, bool, type(None)})
_MRO, _NAME, _VARS, _MODULE, _FLAGS = (  # what no metaclass replaces
    type.__dict__[name].__get__ for name in ("__mro__", "__name__", "__dict__", "__module__", "__flags__")
)
_MADE_BY_PYTHON = 1 << 9
_LIST = "return list(...) of it"
_REMEDIES: dict[type, str] = {
    set: "return sorted(...) or list(...) of it",
    frozenset: "return sorted(...) or list(...) of it",
    datetime.date: "return its isoformat()",
    datetime.time: "return its isoformat()",
    datetime.timedelta: "return its total_seconds()",
    decimal.Decimal: "return float(...) or str(...) of it",
    fractions.Fraction: "return float(...) or str(...) of it",
    bytes: "return its decode(), or base64.b64encode(...).decode()",
    bytearray: "return its decode(), or base64.b64encode(...).decode()",
    memoryview: "return its tolist()",
    array.array: "return its tolist()",
    complex: "return [it.real, it.imag]",
    uuid.UUID: "return str(...) of it",
    pathlib.PurePath: "return str(...) of it",
    BaseException: "return str(...) of it",
    enum.Enum: "return its value",
    range: _LIST,
    map: _LIST,
    filter: _LIST,
    zip: _LIST,
    reversed: _LIST,
    enumerate: _LIST,
    type({}.keys()): _LIST,
    type({}.values()): _LIST,
    type({}.items()): _LIST,
    collections.deque: _LIST,
    types.GeneratorType: _LIST,
    collections.ChainMap: "return dict(...) of it",
    collections.UserDict: "return dict(...) of it",
    collections.UserList: _LIST,
    types.MappingProxyType: "return dict(...) of it",
    types.SimpleNamespace: "return vars(...) of it",
    types.FunctionType: "call it",
    types.CoroutineType: "await it",
}
_OTHERWISE = "return dicts, lists, texts, numbers, booleans or None"
_KEYS = "make the keys text, as in str(key) or '/'.join(key)"


class Unfit(Exception):
    """A result that is not JSON; its text starts with the name of the error that ``json.dumps`` would raise."""


def fitted(value: Any) -> Any:
    """Return a result as exact JSON data, itself where it is that already; Unfit names what is not JSON, its place and the remedy."""
    return value if _exact(value, 0) else _converted(value, 0, "")


def _exact(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is float:
        return math.isfinite(value)
    if depth > DEPTH:
        return False
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        items = value.values()
    elif kind is list or kind is tuple:
        items = value
    else:
        return False
    for item in items:  # noqa: SIM110 - one frame fewer a value
        if type(item) not in _PLAIN and not _exact(item, depth + 1):
            return False
    return True


def _converted(value: Any, depth: int, place: str) -> Any:
    """Return exact JSON data; only methods of the built-in classes are used."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__index__(value)
    if issubclass(kind, float):
        return _finite(float.__float__(value), place)
    if depth > DEPTH:
        raise Unfit(f"ValueError: Circular reference detected, or nested deeper than {DEPTH} levels{_at(place)}; return a shallower value")
    if issubclass(kind, dict):
        pairs = collections.OrderedDict.items(value) if issubclass(kind, collections.OrderedDict) else dict.items(value)
        return {(name := _key(key, place)): _converted(item, depth + 1, f"{place}.{name}"[-PATH:]) for key, item in pairs}
    if issubclass(kind, list | tuple):
        items = list.__iter__(value) if issubclass(kind, list) else tuple.__iter__(value)
        return [_converted(item, depth + 1, f"{place}[{number}]"[-PATH:]) for number, item in enumerate(items)]
    raise Unfit(f"TypeError: Object of type {_NAME(kind)} is not JSON serializable{_at(place)}; {_remedy(kind)}")


def _key(key: Any, place: str) -> str:
    """Return a key as ``json.dumps`` writes it."""
    kind = type(key)
    if issubclass(kind, str):
        return str.__str__(key)
    if key is None or kind is bool:
        return {None: "null", True: "true", False: "false"}[key]
    if issubclass(kind, int):
        return int.__repr__(key)
    if issubclass(kind, float):
        return float.__repr__(_finite(float.__float__(key), place))
    module = "" if _FLAGS(kind) & _MADE_BY_PYTHON or _MODULE(kind) == "builtins" else f"{_MODULE(kind)}."
    raise Unfit(f"TypeError: keys must be str, int, float, bool or None, not {module}{_NAME(kind)}{_at(place)}; {_KEYS}")


def _finite(value: float, place: str) -> float:
    if math.isfinite(value):
        return value
    raise Unfit(f"ValueError: Out of range float values are not JSON compliant: {value!r}{_at(place)}; return None or a finite number")


def _at(place: str) -> str:
    return f" (at {place.removeprefix('.')})" if place else ""


def _remedy(kind: type) -> str:
    for base in _MRO(kind):
        if base in _REMEDIES:
            return _REMEDIES[base]
    if any("__dataclass_fields__" in _VARS(base) for base in _MRO(kind)):
        return "return dataclasses.asdict(...) of it"
    return _OTHERWISE


def _refuse(value: Any) -> Any:
    raise Unfit(f"TypeError: Object of type {_NAME(type(value))} is not JSON serializable")


_encoder: Any = json.encoder
_write = _encoder.c_make_encoder(None, _refuse, _encoder.encode_basestring, None, ":", ",", False, False, False)


def encode(value: Any) -> str:
    """Write exact JSON data as text; ValueError or RecursionError where an integer or the nesting is too large."""
    return "".join(_write(value, 0))
