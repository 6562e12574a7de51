"""``datetime`` on a virtual clock: the C library's own classes, whose methods that ask for the time are replaced.

They stay the classes that they are, so that names, types, ``repr`` and what other C modules make of them are those of
plain Python. ``today`` needs no replacement: it asks ``time.time``.
"""

import ctypes
import datetime
import gc
from collections.abc import Callable
from typing import Any


def install(now: Callable[[], float]) -> None:
    """Replace ``datetime.now`` and ``utcnow``; ``now`` gives virtual seconds since 1970. RuntimeError where that does not take."""

    def now_(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
        """Return new datetime object local to tz, or to UTC without it."""
        return cls.fromtimestamp(now(), tz)

    def utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
        """Return a new datetime representing UTC day and time."""
        return cls.utcfromtimestamp(now())

    for name, function in (("now", now_), ("utcnow", utcnow)):
        function.__name__, function.__qualname__, function.__module__ = name, f"datetime.{name}", "datetime"
        _dict_of(datetime.datetime)[name] = classmethod(function)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))
    if abs(datetime.datetime.now(datetime.UTC).timestamp() - now()) > 1:
        raise RuntimeError("datetime.now cannot be put on the virtual clock of sessions: this is another Python than CPython")


def _dict_of(kind: type) -> dict[str, Any]:
    """Return the dictionary behind a built-in class's read-only view of it."""
    return next(one for one in gc.get_referents(kind.__dict__) if isinstance(one, dict))
