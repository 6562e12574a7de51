"""How to tell that an attack did its harm; each makes a function of ``battery.Event``."""

from collections.abc import Callable
from typing import Any

Proof = Callable[[Any], bool]


def returned(value: Any = True) -> Proof:
    """The last call came back with this value; True is what an attack returns when it got through."""
    return lambda event: event.last.outcome == "ok" and type(event.last.value) is type(value) and event.last.value == value


def told(*secrets: str) -> Proof:
    """The last call came back with one of these secrets of the scene in it."""
    return lambda event: event.last.outcome == "ok" and any(event.scene.secrets[name] in event.last.text for name in secrets)


def harmed(*names: str) -> Proof:
    """One of these canaries is not as it was."""
    return lambda event: bool(event.harm & set(names))


def at_least(number: float) -> Proof:
    """The last call came back with a number of this size: bytes held, threads made."""
    return lambda event: event.last.outcome == "ok" and isinstance(event.last.value, int | float) and event.last.value >= number


def longer(characters: int) -> Proof:
    """The last call came back with a text of more than so many characters."""
    return lambda event: event.last.outcome == "ok" and len(event.last.text) > characters


def outcome(*names: str) -> Proof:
    """The last call was answered with one of these outcomes, which no tool has a right to."""
    return lambda event: event.last.outcome in names


def differs(event: Any) -> bool:
    """Two sessions of one environment and one seed were given different values."""
    return event.last.outcome == "ok" and event.twin is not None and event.twin.text != event.last.text
