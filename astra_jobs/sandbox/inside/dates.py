"""``datetime`` on a virtual clock: subclasses of the C library's classes that pass for them.

They hide the classes below them, which would tell the real time. Objects that the C library makes count as their
instances. What is dug out by other ways than ``mro``, ``__mro__``, ``__bases__`` and ``__base__`` is not hidden.
"""

import datetime
import sys
from collections.abc import Callable
from typing import Any

_now: list[Callable[[], float]] = []


def _mro(cls: type) -> tuple[type, ...]:
    return tuple(dict.fromkeys(_SHOWN.get(kind, kind) for kind in type.mro(cls)))


def _asked(cls: type) -> list[type]:
    """Answer ``mro()``, which Python itself asks while it makes a class, and a tool at any other time."""
    made = type.__dict__["__mro__"].__get__(cls) is not None
    return list(_mro(cls)) if made else type.mro(cls)


def _bases(cls: type) -> tuple[type, ...]:
    if cls in _REAL:
        return (_mro(cls)[1],)
    real: tuple[type, ...] = type.__dict__["__bases__"].__get__(cls)
    return tuple(_SHOWN.get(kind, kind) for kind in real)


class _Passing(type):
    """The type of both classes."""

    vars().update(mro=_asked, __mro__=property(_mro), __bases__=property(_bases), __base__=property(lambda cls: _bases(cls)[0]))

    def __instancecheck__(cls, instance: object) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, kind: type) -> bool:
        real = _REAL.get(cls)
        return type.__subclasscheck__(cls, kind) if real is None else issubclass(kind, real)


class VirtualDate(datetime.date, metaclass=_Passing):
    """A date whose today is virtual."""

    @classmethod
    def today(cls) -> "VirtualDate":
        """Return the virtual day."""
        return cls.fromtimestamp(_now[0]())


class VirtualDateTime(datetime.datetime, metaclass=_Passing):
    """A datetime whose now is virtual."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "VirtualDateTime":
        """Return the virtual moment."""
        return cls.fromtimestamp(_now[0](), tz)

    @classmethod
    def utcnow(cls) -> "VirtualDateTime":
        """Return the virtual moment without a zone."""
        return cls.fromtimestamp(_now[0]())

    @classmethod
    def today(cls) -> "VirtualDateTime":
        """Return the virtual moment without a zone."""
        return cls.fromtimestamp(_now[0]())


_date: Any = datetime.date
_datetime: Any = datetime.datetime
_REAL: dict[type, type] = {VirtualDate: _date, VirtualDateTime: _datetime}
_SHOWN: dict[type, type] = {_date: VirtualDate, _datetime: VirtualDateTime}


def install(now: Callable[[], float]) -> None:
    """Replace the classes of ``datetime``; ``now`` gives virtual seconds since 1970."""
    _now[:] = [now]
    for name in ("min", "max"):
        day, moment = getattr(_date, name), getattr(_datetime, name)
        setattr(VirtualDate, name, VirtualDate(day.year, day.month, day.day))
        setattr(VirtualDateTime, name, VirtualDateTime.combine(moment.date(), moment.time()))
    for module in (datetime, sys.modules["_datetime"]):
        setattr(module, "date", VirtualDate)  # noqa: B010
        setattr(module, "datetime", VirtualDateTime)  # noqa: B010
